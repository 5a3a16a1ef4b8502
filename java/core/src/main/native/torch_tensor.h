/* A tensor of the libtorch in this process as the kernels take it, asked through libtorch's stable
 * C ABI: one crossing from Java for what would be a dozen. C++, as JavaCPP's glue is. */
#ifndef SIGHTLINE_TORCH_TENSOR_H
#define SIGHTLINE_TORCH_TENSOR_H

#include <dlfcn.h>
#include <stdint.h>

#include "sightline/sightline.h"

namespace sightline_binding {

/* The functions, found once. A JVM loads libraries so that only their file names find them. */
struct TorchTensorFunctions {
  int32_t (*dim)(void*, int64_t*) = nullptr;
  int32_t (*sizes)(void*, int64_t**) = nullptr;
  int32_t (*strides)(void*, int64_t**) = nullptr;
  int32_t (*data)(void*, void**) = nullptr;
  int32_t (*dtype)(void*, int32_t*) = nullptr;
  int32_t (*device_type)(void*, int32_t*) = nullptr;
  int32_t (*device_index)(void*, int32_t*) = nullptr;
  int32_t float32 = 0, bfloat16 = 0, int16 = 0, cpu = 0, cuda = 0;
  bool found = false;

  TorchTensorFunctions() {
    void* library = dlopen("libtorch_cpu.so", RTLD_NOLOAD | RTLD_LAZY);
    if (library == nullptr) return;
    found = get(library, "aoti_torch_get_dim", dim) &&
            get(library, "aoti_torch_get_sizes", sizes) &&
            get(library, "aoti_torch_get_strides", strides) &&
            get(library, "aoti_torch_get_data_ptr", data) &&
            get(library, "aoti_torch_get_dtype", dtype) &&
            get(library, "aoti_torch_get_device_type", device_type) &&
            get(library, "aoti_torch_get_device_index", device_index) &&
            constant(library, "aoti_torch_dtype_float32", float32) &&
            constant(library, "aoti_torch_dtype_bfloat16", bfloat16) &&
            constant(library, "aoti_torch_dtype_int16", int16) &&
            constant(library, "aoti_torch_device_type_cpu", cpu) &&
            constant(library, "aoti_torch_device_type_cuda", cuda);
    dlclose(library); /* only our count of it */
  }

 private:
  template <typename Function>
  static bool get(void* library, const char* name, Function*& out) {
    out = reinterpret_cast<Function*>(dlsym(library, name));
    return out != nullptr;
  }
  static bool constant(void* library, const char* name, int32_t& out) {
    int32_t (*value)() = nullptr;
    if (!get(library, name, value)) return false;
    out = value();
    return true;
  }
};

}  // namespace sightline_binding

/* Tells libtorch's autograd that `tensor`, an at::Tensor*, was written to, with the function its
 * own operations call. Returns 0, or 1 if this libtorch has none of that name: it is not part of
 * the stable C ABI. */
static inline int sightline_torch_bump_version(const void* tensor) {
  static void (*const bump)(const void*) = [] {
    void* library = dlopen("libtorch_cpu.so", RTLD_NOLOAD | RTLD_LAZY);
    void* found = nullptr;
    if (library != nullptr) {
      found = dlsym(library, "_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE");
      dlclose(library);
    }
    return reinterpret_cast<void (*)(const void*)>(found);
  }();
  if (bump == nullptr) return 1;
  bump(tensor);
  return 0;
}

/* Describes `tensor`, an at::Tensor*, in *out, whose shape and strides have room for `max_dims`; of
 * dimension 1, which there is then, the part [first, first + length), or all of it if length < 0.
 * Returns 0, or what stands in the way: 1 the functions of libtorch, 2 the number of dimensions, 3
 * a dtype that is none of float32, bfloat16 and int16, 4 a device that is neither cpu nor cuda. */
static inline int sightline_torch_describe(void* tensor, int max_dims, int64_t first,
                                           int64_t length, sl_tensor* out) {
  static const sightline_binding::TorchTensorFunctions torch;
  if (!torch.found) return 1;
  int64_t dims = 0, *sizes = nullptr, *strides = nullptr;
  int32_t dtype = 0, type = 0, index = 0;
  if (torch.dim(tensor, &dims) || torch.sizes(tensor, &sizes) || torch.strides(tensor, &strides) ||
      torch.dtype(tensor, &dtype) || torch.device_type(tensor, &type)) {
    return 1;
  }
  if (dims > max_dims) return 2;
  if (dtype == torch.float32) {
    out->dtype = {SL_FLOAT, 32, 1};
  } else if (dtype == torch.bfloat16) {
    out->dtype = {SL_BFLOAT, 16, 1};
  } else if (dtype == torch.int16) {
    out->dtype = {SL_INT, 16, 1};
  } else {
    return 3;
  }
  if (type == torch.cpu) {
    out->device = {SL_CPU, 0};
  } else if (type == torch.cuda) {
    if (torch.device_index(tensor, &index)) return 1;
    out->device = {SL_CUDA, index};
  } else {
    return 4;
  }
  if (torch.data(tensor, &out->data)) return 1;
  out->ndim = static_cast<int32_t>(dims);
  out->byte_offset = 0;
  for (int64_t i = 0; i < dims; ++i) out->shape[i] = sizes[i], out->strides[i] = strides[i];
  if (length >= 0) {
    out->shape[1] = length;
    out->byte_offset = static_cast<uint64_t>(first * strides[1] * (out->dtype.bits / 8));
  }
  return 0;
}

#endif
