#include "fake_torch_cuda.h"

#include <cstdlib>

#define EXPORT extern "C" __attribute__((visibility("default")))

using fake::Tensor;
using sightline::torch_ops::BoxedKernel;

EXPORT fake::Torch* fake_torch() {
  static auto* torch = new fake::Torch;
  return torch;
}

EXPORT int32_t aoti_torch_device_type_cpu() { return 0; }
EXPORT int32_t aoti_torch_device_type_cuda() { return 1; }
EXPORT int32_t aoti_torch_dtype_float32() { return 6; }
EXPORT int32_t aoti_torch_dtype_bfloat16() { return 15; }

EXPORT int32_t aoti_torch_get_dim(Tensor* t, int64_t* out) {
  *out = static_cast<int64_t>(t->sizes.size());
  return 0;
}
EXPORT int32_t aoti_torch_get_sizes(Tensor* t, int64_t** out) {
  *out = t->sizes.data();
  return 0;
}
EXPORT int32_t aoti_torch_get_strides(Tensor* t, int64_t** out) {
  *out = t->strides.data();
  return 0;
}
EXPORT int32_t aoti_torch_get_dtype(Tensor*, int32_t* out) {
  *out = aoti_torch_dtype_float32();
  return 0;
}
EXPORT int32_t aoti_torch_get_device_type(Tensor* t, int32_t* out) {
  *out = t->device_type;
  return 0;
}
EXPORT int32_t aoti_torch_get_device_index(Tensor* t, int32_t* out) {
  *out = t->device_index;
  return 0;
}
EXPORT int32_t torch_get_const_data_ptr(Tensor* t, const void** out) {
  *out = t->data;
  return 0;
}
EXPORT int32_t torch_get_mutable_data_ptr(Tensor* t, void** out) {
  *out = t->data;
  return 0;
}

EXPORT int32_t aoti_torch_empty_strided(int64_t dims, const int64_t* sizes, const int64_t* strides,
                                        int32_t, int32_t device_type, int32_t device_index,
                                        Tensor** out) {
  int64_t count = 1;
  for (int64_t d = 0; d < dims; ++d) count *= sizes[d];
  *out = new Tensor{{sizes, sizes + dims},
                    {strides, strides + dims},
                    device_type,
                    device_index,
                    std::aligned_alloc(256, static_cast<size_t>(count * 4 + 255) / 256 * 256)};
  fake_torch()->live[(*out)->data] = *out;
  ++fake_torch()->made;
  return 0;
}
// Arguments of an operator are the test's own.
EXPORT int32_t aoti_torch_delete_tensor_object(Tensor* t) {
  if (fake_torch()->live.erase(t->data) == 0) return 0;
  std::free(t->data);
  delete t;
  return 0;
}

EXPORT int32_t aoti_torch_get_current_cuda_stream(int32_t device, void** out) {
  *out = fake::stream_of(device);
  return 0;
}
EXPORT int32_t aoti_torch_create_device_guard(int32_t device, void** out) {
  fake_torch()->guarded_device = device;
  ++fake_torch()->guards;
  ++fake_torch()->guards_alive;
  *out = fake_torch();
  return 0;
}
EXPORT int32_t aoti_torch_delete_device_guard(void*) {
  --fake_torch()->guards_alive;
  return 0;
}

EXPORT int32_t aoti_torch_library_init_impl(const char*, const char* key, const char*, uint32_t,
                                            const char** out) {
  *out = key;
  return 0;
}
EXPORT int32_t torch_library_impl(const char* key, const char* name, BoxedKernel kernel, uint64_t) {
  if (std::string(key) == "CUDA") fake_torch()->cuda_kernels[name] = kernel;
  return 0;
}
