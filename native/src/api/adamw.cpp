// sl_adamw_*: checks, then one call into the backend.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "api/arguments.h"
#include "api/backends.h"
#include "api/context.h"
#include "api/handles.h"
#include "api/pieces.h"
#include "api/views.h"

using namespace sightline;

namespace {

struct AdamW {
  struct Shape {
    int dims;
    std::array<int64_t, kMaxDims> sizes;
  };

  const Backend* backend = nullptr;
  void* impl = nullptr;
  sl_device device{};
  int32_t groups_used = 0;  // 1 + the largest group index
  std::vector<Shape> shapes;
  std::vector<Piece> state_pieces;  // parameters, moments, masters and remainders, sorted
  // Scratch of step, kept so that a repeated step allocates nothing.
  std::vector<Piece> pieces;
  std::vector<Span> grads;

  ~AdamW() {
    if (impl != nullptr) backend->adamw_destroy(impl);
  }
};

constexpr int32_t kMaxGroups = 1 << 20;
constexpr char kParams[] = "params";
constexpr char kGrads[] = "grads";
constexpr char kGroups[] = "groups";

Handles<sl_adamw, AdamW>& handles() {
  // Outlives every static destructor.
  static auto* all = new Handles<sl_adamw, AdamW>("adamw", "sl_adamw_create");
  return *all;
}

sl_status check_step_count(const AdamW& adamw, int64_t count) {
  const auto expected = static_cast<int64_t>(adamw.shapes.size());
  if (count == expected) return SL_OK;
  return invalid({"count"}, "%lld, expected %lld as in sl_adamw_create",
                 static_cast<long long>(count), static_cast<long long>(expected));
}

// A moment or master: fp32, contiguous, shape of its parameter.
sl_status check_state(const Arg& arg, const sl_tensor* tensor, const sl_tensor& param) {
  SL_TRY(check_tensor(arg, tensor, 0, kMaxDims, "any shape"));
  SL_TRY(check_same_shape(arg, *tensor, param, "param"));
  SL_TRY(check_float32(arg, *tensor));
  SL_TRY(check_contiguous(arg, *tensor));
  return check_same_device(arg, *tensor, param.device, "param");
}

// int16, contiguous, beside a bf16 parameter without a master.
sl_status check_remainder(const sl_adamw_param& p, const Arg& arg) {
  if (p.param->dtype.code != SL_BFLOAT) {
    return invalid(arg, "given for a float32 param, expected NULL");
  }
  if (p.master != nullptr) {
    return invalid(arg, "given beside a master, expected one of the two to be NULL");
  }
  SL_TRY(check_tensor_of(arg, p.remainder, {SL_INT, 16, 1}, "int16", 0, kMaxDims, "any shape"));
  SL_TRY(check_same_shape(arg, *p.remainder, *p.param, "param"));
  SL_TRY(check_contiguous(arg, *p.remainder));
  return check_same_device(arg, *p.remainder, p.param->device, "param");
}

sl_status check_param(const sl_adamw_param& p, int64_t i, const sl_device* device) {
  const Arg param{"param", kParams, i};
  SL_TRY(check_tensor(param, p.param, 0, kMaxDims, "any shape"));
  SL_TRY(check_contiguous(param, *p.param));
  if (device != nullptr) SL_TRY(check_same_device(param, *p.param, *device, "params[0].param"));
  SL_TRY(check_state({"exp_avg", kParams, i}, p.exp_avg, *p.param));
  SL_TRY(check_state({"exp_avg_sq", kParams, i}, p.exp_avg_sq, *p.param));
  if (p.master != nullptr) {
    if (p.param->dtype.code != SL_BFLOAT) {
      return invalid({"master", kParams, i}, "given for a float32 param, expected NULL");
    }
    SL_TRY(check_state({"master", kParams, i}, p.master, *p.param));
  }
  if (p.remainder != nullptr) SL_TRY(check_remainder(p, {"remainder", kParams, i}));
  if (p.group < 0 || p.group >= kMaxGroups) {
    return invalid({"group", kParams, i}, "%d, expected 0 to %d", p.group, kMaxGroups - 1);
  }
  return SL_OK;
}

sl_status check_group(const sl_adamw_group& group, int64_t i) {
  const auto check_at_least_zero = [i](const char* name, double value) {
    if (value >= 0. && std::isfinite(value)) return SL_OK;
    return invalid({name, kGroups, i}, "%g, expected a finite number of at least 0", value);
  };
  const auto check_beta = [i](const char* name, double value) {
    if (value >= 0. && value < 1.) return SL_OK;
    return invalid({name, kGroups, i}, "%g, expected a number in [0, 1)", value);
  };
  SL_TRY(check_at_least_zero("lr", group.lr));
  SL_TRY(check_beta("beta1", group.beta1));
  SL_TRY(check_beta("beta2", group.beta2));
  if (!(static_cast<float>(group.eps) > 0.f) || !std::isfinite(static_cast<float>(group.eps))) {
    return invalid({"eps", kGroups, i}, "%g, expected a finite float32 above 0", group.eps);
  }
  return check_at_least_zero("weight_decay", group.weight_decay);
}

sl_status check_grad(const AdamW& adamw, const sl_tensor& grad, int64_t i) {
  const Arg arg{"", kGrads, i};
  if (grad.ndim == -1) return SL_OK;  // no gradient in this step
  const AdamW::Shape& shape = adamw.shapes[static_cast<size_t>(i)];
  SL_TRY(check_tensor(arg, &grad, 0, kMaxDims, "any shape"));
  sl_tensor param{};
  param.ndim = shape.dims;
  param.shape = const_cast<int64_t*>(shape.sizes.data());
  SL_TRY(check_same_shape(arg, grad, param, "its parameter"));
  SL_TRY(check_contiguous(arg, grad));
  return check_same_device(arg, grad, adamw.device, "params[0].param");
}

// Not whether the rates make sense: on CUDA only the device sees them.
sl_status check_lr(const AdamW& adamw, const sl_tensor* lr, int32_t groups) {
  if (lr == nullptr) return SL_OK;
  SL_TRY(check_tensor({"lr"}, lr, 1, 1, "[group_count]"));
  SL_TRY(check_dim({"lr"}, *lr, 0, groups, "group_count"));
  SL_TRY(check_float32({"lr"}, *lr));
  SL_TRY(check_contiguous({"lr"}, *lr));
  return check_same_device({"lr"}, *lr, adamw.device, "params[0].param");
}

sl_status check_report(const AdamW& adamw, const sl_tensor* report) {
  if (report == nullptr) return SL_OK;
  SL_TRY(check_tensor({"report"}, report, 1, 1, "[4]"));
  SL_TRY(check_dim({"report"}, *report, 0, 4, "norm, factor, non-finite count, skipped"));
  SL_TRY(check_float32({"report"}, *report));
  return check_same_device({"report"}, *report, adamw.device, "params[0].param");
}

sl_status check_step(const AdamW& adamw, const sl_adamw_step_args& args) {
  SL_TRY(check_step_count(adamw, args.count));
  SL_TRY(check_pointer({"grads"}, args.grads));
  SL_TRY(check_pointer({"groups"}, args.groups));
  if (args.group_count < adamw.groups_used) {
    return invalid({"group_count"}, "%d, expected at least %d (largest group of params + 1)",
                   args.group_count, adamw.groups_used);
  }
  for (int32_t i = 0; i < args.group_count; ++i) SL_TRY(check_group(args.groups[i], i));
  SL_TRY(check_lr(adamw, args.lr, args.group_count));
  if (!std::isfinite(args.grad_scale)) {
    return invalid({"grad_scale"}, "%g, expected a finite number", args.grad_scale);
  }
  if (!(args.max_grad_norm >= 0.) || !std::isfinite(args.max_grad_norm)) {
    return invalid({"max_grad_norm"}, "%g, expected a finite number of at least 0",
                   args.max_grad_norm);
  }
  SL_TRY(check_flag({"skip_nonfinite"}, args.skip_nonfinite));
  SL_TRY(check_flag({"zero_grads"}, args.zero_grads));
  for (int64_t i = 0; i < args.count; ++i) SL_TRY(check_grad(adamw, args.grads[i], i));
  return check_report(adamw, args.report);
}

// Gradients, lr and report apart from each other and from the optimizer's state.
sl_status check_step_overlap(AdamW& adamw, const sl_adamw_step_args& args) {
  std::vector<Piece>& pieces = adamw.pieces;
  pieces.clear();
  for (int64_t i = 0; i < args.count; ++i) {
    if (args.grads[i].ndim != -1) add_piece(pieces, {"", kGrads, i}, &args.grads[i]);
  }
  add_piece(pieces, {"lr"}, args.lr);
  add_piece(pieces, {"report"}, args.report);
  sort_pieces(pieces);
  SL_TRY(check_apart(pieces));
  return check_apart(pieces, adamw.state_pieces);
}

// An empty gradient may have a NULL address, which to a backend would mean "no gradient".
Span grad_span(const sl_tensor& grad) {
  static char empty;
  if (grad.ndim == -1) return {};
  Span result = span(&grad);
  if (result.data == nullptr) result.data = &empty;
  return result;
}

}  // namespace

