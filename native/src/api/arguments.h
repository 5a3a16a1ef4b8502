// Checks of single arguments. Every message reads "<argument>: <value found>, expected <value expected>".
#pragma once

#include <cstdint>

#include "api/error.h"
#include "api/text.h"

namespace sightline {

inline constexpr int kMaxDims = 8;

// SL_INVALID_ARGUMENT with "<arg>: <formatted text>".
sl_status invalid(const Arg& arg, const char* format, ...) __attribute__((format(printf, 2, 3)));

// ---- scalars ----
sl_status check_pointer(const Arg& arg, const void* pointer);
sl_status check_flag(const Arg& arg, int32_t value);  // 0 or 1
// An enum's value, 0 to count - 1.
sl_status check_choice(const Arg& arg, int32_t value, int32_t count, const char* type);
sl_status check_probability(const Arg& arg, double value);  // [0, 1), also after rounding to fp32
sl_status check_finite(const Arg& arg, double value);       // also after rounding to fp32
sl_status check_positive(const Arg& arg, double value);     // finite and above 0, also in fp32
sl_status check_context(const sl_context* context);
sl_status check_dtype(const Arg& arg, const sl_dtype& dtype);

// ---- tensors ----

// Everything that can be wrong with a tensor by itself: pointers, dimensions, dtype, device,
// strides, extent, alignment. `layout` describes the dimensions, such as "[B,N,D]".
sl_status check_tensor(const Arg& arg, const sl_tensor* tensor, int min_dims, int max_dims,
                       const char* layout);

// As check_tensor, of one dtype: `name` is that of the dtype, such as "int16".
sl_status check_tensor_of(const Arg& arg, const sl_tensor* tensor, const sl_dtype& dtype,
                          const char* name, int min_dims, int max_dims, const char* layout);

// As check_tensor, of an operand or result of matrix products. Offsets and loops count at most the
// product of two of their extents, some of it once for each linear of a call: bounded so, none
// leaves 63 bits. Memory is counted by common/arena.h besides.
inline constexpr int64_t kMaxExtent = int64_t{1} << 26;
sl_status check_matrix(const Arg& arg, const sl_tensor* tensor, int min_dims, int max_dims,
                       const char* layout);

// One number of dtype fp32, in any number of dimensions.
sl_status check_number(const Arg& arg, const sl_tensor* tensor);

// `why` names what sets the expected size, such as "columns of w1".
sl_status check_dim(const Arg& arg, const sl_tensor& tensor, int dim, int64_t expected,
                    const char* why);
sl_status check_dim_positive(const Arg& arg, const sl_tensor& tensor, int dim);
sl_status check_same_shape(const Arg& arg, const sl_tensor& tensor, const sl_tensor& other,
                           const char* other_name);
sl_status check_same_dtype(const Arg& arg, const sl_tensor& tensor, const sl_tensor& other,
                           const char* other_name);
sl_status check_float32(const Arg& arg, const sl_tensor& tensor);
sl_status check_same_device(const Arg& arg, const sl_tensor& tensor, const sl_device& device,
                            const char* other_name);
sl_status check_contiguous(const Arg& arg, const sl_tensor& tensor);

}  // namespace sightline
