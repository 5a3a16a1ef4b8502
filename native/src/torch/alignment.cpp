// torch.ops.sightline.alignment_*: sl_alignment_* on torch's tensors.
#include <mutex>
#include <shared_mutex>

#include "torch/operators.h"
#include "torch/values.h"

namespace sightline::torch_ops {
namespace {

// The tensors that a projector has, in order, as an sl_projector: the norm's vectors, if any, come
// before the first matrix, a layer's bias, if any, after its weight.
class Projector {
 public:
  Projector(std::vector<Tensor>& tensors, bool write) {
    for (Tensor& tensor : tensors) {
      views_.push_back(write ? tensor.write_view() : tensor.read_view());
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
  const sl_projector* get() const { return &projector_; }
  int layers() const { return layers_; }

 private:
  const sl_tensor* take(int32_t dims) {
    return taken_ < views_.size() && views_[taken_].ndim == dims ? &views_[taken_++] : nullptr;
  }

  std::vector<sl_tensor> views_;
  size_t taken_ = 0;
  int layers_ = 0;
  sl_projector projector_{};
};

sl_alignment* as_alignment(int64_t handle) {
  return reinterpret_cast<sl_alignment*>(static_cast<intptr_t>(handle));
}

// A trainable projector's weights are read again before each loss, which no other call may see
// happen: the reading excludes all other use of any handle.
std::shared_mutex& weights_mutex() {
  static auto* mutex = new std::shared_mutex;
  return *mutex;
}

int32_t choice(const char* name, int64_t value) {
  if (value != static_cast<int32_t>(value)) {
    refuse(name + (": " + std::to_string(value)) + ", expected one of sightline.h");
  }
  return static_cast<int32_t>(value);
}

void create(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "Lbbffii");
  std::vector<Tensor> parameters = stack.tensors();
  sl_projector_desc desc{};
  desc.size = sizeof desc;
  desc.compute = stack.boolean() ? sl_dtype{SL_BFLOAT, 16, 1} : sl_dtype{SL_FLOAT, 32, 1};
  desc.trainable = stack.boolean();
  desc.norm_eps = stack.number();
  desc.dropout = stack.number();
  desc.norm = choice("norm", stack.integer());
  desc.activation = choice("activation", stack.integer());
  const Projector projector(parameters, false);
  desc.layers = projector.layers();
  const Context context(parameters[0]);  // the device
  sl_alignment* alignment = nullptr;
  check(sl_alignment_create(projector.get(), &desc, &alignment));
  stack.result(static_cast<int64_t>(reinterpret_cast<intptr_t>(alignment)));
}

void destroy(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "i");
  sl_alignment_destroy(as_alignment(stack.integer()));
}

struct Loss {
  Tensor loss, cosine, grad_hidden;
};

// Kind, teacher_norm, normalize and negatives; beta, temperature and false_negatives: the fields of
// sl_loss_desc in their order.
sl_loss_desc take_loss(Stack& stack) {
  sl_loss_desc desc{};
  desc.size = sizeof desc;
  desc.kind = choice("kind", stack.integer());
  desc.teacher_norm = choice("teacher_norm", stack.integer());
  desc.normalize = choice("normalize", stack.integer());
  desc.negatives = choice("negatives", stack.integer());
  desc.beta = stack.number();
  desc.temperature = stack.number();
  desc.false_negatives = stack.number();
  return desc;
}

// `grad_parameters` null: none asked for.
Loss compute(int64_t handle, Tensor& hidden, Tensor& teacher, Tensor& token_weight, bool gradient,
             const sl_projector* grad_parameters, bool training, int64_t seed,
             const sl_loss_desc& loss_desc) {
  const int32_t float32 = libtorch().aoti_torch_dtype_float32();
  const std::vector<int64_t> shape = hidden.shape();
  if (shape.size() != 3) {
    refuse("hidden: " + std::to_string(shape.size()) + " dimensions, expected 3: [B,N,D]");
  }
  Loss out{Tensor::empty({}, float32, hidden), Tensor::empty({shape[0], shape[1]}, float32, hidden),
           Tensor::empty(gradient ? shape : std::vector<int64_t>{0}, hidden.dtype(), hidden)};
  const sl_tensor h = hidden.read_view(), t = teacher.read_view();
  const sl_tensor m = token_weight ? token_weight.read_view() : sl_tensor{};
  sl_tensor loss = out.loss.write_view(), cosine = out.cosine.write_view();
  sl_tensor grad = out.grad_hidden.write_view();
  sl_alignment_args args{};
  args.hidden = &h;
  args.teacher = &t;
  args.token_weight = token_weight ? &m : nullptr;
  args.loss = &loss;
  args.cosine = &cosine;
  args.grad_hidden = gradient ? &grad : nullptr;
  args.grad_weights = grad_parameters;
  args.training = training;
  args.dropout_seed = static_cast<uint64_t>(seed);
  args.loss_desc = &loss_desc;
  Context context(hidden);
  const std::shared_lock<std::shared_mutex> lock(weights_mutex());
  context.run(
      [&](const sl_context* c) { return sl_alignment_loss(as_alignment(handle), c, &args); });
  return out;
}

void frozen_loss(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "iTTtbiiiifff");
  const int64_t handle = stack.integer();
  Tensor hidden = stack.tensor().with_contiguous_rows();
  Tensor teacher = stack.tensor().with_contiguous_rows();
  Tensor token_weight = stack.optional_tensor();
  if (token_weight) token_weight = std::move(token_weight).with_contiguous_rows();
  const bool gradient = stack.boolean();
  const sl_loss_desc desc = take_loss(stack);
  Loss out = compute(handle, hidden, teacher, token_weight, gradient, nullptr, false, 0, desc);
  stack.result(std::move(out.loss));
  stack.result(std::move(out.cosine));
  stack.result(std::move(out.grad_hidden));
}

template <bool kTensorSeed>
void trainable_loss(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, kTensorSeed ? "iTTtLbTiiiifff" : "iTTtLbiiiiifff");
  const int64_t handle = stack.integer();
  Tensor hidden = stack.tensor().with_contiguous_rows();
  Tensor teacher = stack.tensor().with_contiguous_rows();
  Tensor token_weight = stack.optional_tensor();
  if (token_weight) token_weight = std::move(token_weight).with_contiguous_rows();
  std::vector<Tensor> parameters = stack.tensors();
  const bool training = stack.boolean();
  const int64_t seed = stack.seed();
  const sl_loss_desc desc = take_loss(stack);
  const Projector weights(parameters, false);
  {
    const Context context(hidden);
    const std::unique_lock<std::shared_mutex> lock(weights_mutex());
    check(sl_alignment_update(as_alignment(handle), context.get(), weights.get()));
  }
  std::vector<Tensor> gradients;
  for (const Tensor& parameter : parameters)
    gradients.push_back(Tensor::empty(parameter.shape(), parameter.dtype(), parameter));
  const Projector grad_weights(gradients, true);
  Loss out = compute(handle, hidden, teacher, token_weight, true, grad_weights.get(), training,
                     seed, desc);
  stack.result(std::move(out.loss));
  stack.result(std::move(out.cosine));
  stack.result(std::move(out.grad_hidden));
  stack.result(std::move(gradients));
}

}  // namespace