sl_status sl_adamw_create(const sl_adamw_param* params, int64_t count, sl_adamw** out) {
  return guarded("sl_adamw_create", [&] {
    SL_TRY(check_pointer({"out"}, out));
    SL_TRY(check_pointer({kParams}, params));
    if (count < 1) {
      return invalid({"count"}, "%lld, expected at least 1", static_cast<long long>(count));
    }
    for (int64_t i = 0; i < count; ++i) {
      SL_TRY(check_param(params[i], i, i == 0 ? nullptr : &params[0].param->device));
    }
    const sl_device device = params[0].param->device;
    auto object = std::make_unique<AdamW>();
    std::vector<AdamwTensor> tensors;
    for (int64_t i = 0; i < count; ++i) {
      const sl_adamw_param& p = params[i];
      add_piece(object->state_pieces, {"param", kParams, i}, p.param);
      add_piece(object->state_pieces, {"exp_avg", kParams, i}, p.exp_avg);
      add_piece(object->state_pieces, {"exp_avg_sq", kParams, i}, p.exp_avg_sq);
      add_piece(object->state_pieces, {"master", kParams, i}, p.master);
      add_piece(object->state_pieces, {"remainder", kParams, i}, p.remainder);
      AdamW::Shape shape{p.param->ndim, {}};
      std::copy_n(p.param->shape, p.param->ndim, shape.sizes.begin());
      object->shapes.push_back(shape);
      object->groups_used = std::max(object->groups_used, p.group + 1);
      tensors.push_back({span(p.param), span(p.exp_avg), span(p.exp_avg_sq), span(p.master),
                         span(p.remainder), p.group});
    }
    sort_pieces(object->state_pieces);
    SL_TRY(check_apart(object->state_pieces));
    SL_TRY(find_backend(device, &object->backend));
    object->device = device;
    object->pieces.reserve(static_cast<size_t>(count) + 2);
    object->grads.resize(static_cast<size_t>(count));
    SL_TRY(object->backend->adamw_create(tensors.data(), count, &object->impl));
    *out = handles().add(std::move(object));
    return SL_OK;
  });
}

