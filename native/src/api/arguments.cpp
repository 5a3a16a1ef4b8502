#include "api/arguments.h"

#include <cinttypes>
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "api/views.h"

namespace sightline {
namespace {

sl_status check_device(const Arg& arg, const sl_device& device) {
  if (device.type != SL_CPU && device.type != SL_CUDA) {
    return invalid(arg, "device type %d, expected %d (CPU) or %d (CUDA)", device.type, SL_CPU,
                   SL_CUDA);
  }
  if (device.type == SL_CPU && device.id != 0) {
    return invalid(arg, "device cpu:%d, expected cpu:0", device.id);
  }
  if (device.id < 0) return invalid(arg, "device id %d, expected at least 0", device.id);
  return SL_OK;
}

// Strides and the extent of memory they span, for a tensor with elements.
sl_status check_layout(const Arg& arg, const sl_tensor& tensor, int64_t itemsize) {
  const int last = tensor.ndim - 1;
  if (tensor.strides != nullptr && last >= 0) {
    if (tensor.shape[last] > 1 && tensor.strides[last] != 1) {
      return invalid(arg, "strides %s, expected 1 in the last dimension (contiguous)",
                     strides_of(tensor).chars);
    }
    for (int d = 0; d < last; ++d) {
      if (tensor.shape[d] > 1 && tensor.strides[d] < 0) {
        return invalid(arg, "strides %s, expected none below 0", strides_of(tensor).chars);
      }
    }
  }
  int64_t last_element = 0;
  bool overflow = false;
  for (int d = 0; d < tensor.ndim; ++d) {
    if (tensor.shape[d] == 1) continue;
    int64_t step = 0;
    overflow |= __builtin_mul_overflow(tensor.shape[d] - 1, stride_of(tensor, d), &step);
    overflow |= __builtin_add_overflow(last_element, step, &last_element);
  }
  const auto base = reinterpret_cast<uintptr_t>(tensor.data);
  uintptr_t begin = 0, bytes = 0, end = 0;
  overflow |= __builtin_add_overflow(base, tensor.byte_offset, &begin);
  overflow |= __builtin_mul_overflow(static_cast<uintptr_t>(last_element) + 1,
                                     static_cast<uintptr_t>(itemsize), &bytes);
  overflow |= __builtin_add_overflow(begin, bytes, &end);
  // No system hands out addresses of the upper half: a byte_offset that leads there is a mistake. A
  // quarter leaves room for a whole number of strides.
  if (overflow || end > static_cast<uintptr_t>(INTPTR_MAX / 2)) {
    return invalid(arg,
                   "shape %s, strides %s and byte_offset %" PRIu64
                   ", expected an extent within the address space",
                   shape_of(tensor).chars, strides_of(tensor).chars, tensor.byte_offset);
  }
  if (tensor.data == nullptr) {
    return invalid(arg, "data is NULL with shape %s, expected memory for its elements",
                   shape_of(tensor).chars);
  }
  if (begin % static_cast<uintptr_t>(itemsize) != 0) {
    return invalid(arg, "address 0x%" PRIxPTR ", expected a multiple of %d, the element size",
                   begin, static_cast<int>(itemsize));
  }
  return SL_OK;
}

}  // namespace

sl_status invalid(const Arg& arg, const char* format, ...) {
  char text[800];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return set_error(SL_INVALID_ARGUMENT, "%s: %s", name_of(arg).chars, text);
}

sl_status check_pointer(const Arg& arg, const void* pointer) {
  return pointer != nullptr ? SL_OK : invalid(arg, "NULL, expected a pointer");
}

sl_status check_flag(const Arg& arg, int32_t value) {
  return value == 0 || value == 1 ? SL_OK : invalid(arg, "%d, expected 0 or 1", value);
}

sl_status check_probability(const Arg& arg, double value) {
  // A double just below 1 rounds to 1.0f, whose survivors would be divided by 0.
  if (value >= 0. && static_cast<float>(value) < 1.f) return SL_OK;
  return invalid(arg, "%g, expected a probability in [0, 1)", value);
}

sl_status check_finite(const Arg& arg, double value) {
  if (std::isfinite(static_cast<float>(value))) return SL_OK;
  return invalid(arg, "%g, expected a finite number", value);
}

sl_status check_positive(const Arg& arg, double value) {
  SL_TRY(check_finite(arg, value));
  if (static_cast<float>(value) > 0.f) return SL_OK;
  return invalid(arg, "%g, expected a float32 above 0", value);
}

sl_status check_choice(const Arg& arg, int32_t value, int32_t count, const char* type) {
  if (value >= 0 && value < count) return SL_OK;
  return invalid(arg, "%d, expected 0 to %d (%s)", value, count - 1, type);
}

sl_status check_context(const sl_context* context) {
  if (context == nullptr) return SL_OK;
  if (context->num_threads < 0 || context->num_threads > kMaxThreads) {
    return invalid({"num_threads", "context"}, "%d, expected 0 to %d", context->num_threads,
                   kMaxThreads);
  }
  if (context->fp32_precision != SL_FP32_IEEE && context->fp32_precision != SL_FP32_TF32) {
    return invalid({"fp32_precision", "context"}, "%d, expected %d (IEEE) or %d (TF32)",
                   context->fp32_precision, SL_FP32_IEEE, SL_FP32_TF32);
  }
  if (context->workspace == nullptr && context->workspace_bytes != 0) {
    return invalid({"workspace", "context"}, "NULL with workspace_bytes %" PRIu64 ", expected 0",
                   context->workspace_bytes);
  }
  return SL_OK;
}

sl_status check_dtype(const Arg& arg, const sl_dtype& dtype) {
  const bool float32 = dtype.code == SL_FLOAT && dtype.bits == 32 && dtype.lanes == 1;
  const bool bfloat16 = dtype.code == SL_BFLOAT && dtype.bits == 16 && dtype.lanes == 1;
  if (float32 || bfloat16) return SL_OK;
  return invalid(arg,
                 "%s, expected float32 (code %d, bits 32, lanes 1) or bfloat16 (code %d, "
                 "bits 16, lanes 1)",
                 dtype_name(dtype).chars, SL_FLOAT, SL_BFLOAT);
}

namespace {

// What check_tensor checks before the dtype, and after it.
sl_status check_shape(const Arg& arg, const sl_tensor* tensor, int min_dims, int max_dims,
                      const char* layout) {
  SL_TRY(check_pointer(arg, tensor));
  if (tensor->ndim < min_dims || tensor->ndim > max_dims) {
    if (min_dims == max_dims) {
      return invalid(arg, "%d dimensions, expected %d, %s", tensor->ndim, min_dims, layout);
    }
    return invalid(arg, "%d dimensions, expected %d to %d, %s", tensor->ndim, min_dims, max_dims,
                   layout);
  }
  if (tensor->ndim > 0 && tensor->shape == nullptr) {
    return invalid(arg, "shape is NULL, expected %d sizes", tensor->ndim);
  }
  for (int d = 0; d < tensor->ndim; ++d) {
    if (tensor->shape[d] < 0) {
      return invalid(arg, "shape %s, expected no size below 0", shape_of(*tensor).chars);
    }
  }
  return SL_OK;
}

sl_status check_memory(const Arg& arg, const sl_tensor& tensor) {
  SL_TRY(check_device(arg, tensor.device));
  for (int d = 0; d < tensor.ndim; ++d) {
    if (tensor.shape[d] == 0) return SL_OK;
  }
  int64_t bytes = tensor.dtype.bits / 8;
  for (int d = 0; d < tensor.ndim; ++d) {
    if (__builtin_mul_overflow(bytes, tensor.shape[d], &bytes)) {
      return invalid(arg, "shape %s, expected fewer than 2^63 bytes", shape_of(tensor).chars);
    }
  }
  return check_layout(arg, tensor, tensor.dtype.bits / 8);
}

}  // namespace

sl_status check_tensor(const Arg& arg, const sl_tensor* tensor, int min_dims, int max_dims,
                       const char* layout) {
  SL_TRY(check_shape(arg, tensor, min_dims, max_dims, layout));
  SL_TRY(check_dtype(arg, tensor->dtype));
  return check_memory(arg, *tensor);
}

sl_status check_tensor_of(const Arg& arg, const sl_tensor* tensor, const sl_dtype& dtype,
                          const char* name, int min_dims, int max_dims, const char* layout) {
  SL_TRY(check_shape(arg, tensor, min_dims, max_dims, layout));
  const sl_dtype& found = tensor->dtype;
  if (found.code != dtype.code || found.bits != dtype.bits || found.lanes != dtype.lanes) {
    return invalid(arg, "%s, expected %s (code %d, bits %d, lanes %d)", dtype_name(found).chars,
                   name, dtype.code, dtype.bits, dtype.lanes);
  }
  return check_memory(arg, *tensor);
}

sl_status check_matrix(const Arg& arg, const sl_tensor* tensor, int min_dims, int max_dims,
                       const char* layout) {
  SL_TRY(check_tensor(arg, tensor, min_dims, max_dims, layout));
  int64_t rows = 1;  // their product fits, or one of them is 0
  for (int d = 0; d < tensor->ndim - 1; ++d) {
    if (__builtin_mul_overflow(rows, tensor->shape[d], &rows)) rows = kMaxExtent + 1;
  }
  if (rows <= kMaxExtent && tensor->shape[tensor->ndim - 1] <= kMaxExtent) return SL_OK;
  return invalid(arg, "shape %s, expected at most %" PRId64 " rows and as many columns",
                 shape_of(*tensor).chars, kMaxExtent);
}

sl_status check_number(const Arg& arg, const sl_tensor* tensor) {
  SL_TRY(check_tensor(arg, tensor, 0, kMaxDims, "one number"));
  for (int d = 0; d < tensor->ndim; ++d) {
    if (tensor->shape[d] != 1) {
      return invalid(arg, "shape %s, expected one number", shape_of(*tensor).chars);
    }
  }
  return check_float32(arg, *tensor);
}

sl_status check_dim(const Arg& arg, const sl_tensor& tensor, int dim, int64_t expected,
                    const char* why) {
  if (tensor.shape[dim] == expected) return SL_OK;
  if (dim == tensor.ndim - 1) {
    return invalid(arg, "shape %s, expected last dimension %" PRId64 " (%s)",
                   shape_of(tensor).chars, expected, why);
  }
  return invalid(arg, "shape %s, expected dimension %d to be %" PRId64 " (%s)",
                 shape_of(tensor).chars, dim, expected, why);
}

sl_status check_dim_positive(const Arg& arg, const sl_tensor& tensor, int dim) {
  if (tensor.shape[dim] > 0) return SL_OK;
  return invalid(arg, "shape %s, expected dimension %d to be at least 1", shape_of(tensor).chars,
                 dim);
}

sl_status check_same_shape(const Arg& arg, const sl_tensor& tensor, const sl_tensor& other,
                           const char* other_name) {
  bool same = tensor.ndim == other.ndim;
  for (int d = 0; same && d < tensor.ndim; ++d) same = tensor.shape[d] == other.shape[d];
  if (same) return SL_OK;
  return invalid(arg, "shape %s, expected %s (the shape of %s)", shape_of(tensor).chars,
                 shape_of(other).chars, other_name);
}

sl_status check_same_dtype(const Arg& arg, const sl_tensor& tensor, const sl_tensor& other,
                           const char* other_name) {
  if (tensor.dtype.code == other.dtype.code && tensor.dtype.bits == other.dtype.bits) return SL_OK;
  return invalid(arg, "%s, expected %s (the dtype of %s)", dtype_name(tensor.dtype).chars,
                 dtype_name(other.dtype).chars, other_name);
}

sl_status check_float32(const Arg& arg, const sl_tensor& tensor) {
  if (tensor.dtype.code == SL_FLOAT && tensor.dtype.bits == 32) return SL_OK;
  return invalid(arg, "%s, expected float32", dtype_name(tensor.dtype).chars);
}

sl_status check_same_device(const Arg& arg, const sl_tensor& tensor, const sl_device& device,
                            const char* other_name) {
  if (tensor.device.type == device.type && tensor.device.id == device.id) return SL_OK;
  return invalid(arg, "device %s, expected %s (the device of %s)", device_name(tensor.device).chars,
                 device_name(device).chars, other_name);
}

sl_status check_contiguous(const Arg& arg, const sl_tensor& tensor) {
  if (tensor.strides == nullptr || element_count(tensor) == 0) return SL_OK;
  int64_t expected = 1;
  for (int d = tensor.ndim - 1; d >= 0; --d) {
    if (tensor.shape[d] != 1 && tensor.strides[d] != expected) {
      return invalid(arg, "strides %s with shape %s, expected a contiguous tensor",
                     strides_of(tensor).chars, shape_of(tensor).chars);
    }
    expected *= tensor.shape[d];
  }
  return SL_OK;
}

}  // namespace sightline
