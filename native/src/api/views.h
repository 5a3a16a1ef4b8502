// A tensor of the ABI, once checked, as what the backends take.
#pragma once

#include "common/views.h"
#include "sightline/sightline.h"

namespace sightline {

DType dtype_of(const sl_dtype& dtype);
int64_t element_count(const sl_tensor& tensor);
int64_t stride_of(const sl_tensor& tensor, int dim);  // also where strides is NULL
void* data_of(const sl_tensor& tensor);               // byte_offset applied

// [cols] -> 1 row; [rows,cols]; [batch,rows,cols]. A NULL tensor gives an empty view.
View3 view3(const sl_tensor* tensor);
View2 view2(const sl_tensor* tensor);
Span span(const sl_tensor* tensor);

}  // namespace sightline
