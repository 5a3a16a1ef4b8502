// Errors of the library as libtorch's, and torch's tensors as the C ABI takes them.
#ifndef SIGHTLINE_TORCH_TENSOR_HPP
#define SIGHTLINE_TORCH_TENSOR_HPP

#include <ATen/autocast_mode.h>
#include <sightline/sightline.h>
#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sightline {
namespace detail {

[[noreturn]] inline void refuse(const std::string& message) {
  C10_THROW_ERROR(ValueError, message);
}

inline void check(sl_status status) {
  switch (status) {
    case SL_OK:
      return;
    case SL_INVALID_ARGUMENT:
      refuse(sl_last_error());
    case SL_UNSUPPORTED:
      C10_THROW_ERROR(NotImplementedError, sl_last_error());
    case SL_OUT_OF_MEMORY:
      C10_THROW_ERROR(OutOfMemoryError, sl_last_error());
    default:
      C10_THROW_ERROR(Error, sl_last_error());
  }
}

// The type as DLPack writes it; what the library has no kernel for, it refuses by name.
inline sl_dtype dtype_of(const torch::Tensor& tensor) {
  const auto bits = static_cast<uint8_t>(8 * tensor.element_size());
  if (tensor.scalar_type() == torch::kBFloat16) return {SL_BFLOAT, bits, 1};
  if (tensor.scalar_type() == torch::kUInt8) return {1, bits, 1};
  if (tensor.is_complex()) return {5, bits, 1};
  if (tensor.scalar_type() == torch::kBool) return {6, bits, 1};
  return {static_cast<uint8_t>(tensor.is_floating_point() ? SL_FLOAT : SL_INT), bits, 1};
}

// A tensor as the C ABI takes it; undefined: NULL. The tensor must outlive it.
class View {
 public:
  explicit View(const torch::Tensor& tensor) : given_(tensor.defined()) {
    if (!given_) return;
    view_.data = tensor.data_ptr();
    view_.device.type = tensor.is_cuda() ? SL_CUDA : tensor.is_cpu() ? SL_CPU : -1;
    view_.device.id = tensor.is_cuda() ? tensor.get_device() : 0;
    view_.ndim = static_cast<int32_t>(tensor.dim());
    view_.dtype = dtype_of(tensor);
    view_.shape = const_cast<int64_t*>(tensor.sizes().data());
    view_.strides = const_cast<int64_t*>(tensor.strides().data());
  }
  operator const sl_tensor*() const { return given_ ? &view_ : nullptr; }
  operator sl_tensor*() { return given_ ? &view_ : nullptr; }

 private:
  bool given_;
  sl_tensor view_{};
};

// What the kernels read: any strides but the last dimension's, which is contiguous, and the values
// themselves where torch only notes that they are negated.
inline torch::Tensor rows(const torch::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  const torch::Tensor plain = tensor.resolve_neg();
  if (plain.dim() == 0 || plain.stride(-1) == 1 || plain.size(-1) <= 1) return plain;
  return plain.contiguous();
}

inline std::vector<torch::Tensor> rows(at::TensorList tensors) {
  std::vector<torch::Tensor> result;
  for (const torch::Tensor& tensor : tensors) result.push_back(rows(tensor));
  return result;
}

inline torch::Tensor empty_as(const torch::Tensor& tensor) {
  return torch::empty(tensor.sizes(), tensor.options());
}

// The kernels write through pointers, which autograd does not see: whoever saved the tensor for its
// backward pass must hear of it.
inline void written(const torch::Tensor& tensor) {
  if (!tensor.is_inference()) tensor.unsafeGetTensorImpl()->bump_version();
}

// A tensor, or none, that gets no gradient: autograd does not look inside.
struct Constant {
  torch::Tensor tensor;
};

// A gradient that refuses to be differentiated in its turn.
struct OnceDifferentiable : torch::autograd::Function<OnceDifferentiable> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& gradient, const std::string& operation) {
    context->saved_data["operation"] = operation;
    return gradient.detach();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list&) {
    C10_THROW_ERROR(NotImplementedError,
                    context->saved_data["operation"].toStringRef() +
                        ": second derivative asked for (create_graph = true), expected first "
                        "derivatives only");
  }
};

// Put around what a backward function returns: with create_graph its results are differentiable for
// torch, though the kernels' are not.
inline torch::autograd::variable_list once_differentiable(const char* operation,
                                                          torch::autograd::variable_list result) {
  if (!torch::GradMode::is_enabled()) return result;
  for (torch::Tensor& gradient : result) {
    if (!gradient.defined()) continue;
    gradient = OnceDifferentiable::apply(gradient.detach().requires_grad_(), operation);
  }
  return result;
}

// Autocast casts the inputs of torch's own operators only.
inline torch::Tensor autocast(const torch::Tensor& tensor) {
  const c10::DeviceType device = tensor.device().type();
  if ((device != torch::kCPU && device != torch::kCUDA) || !tensor.is_floating_point() ||
      !at::autocast::is_autocast_enabled(device)) {
    return tensor;
  }
  return tensor.to(at::autocast::get_autocast_dtype(device));
}

// From torch's generator, so that torch::manual_seed governs it; one seed, one mask.
inline int64_t seed_or_new(const std::optional<int64_t>& seed, double dropout) {
  if (seed.has_value()) return *seed;
  if (!(dropout > 0)) return 0;
  return torch::randint(int64_t{1} << 62, {}, torch::kLong).item<int64_t>();
}

}  // namespace detail
}  // namespace sightline

#endif  // SIGHTLINE_TORCH_TENSOR_HPP