sl_status sl_adamw_step(sl_adamw* adamw, const sl_context* context,
                        const sl_adamw_step_args* args) {
  return guarded("sl_adamw_step", [&] {
    Held<AdamW> object;
    SL_TRY(handles().find(adamw, &object));
    SL_TRY(check_context(context));
    SL_TRY(check_pointer({"args"}, args));
    SL_TRY(check_step(*object, *args));
    SL_TRY(check_step_overlap(*object, *args));
    for (int64_t i = 0; i < args->count; ++i) {
      object->grads[static_cast<size_t>(i)] = grad_span(args->grads[i]);
    }
    AdamwStep step{};
    step.grads = object->grads.data();
    step.groups = args->groups;
    step.lr = args->lr ? static_cast<const float*>(data_of(*args->lr)) : nullptr;
    step.grad_scale = args->grad_scale;
    step.max_grad_norm = args->max_grad_norm;
    step.skip_nonfinite = args->skip_nonfinite == 1;
    step.zero_grads = args->zero_grads == 1;
    step.report = args->report ? static_cast<float*>(data_of(*args->report)) : nullptr;
    return in_context_without_workspace(context, [&](const sl_context& used) {
      return object->backend->adamw_step(object->impl, used, step);
    });
  });
}

sl_status sl_adamw_get_steps(const sl_adamw* adamw, int64_t* steps, int64_t count) {
  return guarded("sl_adamw_get_steps", [&] {
    Held<AdamW> object;
    SL_TRY(handles().find(adamw, &object));
    SL_TRY(check_pointer({"steps"}, steps));
    SL_TRY(check_step_count(*object, count));
    return object->backend->adamw_get_steps(object->impl, steps);
  });
}

sl_status sl_adamw_set_steps(sl_adamw* adamw, const int64_t* steps, int64_t count) {
  return guarded("sl_adamw_set_steps", [&] {
    Held<AdamW> object;
    SL_TRY(handles().find(adamw, &object));
    SL_TRY(check_pointer({"steps"}, steps));
    SL_TRY(check_step_count(*object, count));
    for (int64_t i = 0; i < count; ++i) {
      if (steps[i] < 0) {
        return invalid({"", "steps", i}, "%lld, expected at least 0",
                       static_cast<long long>(steps[i]));
      }
    }
    return object->backend->adamw_set_steps(object->impl, steps);
  });
}

void sl_adamw_destroy(sl_adamw* adamw) { handles().remove(adamw); }
