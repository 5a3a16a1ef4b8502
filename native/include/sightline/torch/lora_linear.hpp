// A torch::nn::Linear with a LoRA adapter, as a module.
#ifndef SIGHTLINE_TORCH_LORA_LINEAR_HPP
#define SIGHTLINE_TORCH_LORA_LINEAR_HPP

#include <cmath>
#include <sightline/torch/lora.hpp>

namespace sightline {

// scale = alpha / rank. dtype: of the adapter, by default that of the base weight.
struct LoraLinearOptions {
  LoraLinearOptions(int64_t rank, double alpha) : rank_(rank), alpha_(alpha) {}
  TORCH_ARG(int64_t, rank);
  TORCH_ARG(double, alpha);
  TORCH_ARG(double, dropout) = 0;
  TORCH_ARG(std::optional<torch::ScalarType>, dtype) = std::nullopt;
};

// Freezes the base. Parameters lora_A [r,K], uniform as torch::nn::Linear's weight, and lora_B
// [N,r], zeros: names and start of PEFT.
class LoraLinearImpl : public torch::nn::Module {
 public:
  LoraLinearImpl(torch::nn::Linear base, const LoraLinearOptions& given) : options(given) {
    if (options.rank() < 1) {
      detail::refuse("rank: " + std::to_string(options.rank()) + ", expected at least 1");
    }
    if (!(options.dropout() >= 0 && options.dropout() < 1)) {
      detail::refuse("dropout: " + std::to_string(options.dropout()) + ", expected 0 to below 1");
    }
    for (torch::Tensor& parameter : base->parameters()) parameter.requires_grad_(false);
    this->base = register_module("base", std::move(base));
    const torch::Tensor& weight = this->base->weight;
    const auto like = weight.options().dtype(options.dtype().value_or(weight.scalar_type()));
    lora_A = register_parameter("lora_A", torch::empty({options.rank(), weight.size(1)}, like));
    lora_B = register_parameter("lora_B", torch::zeros({weight.size(0), options.rank()}, like));
    torch::nn::init::kaiming_uniform_(lora_A, std::sqrt(5.0));
  }

  torch::Tensor forward(const torch::Tensor& x) {
    if (merged_) return base->forward(x);
    return lora_linear(x, base->weight, base->bias, lora_A, lora_B, scale(),
                       is_training() ? options.dropout() : 0);
  }

  double scale() const { return options.alpha() / static_cast<double>(options.rank()); }
  bool is_merged() const { return merged_; }

  // Adds the adapter to the base weight, rounded to nearest; forward then is the plain layer. Where
  // a sum is not finite, as beyond the range of the dtype, it throws and the weight is as it was.
  void merge() {
    if (merged_) detail::refuse("merge: the adapter is merged, expected that it is not");
    const torch::Tensor before = base->weight.detach().clone();
    lora_merge_(base->weight, lora_A, lora_B, scale());
    if (!base->weight.isfinite().all().item<bool>()) {
      const torch::NoGradGuard no_grad;
      base->weight.copy_(before);
      detail::refuse("merge: a sum weight + scale B A is not finite, expected that all are");
    }
    merged_ = true;
  }
  void unmerge() {
    if (!merged_) detail::refuse("unmerge: the adapter is not merged, expected that it is");
    lora_unmerge_(base->weight, lora_A, lora_B, scale());
    merged_ = false;
  }

  LoraLinearOptions options;
  torch::nn::Linear base{nullptr};
  torch::Tensor lora_A, lora_B;

 private:
  bool merged_ = false;
};
TORCH_MODULE(LoraLinear);

}  // namespace sightline

#endif  // SIGHTLINE_TORCH_LORA_LINEAR_HPP
