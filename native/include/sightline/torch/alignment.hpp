// The alignment loss as a differentiable function.
#ifndef SIGHTLINE_TORCH_ALIGNMENT_HPP
#define SIGHTLINE_TORCH_ALIGNMENT_HPP

#include <sightline/torch/projector.hpp>

namespace sightline {

struct AlignmentLossOptions {
  TORCH_ARG(sl_loss_kind, kind) = SL_LOSS_COSINE;
  TORCH_ARG(sl_teacher_norm, teacher_norm) = SL_TEACHER_AS_IS;
  TORCH_ARG(bool, normalize) = false;                     // L2, smooth-L1: rows of unit length
  TORCH_ARG(sl_negatives, negatives) = SL_NEGATIVES_ALL;  // InfoNCE
  TORCH_ARG(double, beta) = 1;                            // smooth-L1
  TORCH_ARG(double, temperature) = 0.07;                  // InfoNCE
  TORCH_ARG(double, false_negatives) = 0;                 // InfoNCE, see sl_loss_desc
};

namespace detail {

struct AlignmentCall {
  std::shared_ptr<ProjectorState> projector;
  torch::Tensor teacher, token_weight;
  bool gradient_hidden, gradient_parameters;  // asked for
  int64_t seed;
  AlignmentLossOptions loss;
};

// The gradients are made in the same pass as the loss; backward multiplies them by the incoming
// number. parameters: none of a frozen projector.
struct AlignmentFunction : torch::autograd::Function<AlignmentFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& hidden, at::TensorList parameters,
                               const AlignmentCall& call) {
    call.projector->read_again();
    const torch::Tensor h = rows(hidden), t = rows(call.teacher), m = rows(call.token_weight);
    const torch::Tensor loss = torch::empty({}, h.options().dtype(torch::kFloat));
    const torch::Tensor dh = call.gradient_hidden ? empty_as(h) : torch::Tensor();
    const View h_view(h), t_view(t), m_view(m);
    View loss_view(loss), dh_view(dh);
    sl_alignment_args args{};
    args.hidden = h_view;
    args.teacher = t_view;
    args.token_weight = m_view;
    args.loss = loss_view;
    args.grad_hidden = dh_view;
    args.training = call.projector->training;
    args.dropout_seed = static_cast<uint64_t>(call.seed);
    sl_loss_desc desc{};
    desc.size = sizeof desc;
    desc.kind = call.loss.kind();
    desc.teacher_norm = call.loss.teacher_norm();
    desc.normalize = call.loss.normalize();
    desc.negatives = call.loss.negatives();
    desc.beta = call.loss.beta();
    desc.temperature = call.loss.temperature();
    desc.false_negatives = call.loss.false_negatives();
    args.loss_desc = &desc;
    std::optional<ProjectorView> gradients;
    if (call.gradient_parameters) {
      std::vector<torch::Tensor> like;
      for (const torch::Tensor& parameter : parameters) like.push_back(empty_as(parameter));
      args.grad_weights = gradients.emplace(std::move(like)).get();
    }
    {
      const std::shared_lock<std::shared_mutex> lock(call.projector->mutex);
      Context(h).run([&](const sl_context* where) {
        return sl_alignment_loss(call.projector->handle, where, &args);
      });
    }
    torch::autograd::variable_list saved{dh};
    if (gradients)
      saved.insert(saved.end(), gradients->tensors().begin(), gradients->tensors().end());
    context->save_for_backward(std::move(saved));
    context->saved_data["parameters"] = static_cast<int64_t>(parameters.size());
    return loss;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list incoming) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const auto count = 1 + static_cast<size_t>(context->saved_data["parameters"].toInt());
    const torch::Tensor factor = incoming[0].detach();
    torch::autograd::variable_list result(count + 1);  // and one for the AlignmentCall
    for (size_t i = 0; i < count; ++i) {
      if (i >= saved.size() || !saved[i].defined() || !context->needs_input_grad(i)) continue;
      result[i] = saved[i] * factor;
    }
    return once_differentiable("alignment_loss", std::move(result));
  }
};

}  // namespace detail

// The mean over tokens of a loss of projector(h) and t, by default -cos; a float32 scalar,
// differentiable in hidden and, of a trainable projector, in its parameters. hidden [B,S,D], of which tokens first_token ... first_token + N - 1
// are used without a copy; teacher [B,N,Z] and token_weight [B,N] float32, undefined for none, get
// no gradient. seed: of the projector's dropout in training mode, by default from torch's
// generator.
inline torch::Tensor alignment_loss(const Projector& projector, const torch::Tensor& hidden,
                                    const torch::Tensor& teacher, int64_t first_token = 0,
                                    const torch::Tensor& token_weight = {},
                                    std::optional<int64_t> seed = {},
                                    const AlignmentLossOptions& loss = {}) {
  if (!hidden.defined() || !teacher.defined()) {
    detail::refuse(std::string(hidden.defined() ? "teacher" : "hidden") +
                   ": undefined, expected hidden [B,S,D] and teacher [B,N,Z]");
  }
  if (hidden.dim() != 3 || teacher.dim() != 3) {
    detail::refuse("hidden, teacher: " + std::to_string(hidden.dim()) + " and " +
                   std::to_string(teacher.dim()) + " dimensions, expected [B,S,D] and [B,N,Z]");
  }
  const int64_t tokens = teacher.size(1), last = hidden.size(1) - tokens;
  if (first_token < 0 || first_token > last) {
    detail::refuse("first_token: " + std::to_string(first_token) + ", expected 0 to " +
                   std::to_string(last) + ": hidden has " + std::to_string(hidden.size(1)) +
                   " tokens, teacher " + std::to_string(tokens));
  }
  const std::shared_ptr<detail::ProjectorState>& state = projector.state();
  detail::AlignmentCall call{state, teacher.detach(), token_weight, false, false, 0, loss};
  if (torch::GradMode::is_enabled()) {
    call.gradient_hidden = hidden.requires_grad();
    for (const torch::Tensor& parameter : state->parameters) {
      call.gradient_parameters |= parameter.requires_grad();
    }
  }
  const double dropout = state->training ? state->options.dropout() : 0;
  call.seed = detail::seed_or_new(seed, dropout);
  return detail::AlignmentFunction::apply(hidden.narrow(1, first_token, tokens),
                                          at::TensorList(state->parameters), call);
}

}  // namespace sightline

#endif  // SIGHTLINE_TORCH_ALIGNMENT_HPP
