// sl_lora_*: checks, then one call into the backend.
#include <vector>

#include "api/arguments.h"
#include "api/backends.h"
#include "api/context.h"
#include "api/overlap.h"
#include "api/views.h"

using namespace sightline;

namespace {

constexpr char kLinears[] = "linears";

Arg arg(const char* field, int64_t i) { return {field, kLinears, i}; }

sl_status check_count(int64_t count) {
  if (count >= 1 && count <= kMaxLoraLinears) return SL_OK;
  return invalid({"count"}, "%lld, expected 1 to %lld", static_cast<long long>(count),
                 static_cast<long long>(kMaxLoraLinears));
}

// y, dy: the leading dimensions of x, then `columns`.
sl_status check_rows_like_x(const Arg& arg, const sl_tensor* tensor, const sl_tensor& x,
                            int64_t columns, const char* why) {
  SL_TRY(check_matrix(arg, tensor, x.ndim, x.ndim, "as many as x"));
  SL_TRY(check_dim(arg, *tensor, x.ndim - 1, columns, why));
  for (int d = 0; d < x.ndim - 1; ++d) {
    SL_TRY(check_dim(arg, *tensor, d, x.shape[d], "the same dimension of x"));
  }
  SL_TRY(check_same_dtype(arg, *tensor, x, "x"));
  return check_same_device(arg, *tensor, x.device, "x");
}

// a [r,K] and b [N,r] by themselves.
sl_status check_adapter(const Arg& a_arg, const sl_tensor* a, const Arg& b_arg, const sl_tensor* b,
                        int64_t columns, const char* columns_of, const sl_device& device,
                        const char* device_of) {
  SL_TRY(check_matrix(a_arg, a, 2, 2, "[r,K]"));
  SL_TRY(check_dim_positive(a_arg, *a, 0));
  SL_TRY(check_dim(a_arg, *a, 1, columns, columns_of));
  SL_TRY(check_same_device(a_arg, *a, device, device_of));
  SL_TRY(check_matrix(b_arg, b, 2, 2, "[N,r]"));
  SL_TRY(check_dim_positive(b_arg, *b, 0));
  SL_TRY(check_dim(b_arg, *b, 1, a->shape[0], "rows of a"));
  SL_TRY(check_same_dtype(b_arg, *b, *a, "a"));
  return check_same_device(b_arg, *b, device, device_of);
}

int64_t row_count(const sl_tensor& x) {
  int64_t rows = 1;
  for (int d = 0; d < x.ndim - 1; ++d) rows *= x.shape[d];
  return rows;
}

// What forward and backward share but for the linears themselves.
sl_status check_call(const sl_context* context, const sl_lora_args* args) {
  SL_TRY(check_context(context));
  SL_TRY(check_pointer({"args"}, args));
  SL_TRY(check_matrix({"x"}, args->x, 1, 3, "[...,K]"));
  SL_TRY(check_dim_positive({"x"}, *args->x, args->x->ndim - 1));
  SL_TRY(check_probability({"dropout"}, args->dropout));
  SL_TRY(check_count(args->count));
  return check_pointer({kLinears}, args->linears);
}

// Of each linear: weight, bias, a, b, scale and s.
sl_status check_linear(const sl_tensor& x, const sl_lora_linear& linear, int64_t i) {
  const int64_t k = x.shape[x.ndim - 1];
  SL_TRY(check_adapter(arg("a", i), linear.a, arg("b", i), linear.b, k, "columns of x", x.device,
                       "x"));
  const int64_t n = linear.b->shape[0], r = linear.a->shape[0];
  if (linear.weight != nullptr) {
    SL_TRY(check_matrix(arg("weight", i), linear.weight, 2, 2, "[N,K]"));
    SL_TRY(check_dim(arg("weight", i), *linear.weight, 0, n, "rows of b"));
    SL_TRY(check_dim(arg("weight", i), *linear.weight, 1, k, "columns of x"));
    SL_TRY(check_same_device(arg("weight", i), *linear.weight, x.device, "x"));
  }
  if (linear.bias != nullptr) {
    if (linear.weight == nullptr) {
      return invalid(arg("bias", i), "given, expected NULL where weight is NULL");
    }
    SL_TRY(check_matrix(arg("bias", i), linear.bias, 1, 1, "[N]"));
    SL_TRY(check_dim(arg("bias", i), *linear.bias, 0, n, "rows of b"));
    SL_TRY(check_same_device(arg("bias", i), *linear.bias, x.device, "x"));
  }
  SL_TRY(check_finite(arg("scale", i), linear.scale));
  if (linear.s != nullptr) {
    SL_TRY(check_matrix(arg("s", i), linear.s, 2, 2, "[M,r]"));
    SL_TRY(check_dim(arg("s", i), *linear.s, 0, row_count(x), "rows of x"));
    SL_TRY(check_dim(arg("s", i), *linear.s, 1, r, "rows of a"));
    SL_TRY(check_float32(arg("s", i), *linear.s));
    SL_TRY(check_contiguous(arg("s", i), *linear.s));
    SL_TRY(check_same_device(arg("s", i), *linear.s, x.device, "x"));
  }
  return SL_OK;
}

sl_status check_gradient(const Arg& arg, const sl_tensor* gradient, const sl_tensor& of,
                         const char* of_name, const sl_device& device) {
  if (gradient == nullptr) return SL_OK;
  SL_TRY(check_matrix(arg, gradient, 2, 2, "as many as its parameter"));
  SL_TRY(check_same_shape(arg, *gradient, of, of_name));
  return check_same_device(arg, *gradient, device, "x");
}

sl_status check_gradients(const sl_tensor& x, const sl_lora_linear& linear, int64_t i) {
  SL_TRY(check_rows_like_x(arg("grad_y", i), linear.grad_y, x, linear.b->shape[0], "rows of b"));
  SL_TRY(check_gradient(arg("grad_a", i), linear.grad_a, *linear.a, "a", x.device));
  SL_TRY(check_gradient(arg("grad_b", i), linear.grad_b, *linear.b, "b", x.device));
  if (linear.grad_a == nullptr || linear.grad_b == nullptr) return SL_OK;
  return check_same_dtype(arg("grad_b", i), *linear.grad_b, *linear.grad_a, "grad_a");
}

sl_status check_overlap(const sl_lora_args& args, bool backward) {
  OverlapCheck overlap;
  overlap.read({"x"}, args.x);
  if (backward) overlap.write({"grad_x"}, args.grad_x);
  for (int64_t i = 0; i < args.count; ++i) {
    const sl_lora_linear& linear = args.linears[i];
    overlap.read(arg("weight", i), linear.weight);
    overlap.read(arg("bias", i), linear.bias);
    overlap.read(arg("a", i), linear.a);
    overlap.read(arg("b", i), linear.b);
    if (backward) {
      overlap.read(arg("grad_y", i), linear.grad_y);
      overlap.read(arg("s", i), linear.s);
      overlap.write(arg("grad_a", i), linear.grad_a);
      overlap.write(arg("grad_b", i), linear.grad_b);
    } else {
      overlap.write(arg("y", i), linear.y);
      overlap.write(arg("s", i), linear.s);
    }
  }
  return overlap.run();
}

// Kept by the thread, so that a repeated call allocates nothing.
std::vector<LoraViews>& view_storage(int64_t count) {
  thread_local std::vector<LoraViews> views;
  views.assign(static_cast<size_t>(count), LoraViews{});
  return views;
}

LoraViews views_of(const sl_lora_linear& linear, bool backward) {
  LoraViews views{};
  views.weight = view2(linear.weight);
  views.bias = view2(linear.bias);
  views.a = view2(linear.a);
  views.b = view2(linear.b);
  views.scale = static_cast<float>(linear.scale);
  views.dropout_seed = linear.dropout_seed;
  views.s = view2(linear.s);
  if (backward) {
    views.dy = view3(linear.grad_y);
    views.da = view2(linear.grad_a);
    views.db = view2(linear.grad_b);
  } else {
    views.y = view3(linear.y);
  }
  return views;
}

// The forward pass or the backward one.
sl_status run(const sl_context* context, const sl_lora_args* args, bool backward) {
  SL_TRY(check_call(context, args));
  const sl_tensor& x = *args->x;
  for (int64_t i = 0; i < args->count; ++i) {
    const sl_lora_linear& linear = args->linears[i];
    SL_TRY(check_linear(x, linear, i));
    SL_TRY(backward ? check_gradients(x, linear, i)
                    : check_rows_like_x(arg("y", i), linear.y, x, linear.b->shape[0], "rows of b"));
  }
  if (backward) {
    if (args->grad_x != nullptr) {
      SL_TRY(check_rows_like_x({"grad_x"}, args->grad_x, x, x.shape[x.ndim - 1], "columns of x"));
    }
    SL_TRY(check_flag({"accumulate_x"}, args->accumulate_x));
    SL_TRY(check_flag({"accumulate_weights"}, args->accumulate_weights));
  }
  SL_TRY(check_overlap(*args, backward));
  const Backend* backend = nullptr;
  SL_TRY(find_backend(x.device, &backend));

  std::vector<LoraViews>& views = view_storage(args->count);
  for (int64_t i = 0; i < args->count; ++i) views[i] = views_of(args->linears[i], backward);
  LoraCall call{};
  call.x = view3(&x);
  call.dropout = static_cast<float>(args->dropout);
  call.linears = views.data();
  call.count = args->count;
  if (backward) {
    call.dx = view3(args->grad_x);
    call.accumulate_dx = args->accumulate_x == 1;
    call.accumulate_weights = args->accumulate_weights == 1;
  }
  const auto function = backward ? backend->lora_backward : backend->lora_forward;
  return in_context(context, [&](const sl_context& used) { return function(used, call); });
}

sl_status merge(const sl_context* context, const sl_lora_merge_args* args) {
  SL_TRY(check_context(context));
  SL_TRY(check_pointer({"args"}, args));
  const sl_tensor *weight = args->weight, *a = args->a, *b = args->b;
  SL_TRY(check_matrix({"weight"}, weight, 2, 2, "[N,K]"));
  SL_TRY(check_dim_positive({"weight"}, *weight, 0));
  SL_TRY(check_dim_positive({"weight"}, *weight, 1));
  SL_TRY(check_adapter({"a"}, a, {"b"}, b, weight->shape[1], "columns of weight", weight->device,
                       "weight"));
  SL_TRY(check_dim({"b"}, *b, 0, weight->shape[0], "rows of weight"));
  SL_TRY(check_finite({"scale"}, args->scale));
  if (args->rounding != SL_ROUND_NEAREST && args->rounding != SL_ROUND_STOCHASTIC) {
    return invalid({"rounding"}, "%d, expected %d (nearest) or %d (stochastic)", args->rounding,
                   SL_ROUND_NEAREST, SL_ROUND_STOCHASTIC);
  }
  OverlapCheck overlap;
  overlap.read({"a"}, a);
  overlap.read({"b"}, b);
  overlap.write({"weight"}, weight);
  SL_TRY(overlap.run());
  const Backend* backend = nullptr;
  SL_TRY(find_backend(weight->device, &backend));
  MergeCall call{};
  call.weight = view2(weight);
  call.a = view2(a);
  call.b = view2(b);
  call.scale = static_cast<float>(args->scale);
  call.stochastic = args->rounding == SL_ROUND_STOCHASTIC;
  call.seed = args->seed;
  return in_context(context,
                    [&](const sl_context& used) { return backend->lora_merge(used, call); });
}

}  // namespace

sl_status sl_lora_forward(const sl_context* context, const sl_lora_args* args) {
  return guarded("sl_lora_forward", [&] { return run(context, args, false); });
}

sl_status sl_lora_backward(const sl_context* context, const sl_lora_args* args) {
  return guarded("sl_lora_backward", [&] { return run(context, args, true); });
}

sl_status sl_lora_merge(const sl_context* context, const sl_lora_merge_args* args) {
  return guarded("sl_lora_merge", [&] { return merge(context, args); });
}
