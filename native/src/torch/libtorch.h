// The few functions of libtorch's stable C ABI that the operators need, found in the libtorch that
// runs in this process. No header of torch is included and no libtorch is linked, so one binary
// serves every libtorch from 2.10 on.
//
// Facts of that ABI: https://github.com/pytorch/pytorch, torch/csrc/inductor/aoti_torch/c/shim.h
// and torch/csrc/stable/c/shim.h. Functions return 0 on success unless they return a value; a
// handle received through a result pointer is owned by the receiver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace sightline::torch_ops {

struct AtenTensor;    // at::Tensor on the heap
struct TorchLibrary;  // torch::Library
struct TorchList;     // std::vector<StableValue>
struct DeviceGuard;

// One argument or result of an operator. int: int64_t; float: double; bool: the lowest byte;
// Tensor: AtenTensor*, owned; T[]: TorchList*, owned, of such values; T?: null, or an owned pointer
// to such a value.
using StableValue = uint64_t;
using BoxedKernel = void (*)(StableValue* stack, uint64_t arguments, uint64_t results);

// 2.10.0, as major << 56 | minor << 48: the version whose encodings StableValue follows.
inline constexpr uint64_t kAbiVersion = uint64_t{2} << 56 | uint64_t{10} << 48;

// name, type. A library without one of these is too old.
#define SIGHTLINE_LIBTORCH_FUNCTIONS(X)                                                        \
  X(aoti_torch_device_type_cpu, int32_t())                                                     \
  X(aoti_torch_device_type_cuda, int32_t())                                                    \
  X(aoti_torch_dtype_float32, int32_t())                                                       \
  X(aoti_torch_dtype_bfloat16, int32_t())                                                      \
  X(aoti_torch_dtype_float64, int32_t())                                                       \
  X(aoti_torch_dtype_float16, int32_t())                                                       \
  X(aoti_torch_dtype_int64, int32_t())                                                         \
  X(aoti_torch_dtype_element_size, size_t(int32_t))                                            \
  X(aoti_torch_delete_tensor_object, int32_t(AtenTensor*))                                     \
  X(aoti_torch_is_defined, int32_t(AtenTensor*, bool*))                                        \
  X(aoti_torch_get_dim, int32_t(AtenTensor*, int64_t*))                                        \
  X(aoti_torch_get_numel, int32_t(AtenTensor*, int64_t*))                                      \
  X(aoti_torch_get_sizes, int32_t(AtenTensor*, int64_t**))                                     \
  X(aoti_torch_get_strides, int32_t(AtenTensor*, int64_t**))                                   \
  X(aoti_torch_get_dtype, int32_t(AtenTensor*, int32_t*))                                      \
  X(aoti_torch_get_device_type, int32_t(AtenTensor*, int32_t*))                                \
  X(aoti_torch_get_device_index, int32_t(AtenTensor*, int32_t*))                               \
  X(torch_get_const_data_ptr, int32_t(AtenTensor*, const void**))                              \
  X(torch_get_mutable_data_ptr, int32_t(AtenTensor*, void**))                                  \
  X(aoti_torch_empty_strided,                                                                  \
    int32_t(int64_t ndim, const int64_t* sizes, const int64_t* strides, int32_t dtype,         \
            int32_t device_type, int32_t device_index, AtenTensor** out))                      \
  X(aoti_torch_copy_, int32_t(AtenTensor* to, AtenTensor* from, int32_t non_blocking))         \
  X(aoti_torch_create_device_guard, int32_t(int32_t device_index, DeviceGuard**))              \
  X(aoti_torch_delete_device_guard, int32_t(DeviceGuard*))                                     \
  X(torch_get_num_threads, int32_t(uint32_t*))                                                 \
  X(torch_new_list_reserve_size, int32_t(size_t, TorchList**))                                 \
  X(torch_list_size, int32_t(TorchList*, size_t*))                                             \
  X(torch_list_get_item, int32_t(TorchList*, size_t, StableValue*))                            \
  X(torch_list_push_back, int32_t(TorchList*, StableValue))                                    \
  X(torch_delete_list, int32_t(TorchList*))                                                    \
  X(aoti_torch_library_init_def,                                                               \
    int32_t(const char* ns, const char* file, uint32_t line, TorchLibrary**))                  \
  X(aoti_torch_library_init_impl,                                                              \
    int32_t(const char* ns, const char* key, const char* file, uint32_t line, TorchLibrary**)) \
  X(aoti_torch_library_def, int32_t(TorchLibrary*, const char* schema))                        \
  X(torch_library_impl, int32_t(TorchLibrary*, const char* name, BoxedKernel, uint64_t version))

struct LibTorch {
#define SIGHTLINE_MEMBER(name, ...) std::add_pointer_t<__VA_ARGS__> name = nullptr;
  SIGHTLINE_LIBTORCH_FUNCTIONS(SIGHTLINE_MEMBER)
#undef SIGHTLINE_MEMBER
  // Where there is one (from 2.13 on), what libtorch frees its T? values with.
  int32_t (*torch_delete_stable_ivalue)(StableValue*) = nullptr;
  // Of libtorch_cuda, which may be absent.
  int32_t (*aoti_torch_get_current_cuda_stream)(int32_t device_index, void** stream) = nullptr;
};

// Fills `out` from the libtorch of this process; "" on success, else why it cannot be used.
std::string find_libtorch(LibTorch& out);

// The one that find_libtorch filled at registration; operators run only after that.
const LibTorch& libtorch();

}  // namespace sightline::torch_ops
