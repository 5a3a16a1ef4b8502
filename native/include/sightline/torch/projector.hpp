// The projector of the alignment loss: [norm] -> Linear -> activation -> ... -> Linear.
#ifndef SIGHTLINE_TORCH_PROJECTOR_HPP
#define SIGHTLINE_TORCH_PROJECTOR_HPP

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <regex>
#include <shared_mutex>
#include <sightline/torch/context.hpp>

namespace sightline {

struct ProjectorOptions {
  TORCH_ARG(bool, bf16) = false;       // products on bf16 operands, with fp32 sums
  TORCH_ARG(bool, trainable) = false;  // the parameters get gradients
  TORCH_ARG(double, eps) = 1e-5;       // of the norm
  TORCH_ARG(double, dropout) = 0;  // after each activation, in training mode; trainable ones only
  TORCH_ARG(sl_norm, norm) = SL_LAYER_NORM;        // of the hidden states
  TORCH_ARG(sl_activation, activation) = SL_SILU;  // after each layer but the last
};

namespace detail {

// The tensors that a projector has, in order, as an sl_projector: the norm's vectors, if any, come
// before the first matrix, a layer's bias, if any, after its weight.
class ProjectorView {
 public:
  explicit ProjectorView(std::vector<torch::Tensor> tensors) : tensors_(std::move(tensors)) {
    views_.reserve(tensors_.size());
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (!tensors_[i].defined()) {
        refuse("parameters[" + std::to_string(i) + "]: undefined, expected a tensor");
      }
      views_.emplace_back(tensors_[i]);
    }
    projector_.norm_weight = take(1);
    projector_.norm_bias = take(1);
    for (; layers_ < 4 && taken_ < views_.size(); ++layers_) {
      sl_projector_layer& layer = projector_.layers[layers_];
      if ((layer.weight = take(2)) == nullptr) break;
      layer.bias = take(1);
    }
    if (taken_ < views_.size() || layers_ == 0) {
      refuse("parameters: " + std::to_string(views_.size()) + " tensors, of which " +
             std::to_string(taken_) +
             " fit, expected norm weight [D] and bias [D], if there are any, then weight [out,in] "
             "and, if there is one, bias [out] of one to four layers");
    }
  }
  ProjectorView(const ProjectorView&) = delete;
  ProjectorView& operator=(const ProjectorView&) = delete;
  const sl_projector* get() const { return &projector_; }
  int layers() const { return layers_; }
  const std::vector<torch::Tensor>& tensors() const { return tensors_; }

 private:
  const sl_tensor* take(int64_t dims) {
    if (taken_ == views_.size() || tensors_[taken_].dim() != dims) return nullptr;
    return views_[taken_++];
  }

  std::vector<torch::Tensor> tensors_;
  std::vector<View> views_;
  size_t taken_ = 0;
  int layers_ = 0;
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

// Parameters: norm weight [D] and bias [D], if there are any, then weight [out,in] and, if there is
// one, bias [out] of each of one to four layers, all float32 or all bfloat16. A frozen projector
// reads them once and does not keep them; a trainable one keeps them and reads them at each loss.
// Copies share everything.
class Projector {
 public:
  explicit Projector(const std::vector<torch::Tensor>& parameters, ProjectorOptions options = {})
      : state_(std::make_shared<detail::ProjectorState>()) {
    const detail::ProjectorView weights(detail::rows(parameters));
    sl_projector_desc desc{};
    desc.size = sizeof desc;
    desc.layers = weights.layers();
    desc.norm = options.norm();
    desc.activation = options.activation();
    desc.norm_eps = options.eps();
    desc.dropout = options.dropout();
    desc.compute = options.bf16() ? sl_dtype{SL_BFLOAT, 16, 1} : sl_dtype{SL_FLOAT, 32, 1};
    desc.trainable = options.trainable();
    state_->options = options;
    state_->training = options.trainable();
    if (options.trainable()) state_->parameters = parameters;
    const detail::Context context(weights.tensors()[0]);  // the device
    detail::check(sl_alignment_create(weights.get(), &desc, &state_->handle));
  }

  // Of a module, by its submodules: a LayerNorm or none, then one to four Linear with the same SiLU,
  // GELU or ReLU between them and, if it is to be trained, the same Dropout after each; Identity is
  // passed over. bf16: by default where the weights are.
  static Projector from_module(const torch::nn::Module& module, std::optional<bool> bf16 = {},
                               bool trainable = false) {
    namespace nn = torch::nn;
    std::vector<torch::Tensor> parameters;
    std::string names, letters;
    std::vector<sl_activation> activations;
    std::vector<double> dropouts;
    torch::ScalarType dtype = torch::kFloat;
    ProjectorOptions options = ProjectorOptions().trainable(trainable).norm(SL_NORM_NONE);
    const auto found = [&](char letter, const std::string& name) {
      letters += letter;
      names += name + " ";
    };
    const auto keep = [&](const torch::Tensor& parameter) {
      if (parameter.defined()) parameters.push_back(parameter);
    };
    for (const auto& layer : module.modules(/*include_self=*/false)) {
      if (!layer->children().empty() || layer->as<nn::Identity>()) continue;
      if (const auto* norm = layer->as<nn::LayerNorm>()) {
        found('N', "LayerNorm");
        keep(norm->weight), keep(norm->bias);
        options.eps(norm->options.eps()).norm(SL_LAYER_NORM);
      } else if (const auto* linear = layer->as<nn::Linear>()) {
        if (letters.find('L') == std::string::npos) dtype = linear->weight.scalar_type();
        found('L', "Linear");
        keep(linear->weight), keep(linear->bias);
      } else if (layer->as<nn::SiLU>()) {
        found('A', "SiLU");
        activations.push_back(SL_SILU);
      } else if (const auto* gelu = layer->as<nn::GELU>()) {
        found('A', "GELU");
        activations.push_back(gelu->options.approximate() == "tanh" ? SL_GELU_TANH : SL_GELU);
      } else if (layer->as<nn::ReLU>()) {
        found('A', "ReLU");
        activations.push_back(SL_RELU);
      } else if (const auto* dropout = layer->as<nn::Dropout>()) {
        if (!trainable || dropout->options.p() == 0) continue;
        found('D', "Dropout");
        dropouts.push_back(dropout->options.p());
      } else {
        found('?', layer->name());
      }
    }
    if (!std::regex_match(letters, std::regex("N?L((AL){0,3}|(ADL){0,3})"))) {
      detail::refuse("module: layers " + names +
                     "found, expected a LayerNorm or none, then one to four Linear with SiLU, GELU "
                     "or ReLU between them, and Dropout after each of these or nowhere");
    }
    const auto same = [](const auto& values) {
      return std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) ==
             values.end();
    };
    if (!same(activations)) detail::refuse("module: activations of several kinds, expected one");
    if (!same(dropouts)) detail::refuse("module: dropouts that differ, expected the same");
    options.activation(activations.empty() ? SL_ACTIVATION_NONE : activations[0]);
    options.dropout(dropouts.empty() ? 0 : dropouts[0]);
    options.bf16(bf16.value_or(dtype == torch::kBFloat16));
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
