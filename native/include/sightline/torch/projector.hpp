// The projector of the alignment loss: LayerNorm(D) -> Linear -> SiLU -> Linear -> SiLU -> Linear.
#ifndef SIGHTLINE_TORCH_PROJECTOR_HPP
#define SIGHTLINE_TORCH_PROJECTOR_HPP

#include <algorithm>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <sightline/torch/context.hpp>

namespace sightline {

struct ProjectorOptions {
  TORCH_ARG(bool, bf16) = false;       // products on bf16 operands, with fp32 sums
  TORCH_ARG(bool, trainable) = false;  // the eight parameters get gradients
  TORCH_ARG(double, eps) = 1e-5;       // of LayerNorm
  TORCH_ARG(double, dropout) = 0;      // after each SiLU, in training mode; trainable ones only
};

namespace detail {

constexpr size_t kProjectorParameters = 8;

// Eight tensors as an sl_projector.
class ProjectorView {
 public:
  explicit ProjectorView(std::vector<torch::Tensor> tensors) : tensors_(std::move(tensors)) {
    if (tensors_.size() != kProjectorParameters) {
      refuse("parameters: " + std::to_string(tensors_.size()) +
             " tensors, expected 8: ln_weight, ln_bias, w1, b1, w2, b2, w3, b3");
    }
    for (size_t i = 0; i < kProjectorParameters; ++i) {
      if (!tensors_[i].defined()) {
        refuse("parameters[" + std::to_string(i) + "]: undefined, expected a tensor");
      }
      views_.emplace_back(tensors_[i]);
    }
    projector_ = {views_[0], views_[1], views_[2], views_[3],
                  views_[4], views_[5], views_[6], views_[7]};
  }
  ProjectorView(const ProjectorView&) = delete;
  ProjectorView& operator=(const ProjectorView&) = delete;
  const sl_projector* get() const { return &projector_; }
  const std::vector<torch::Tensor>& tensors() const { return tensors_; }

 private:
  std::vector<torch::Tensor> tensors_;
  std::vector<View> views_;
  sl_projector projector_{};
};

// The handle, and a trainable projector's parameters.
struct ProjectorState {
  ProjectorOptions options;
  bool training = false;
  std::vector<torch::Tensor> parameters;
  sl_alignment* handle = nullptr;
  std::shared_mutex mutex;  // weights are read again while no loss uses the handle

  ProjectorState() = default;
  ProjectorState(const ProjectorState&) = delete;
  ProjectorState& operator=(const ProjectorState&) = delete;
  ~ProjectorState() { sl_alignment_destroy(handle); }

  // Whether they were written cannot be known: torch::optim::SGD, for one, writes through .data(),
  // which version counters do not see.
  void read_again() {
    if (!options.trainable()) return;
    const ProjectorView weights(rows(parameters));
    const Context context(weights.tensors()[0]);
    const std::unique_lock<std::shared_mutex> lock(mutex);
    check(sl_alignment_update(handle, context.get(), weights.get()));
  }
};

}  // namespace detail

// Parameters: ln_weight [D], ln_bias [D], w1 [P,D], b1 [P], w2 [P,P], b2 [P], w3 [Z,P], b3 [Z], all
// float32 or all bfloat16. A frozen projector reads them once and does not keep them; a trainable
// one keeps them and reads them at each loss. Copies share everything.
class Projector {
 public:
  explicit Projector(const std::vector<torch::Tensor>& parameters, ProjectorOptions options = {})
      : state_(std::make_shared<detail::ProjectorState>()) {
    const detail::ProjectorView weights(detail::rows(parameters));
    sl_alignment_config config{};
    config.compute = options.bf16() ? sl_dtype{SL_BFLOAT, 16, 1} : sl_dtype{SL_FLOAT, 32, 1};
    config.trainable = options.trainable();
    config.ln_eps = options.eps();
    config.dropout = options.dropout();
    state_->options = options;
    state_->training = options.trainable();
    if (options.trainable()) state_->parameters = parameters;
    const detail::Context context(weights.tensors()[0]);  // the device
    detail::check(sl_alignment_create(weights.get(), &config, &state_->handle));
  }

  // Of a module with one LayerNorm and three Linear layers among its submodules, in that order.
  // bf16: by default where the weights are. Dropout is that of its Dropout layers.
  static Projector from_module(const torch::nn::Module& module, std::optional<bool> bf16 = {},
                               bool trainable = false) {
    std::vector<torch::Tensor> parameters;
    std::string kinds;
    ProjectorOptions options = ProjectorOptions().trainable(trainable);
    for (const auto& layer : module.modules(/*include_self=*/false)) {
      if (const auto* norm = layer->as<torch::nn::LayerNorm>()) {
        kinds += "LayerNorm ";
        parameters.insert(parameters.end(), {norm->weight, norm->bias});
        options.eps(norm->options.eps());
      } else if (const auto* linear = layer->as<torch::nn::Linear>()) {
        kinds += "Linear ";
        parameters.insert(parameters.end(), {linear->weight, linear->bias});
      } else if (const auto* dropout = layer->as<torch::nn::Dropout>()) {
        if (trainable) options.dropout(std::max(options.dropout(), dropout->options.p()));
      }
    }
    if (kinds != "LayerNorm Linear Linear Linear ") {
      detail::refuse("module: layers " + kinds + "found, expected LayerNorm Linear Linear Linear");
    }
    for (const torch::Tensor& parameter : parameters) {
      if (!parameter.defined()) {
        detail::refuse("module: a layer without weight or bias, expected both in each");
      }
    }
    options.bf16(bf16.value_or(parameters[2].scalar_type() == torch::kBFloat16));
    return Projector(parameters, options);
  }

  // Of a trainable projector, the tensors it was made of; else none.
  const std::vector<torch::Tensor>& parameters() const { return state_->parameters; }
  const ProjectorOptions& options() const { return state_->options; }

  // Whether dropout is drawn. A trainable projector starts in training mode.
  void train(bool on = true) {
    if (on && !options().trainable()) {
      detail::refuse("train: true, expected false for a frozen projector");
    }
    state_->training = on;
  }
  bool is_training() const { return state_->training; }

  const std::shared_ptr<detail::ProjectorState>& state() const { return state_; }

 private:
  std::shared_ptr<detail::ProjectorState> state_;
};

}  // namespace sightline

#endif  // SIGHTLINE_TORCH_PROJECTOR_HPP
