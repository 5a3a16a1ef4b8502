// torch.ops.sightline.alignment_*: sl_alignment_* on torch's tensors.
#include <mutex>
#include <shared_mutex>

#include "torch/operators.h"
#include "torch/values.h"

namespace sightline::torch_ops {
namespace {

constexpr int kParameters = 8;

// A list of eight tensors as an sl_projector.
class Projector {
 public:
  Projector(std::vector<Tensor>& tensors, bool write) {
    if (tensors.size() != kParameters) {
      refuse("parameters: " + std::to_string(tensors.size()) +
             " tensors, expected 8: ln_weight, ln_bias, w1, b1, w2, b2, w3, b3");
    }
    for (size_t i = 0; i < kParameters; ++i)
      views_[i] = write ? tensors[i].write_view() : tensors[i].read_view();
  }
  const sl_projector* get() const { return &projector_; }

 private:
  sl_tensor views_[kParameters];
  sl_projector projector_{&views_[0], &views_[1], &views_[2], &views_[3],
                          &views_[4], &views_[5], &views_[6], &views_[7]};
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

void create(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "Lbbff");
  std::vector<Tensor> parameters = stack.tensors();
  sl_alignment_config config{};
  config.compute = stack.boolean() ? sl_dtype{SL_BFLOAT, 16, 1} : sl_dtype{SL_FLOAT, 32, 1};
  config.trainable = stack.boolean();
  config.ln_eps = stack.number();
  config.dropout = stack.number();
  const Projector projector(parameters, false);
  const Context context(parameters[0]);  // the device
  sl_alignment* alignment = nullptr;
  check(sl_alignment_create(projector.get(), &config, &alignment));
  stack.result(static_cast<int64_t>(reinterpret_cast<intptr_t>(alignment)));
}

void destroy(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "i");
  sl_alignment_destroy(as_alignment(stack.integer()));
}

struct Loss {
  Tensor loss, cosine, grad_hidden;
};

// `grad_parameters` null: none asked for.
Loss compute(int64_t handle, Tensor& hidden, Tensor& teacher, Tensor& token_weight, bool gradient,
             const sl_projector* grad_parameters, bool training, int64_t seed) {
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
  Context context(hidden);
  const std::shared_lock<std::shared_mutex> lock(weights_mutex());
  context.run(
      [&](const sl_context* c) { return sl_alignment_loss(as_alignment(handle), c, &args); });
  return out;
}

void frozen_loss(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "iTTtb");
  const int64_t handle = stack.integer();
  Tensor hidden = stack.tensor().with_contiguous_rows();
  Tensor teacher = stack.tensor().with_contiguous_rows();
  Tensor token_weight = stack.optional_tensor();
  if (token_weight) token_weight = std::move(token_weight).with_contiguous_rows();
  const bool gradient = stack.boolean();
  Loss out = compute(handle, hidden, teacher, token_weight, gradient, nullptr, false, 0);
  stack.result(std::move(out.loss));
  stack.result(std::move(out.cosine));
  stack.result(std::move(out.grad_hidden));
}

template <bool kTensorSeed>
void trainable_loss(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, kTensorSeed ? "iTTtLbT" : "iTTtLbi");
  const int64_t handle = stack.integer();
  Tensor hidden = stack.tensor().with_contiguous_rows();
  Tensor teacher = stack.tensor().with_contiguous_rows();
  Tensor token_weight = stack.optional_tensor();
  if (token_weight) token_weight = std::move(token_weight).with_contiguous_rows();
  std::vector<Tensor> parameters = stack.tensors();
  const bool training = stack.boolean();
  const int64_t seed = stack.seed();
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
  Loss out =
      compute(handle, hidden, teacher, token_weight, true, grad_weights.get(), training, seed);
  stack.result(std::move(out.loss));
  stack.result(std::move(out.cosine));
  stack.result(std::move(out.grad_hidden));
  stack.result(std::move(gradients));
}

}  // namespace

const Operator kAlignmentOperators[] = {
    // parameters: ln_weight, ln_bias, w1, b1, w2, b2, w3, b3. The handle is one of this process.
    {"alignment_create(Tensor[] parameters, bool bf16=False, bool trainable=False, float "
     "eps=1e-05, "
     "float dropout=0.0) -> int",
     "alignment_create", create, false},
    {"alignment_destroy(int projector) -> ()", "alignment_destroy", destroy, true},
    // The gradient of the loss is made in the same pass; its backward multiplies it by the incoming
    // number. With gradient=False, grad_hidden is an empty tensor.
    {"alignment_loss(int projector, Tensor hidden, Tensor teacher, Tensor? token_weight=None, "
     "bool gradient=True) -> (Tensor loss, Tensor cosine, Tensor grad_hidden)",
     "alignment_loss", frozen_loss, false},
    // For a projector created with trainable=True, whose parameters are read at each call.
    {"alignment_loss_trainable(int projector, Tensor hidden, Tensor teacher, Tensor? token_weight, "
     "Tensor[] parameters, bool training, int seed) -> (Tensor loss, Tensor cosine, "
     "Tensor grad_hidden, Tensor[] grad_parameters)",
     "alignment_loss_trainable", trainable_loss<false>, false},
    // seed: one int64 on the CPU, which a graph of torch can draw.
    {"alignment_loss_trainable.tensor_seed(int projector, Tensor hidden, Tensor teacher, "
     "Tensor? token_weight, Tensor[] parameters, bool training, Tensor seed) -> (Tensor loss, "
     "Tensor cosine, Tensor grad_hidden, Tensor[] grad_parameters)",
     "alignment_loss_trainable.tensor_seed", trainable_loss<true>, false},
    {nullptr, nullptr, nullptr, false},
};

}  // namespace sightline::torch_ops
