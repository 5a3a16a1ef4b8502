#include "api/views.h"

namespace sightline {

DType dtype_of(const sl_dtype& dtype) {
  if (dtype.code == SL_INT) return DType::kInt16;
  return dtype.code == SL_FLOAT ? DType::kFloat32 : DType::kBFloat16;
}

int64_t element_count(const sl_tensor& tensor) {
  for (int d = 0; d < tensor.ndim; ++d) {
    if (tensor.shape[d] == 0) return 0;
  }
  int64_t count = 1;
  for (int d = 0; d < tensor.ndim; ++d) count *= tensor.shape[d];
  return count;
}

int64_t stride_of(const sl_tensor& tensor, int dim) {
  if (tensor.strides != nullptr) return tensor.strides[dim];
  int64_t stride = 1;
  for (int d = tensor.ndim - 1; d > dim; --d) stride *= tensor.shape[d];
  return stride;
}

void* data_of(const sl_tensor& tensor) {
  if (tensor.data == nullptr) return nullptr;
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(tensor.data) + tensor.byte_offset);
}

View3 view3(const sl_tensor* tensor) {
  View3 view;
  if (tensor == nullptr) return view;
  const int n = tensor->ndim;
  view.data = data_of(*tensor);
  view.dtype = dtype_of(tensor->dtype);
  view.batch = n >= 3 ? tensor->shape[n - 3] : 1;
  view.rows = n >= 2 ? tensor->shape[n - 2] : 1;
  view.cols = n >= 1 ? tensor->shape[n - 1] : 1;
  if (element_count(*tensor) == 0) return view;  // strides may be anything
  // Frameworks leave any number as the stride of a dimension of size 1.
  view.row_stride = view.rows > 1 ? stride_of(*tensor, n - 2) : view.cols;
  view.batch_stride = view.batch > 1 ? stride_of(*tensor, n - 3) : view.rows * view.row_stride;
  return view;
}

View2 view2(const sl_tensor* tensor) {
  const View3 view = view3(tensor);
  return {view.data, view.dtype, view.rows, view.cols, view.row_stride};
}

Span span(const sl_tensor* tensor) {
  if (tensor == nullptr) return {};
  return {data_of(*tensor), dtype_of(tensor->dtype), element_count(*tensor)};
}

}  // namespace sightline
