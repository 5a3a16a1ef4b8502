// A libtorch on a GPU that is not there, for torch_cuda_test: tensors are host memory that says it
// is on a CUDA device, streams are numbers. What it saw of the operators.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "torch/libtorch.h"

namespace fake {

struct Tensor {
  std::vector<int64_t> sizes, strides;
  int32_t device_type, device_index;
  void* data;
};

struct Torch {
  std::map<std::string, sightline::torch_ops::BoxedKernel> cuda_kernels;  // by operator
  std::map<void*, const Tensor*> live;  // made by empty_strided and not deleted, by memory
  int made = 0;                         // by empty_strided
  int guards = 0, guards_alive = 0, guarded_device = -1;
};

inline void* stream_of(int32_t device) { return reinterpret_cast<void*>(0x1000 + device); }

}  // namespace fake

extern "C" fake::Torch* fake_torch();