#define SL_LOSS_ARGUMENTS                                                              \
  "int kind=0, int teacher_norm=0, int normalize=0, int negatives=0, float beta=1.0, " \
  "float temperature=1.0, float false_negatives=0.0"

const Operator kAlignmentOperators[] = {
    // parameters: those that there are, see Projector; norm and activation: sl_norm, sl_activation.
    // The handle is one of this process.
    {"alignment_create(Tensor[] parameters, bool bf16=False, bool trainable=False, float "
     "eps=1e-05, float dropout=0.0, int norm=1, int activation=1) -> int",
     "alignment_create", create, false},
    {"alignment_destroy(int projector) -> ()", "alignment_destroy", destroy, true},
    // The gradient of the loss is made in the same pass; its backward multiplies it by the incoming
    // number. With gradient=False, grad_hidden is an empty tensor.
    {"alignment_loss(int projector, Tensor hidden, Tensor teacher, Tensor? token_weight=None, "
     "bool gradient=True, " SL_LOSS_ARGUMENTS
     ") -> (Tensor loss, Tensor cosine, Tensor grad_hidden)",
     "alignment_loss", frozen_loss, false},
    // For a projector created with trainable=True, whose parameters are read at each call.
    {"alignment_loss_trainable(int projector, Tensor hidden, Tensor teacher, Tensor? token_weight, "
     "Tensor[] parameters, bool training, int seed, " SL_LOSS_ARGUMENTS
     ") -> (Tensor loss, Tensor cosine, "
     "Tensor grad_hidden, Tensor[] grad_parameters)",
     "alignment_loss_trainable", trainable_loss<false>, false},
    // seed: one int64 on the CPU, which a graph of torch can draw.
    {"alignment_loss_trainable.tensor_seed(int projector, Tensor hidden, Tensor teacher, "
     "Tensor? token_weight, Tensor[] parameters, bool training, Tensor seed, " SL_LOSS_ARGUMENTS
     ") -> (Tensor loss, "
     "Tensor cosine, Tensor grad_hidden, Tensor[] grad_parameters)",
     "alignment_loss_trainable.tensor_seed", trainable_loss<true>, false},
    {nullptr, nullptr, nullptr, false},
};

}  // namespace sightline::torch_ops
