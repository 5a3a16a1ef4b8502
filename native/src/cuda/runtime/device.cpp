#include "cuda/runtime/device.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

namespace sightline::cuda {

const Device* device_of(int id, cudaError_t* error) {
  static std::mutex mutex;
  static std::map<int, std::unique_ptr<Device>> devices;
  const std::lock_guard<std::mutex> lock(mutex);
  auto& entry = devices[id];
  *error = cudaSuccess;
  if (!entry) {
    auto device = std::make_unique<Device>();
    device->id = id;
    const auto ask = [&](int* value, cudaDeviceAttr attribute) {
      if (*error == cudaSuccess) *error = cudaDeviceGetAttribute(value, attribute, id);
    };
    ask(&device->sms, cudaDevAttrMultiProcessorCount);
    ask(&device->major, cudaDevAttrComputeCapabilityMajor);
    ask(&device->minor, cudaDevAttrComputeCapabilityMinor);
    if (*error != cudaSuccess) return nullptr;
    entry = std::move(device);
  }
  return entry.get();
}

cudaError_t device_of_pointer(const void* pointer, int* id) {
  cudaPointerAttributes attributes{};
  const cudaError_t error = cudaPointerGetAttributes(&attributes, pointer);
  *id = attributes.device;
  return error;
}

bool overlapped_launches() {
  static const bool asked = [] {
    const char* value = std::getenv("SIGHTLINE_CUDA_PDL");
    return value != nullptr && std::strcmp(value, "1") == 0;
  }();
  return asked;
}

DeviceScope::DeviceScope(int id) {
  error_ = cudaGetDevice(&previous_);
  if (error_ == cudaSuccess && previous_ != id) error_ = cudaSetDevice(id);
  if (previous_ == id) previous_ = -1;
}

DeviceScope::~DeviceScope() {
  if (previous_ >= 0) cudaSetDevice(previous_);
}

}  // namespace sightline::cuda
