// Which arguments of a call share memory. An output may share none with any other argument, while
// slices of one buffer that interleave without touching (q, k, v side by side in one row) are fine.
#pragma once

#include <cstdint>
#include <vector>

#include "api/arguments.h"

namespace sightline {

// The bytes of a tensor of at most 3 dimensions, or of a contiguous one: runs of `length` bytes at
// begin + i * outer_stride + j * inner_stride.
struct Region {
  Arg arg;
  uintptr_t begin = 0;
  int64_t length = 0;  // 0: no elements
  int64_t outer = 1, inner = 1;
  int64_t outer_stride = 0, inner_stride = 0;

  uintptr_t run(int64_t i) const {
    return begin + static_cast<uintptr_t>((i / inner) * outer_stride + (i % inner) * inner_stride);
  }
  uintptr_t end() const { return run(outer * inner - 1) + static_cast<uintptr_t>(length); }
  // Runs ascend without touching each other.
  bool is_ordered() const;
};

Region region_of(const Arg& arg, const sl_tensor& tensor);
bool overlaps(const Region& a, const Region& b);

// Collects the arguments of one call. NULL tensors are skipped. The storage is kept by the thread,
// so a repeated call allocates nothing.
class OverlapCheck {
 public:
  OverlapCheck();
  void read(const Arg& arg, const sl_tensor* tensor);
  void write(const Arg& arg, const sl_tensor* tensor);
  // Each written tensor is free of overlap in itself and with every other tensor.
  sl_status run() const;

 private:
  std::vector<Region>& reads_;
  std::vector<Region>& writes_;
};

}  // namespace sightline
