// LoRA linear layers as differentiable functions, and merging.
#ifndef SIGHTLINE_TORCH_LORA_HPP
#define SIGHTLINE_TORCH_LORA_HPP

#include <sightline/torch/context.hpp>

namespace sightline {
namespace detail {

// Linears of one input. The tensors of the call stand in this order, for autograd too: x, a[n],
// b[n], then weight[n] and the biases that there are, or for a delta y[1].
struct LoraCall {
  const char* operation;
  std::vector<double> scales;
  double dropout;
  std::vector<int64_t> seeds;
  std::vector<int64_t> bias_of;  // for each linear the index of its bias among those given, or -1
  size_t size() const { return scales.size(); }
};

// The tensors of one linear and their views; what is undefined is NULL.
struct LoraTensors {
  torch::Tensor weight, bias, a, b, y, s, dy, da, db;
  std::vector<View> views;

  sl_lora_linear c_struct(double scale, int64_t seed) {
    views.clear();
    for (const torch::Tensor* t : {&weight, &bias, &a, &b, &y, &s, &dy, &da, &db})
      views.emplace_back(*t);
    sl_lora_linear linear{};
    linear.weight = views[0];
    linear.bias = views[1];
    linear.a = views[2];
    linear.b = views[3];
    linear.scale = scale;
    linear.dropout_seed = static_cast<uint64_t>(seed);
    linear.y = views[4];
    linear.s = views[5];
    linear.grad_y = views[6];
    linear.grad_a = views[7];
    linear.grad_b = views[8];
    return linear;
  }
};

inline std::vector<sl_lora_linear> c_structs(std::vector<LoraTensors>& linears,
                                             const std::vector<double>& scales,
                                             const std::vector<int64_t>& seeds) {
  std::vector<sl_lora_linear> structs;
  for (size_t i = 0; i < linears.size(); ++i) {
    structs.push_back(linears[i].c_struct(scales[i], seeds[i]));
  }
  return structs;
}

inline void run(decltype(&sl_lora_forward) function, const torch::Tensor& x,
                const std::vector<sl_lora_linear>& structs, double dropout,
                const torch::Tensor& grad_x) {
  const View x_view(x);
  View grad_x_view(grad_x);
  sl_lora_args args{};
  args.x = x_view;
  args.linears = structs.data();
  args.count = static_cast<int64_t>(structs.size());
  args.dropout = dropout;
  args.grad_x = grad_x_view;
  Context(x).run([&](const sl_context* where) { return function(where, &args); });
}

struct LoraFunction : torch::autograd::Function<LoraFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const torch::Tensor& x, at::TensorList a,
                                                at::TensorList b, at::TensorList weight,
                                                at::TensorList bias, at::TensorList y,
                                                const LoraCall& call) {
    const size_t n = call.size();
    const torch::Tensor input = rows(x);
    std::vector<int64_t> shape = input.sizes().vec();
    const int64_t m = shape.back() == 0 ? 0 : input.numel() / shape.back();
    std::vector<LoraTensors> linears(n);
    torch::autograd::variable_list outputs, saved{input};
    for (size_t i = 0; i < n; ++i) {
      LoraTensors& linear = linears[i];
      linear.a = rows(a[i]);
      linear.b = rows(b[i]);
      if (!weight.empty()) linear.weight = rows(weight[i]);
      if (call.bias_of[i] >= 0) linear.bias = rows(bias[static_cast<size_t>(call.bias_of[i])]);
      shape.back() = linear.b.size(0);
      linear.y = y.empty() ? torch::empty(shape, input.options())
                           : y[i].clone(torch::MemoryFormat::Contiguous);
      linear.s = torch::empty({m, linear.a.size(0)}, input.options().dtype(torch::kFloat));
      outputs.push_back(linear.y);
      saved.insert(saved.end(), {linear.a, linear.b, linear.weight, linear.s});
    }
    run(sl_lora_forward, input, c_structs(linears, call.scales, call.seeds), call.dropout, {});
    context->save_for_backward(std::move(saved));
    context->set_materialize_grads(false);
    context->saved_data["operation"] = std::string(call.operation);
    context->saved_data["scales"] = call.scales;
    context->saved_data["dropout"] = call.dropout;
    context->saved_data["seeds"] = call.seeds;
    context->saved_data["bias_of"] = call.bias_of;
    context->saved_data["delta"] = !y.empty();
    return outputs;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list incoming) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const std::vector<double> scales = data["scales"].toDoubleVector();
    const std::vector<int64_t> seeds = data["seeds"].toIntVector();
    const std::vector<int64_t> bias_of = data["bias_of"].toIntVector();
    const bool delta = data["delta"].toBool();
    const size_t n = scales.size();
    int64_t biases = 0;
    for (const int64_t index : bias_of) biases += index >= 0;

    // Linears whose output got a gradient; without one they add nothing.
    std::vector<LoraTensors> linears;
    std::vector<double> used_scales;
    std::vector<int64_t> used_seeds;
    torch::autograd::variable_list result(2 + 2 * n +
                                          (delta ? 1 : n + static_cast<size_t>(biases)));
    const torch::Tensor x = saved[0];
    for (size_t i = 0; i < n; ++i) {
      if (!incoming[i].defined()) continue;
      LoraTensors& linear = linears.emplace_back();
      linear.a = saved[1 + 4 * i];
      linear.b = saved[2 + 4 * i];
      linear.weight = saved[3 + 4 * i];
      linear.s = saved[4 + 4 * i];
      linear.dy = rows(incoming[i].detach());
      const size_t a = 1 + i, b = 1 + n + i, weight = 1 + 2 * n + i;
      if (context->needs_input_grad(a)) result[a] = linear.da = empty_as(linear.a);
      if (context->needs_input_grad(b)) result[b] = linear.db = empty_as(linear.b);
      used_scales.push_back(scales[i]);
      used_seeds.push_back(seeds[i]);
      if (delta) {
        if (context->needs_input_grad(weight)) result[weight] = linear.dy;
        continue;
      }
      // Frozen as a rule; not fused where they are not.
      const torch::Tensor dy = torch::atleast_2d(linear.dy).flatten(0, -2);
      if (context->needs_input_grad(weight)) {
        result[weight] = dy.t().matmul(torch::atleast_2d(x).flatten(0, -2));
      }
      if (bias_of[i] < 0) continue;
      const size_t bias = 1 + 3 * n + static_cast<size_t>(bias_of[i]);
      if (context->needs_input_grad(bias)) result[bias] = dy.sum(0);
    }
    if (linears.empty()) return result;
    if (context->needs_input_grad(0)) result[0] = empty_as(x);
    run(sl_lora_backward, x, c_structs(linears, used_scales, used_seeds),
        data["dropout"].toDouble(), result[0]);
    return once_differentiable(data["operation"].toStringRef().c_str(), std::move(result));
  }
};

inline void check_dims(const std::string& name, const torch::Tensor& tensor, int64_t dims,
                       const char* layout) {
  if (tensor.defined() && (dims == 0 ? tensor.dim() > 0 : tensor.dim() == dims)) return;
  refuse(name + ": " +
         (tensor.defined() ? std::to_string(tensor.dim()) + " dimensions" : "undefined") +
         ", expected " + layout);
}

inline void check_count(const char* name, size_t found, size_t expected) {
  if (found == expected) return;
  refuse(std::string(name) + ": " + std::to_string(found) + " items, expected " +
         std::to_string(expected) + ", one for each item of a");
}

// x and y of more than 3 dimensions are flattened to matrices and the results unflattened.
inline std::vector<torch::Tensor> lora(LoraCall call, const torch::Tensor& given_x,
                                       at::TensorList a, at::TensorList b, at::TensorList weight,
                                       at::TensorList bias, const torch::Tensor& given_y = {}) {
  check_dims("x", given_x, 0, "[...,K]");
  const std::string linears = "linears[";
  for (size_t i = 0; i < a.size(); ++i) {
    const std::string item = linears + std::to_string(i) + "].";
    check_dims(item + "a", a[i], 2, "2: [r,K]");
    check_dims(item + "b", b[i], 2, "2: [N,r]");
    if (!given_y.defined()) check_dims(item + "weight", weight[i], 2, "2: [N,K]");
  }
  std::vector<torch::Tensor> biases, ys;
  for (const torch::Tensor& one : bias) {
    call.bias_of.push_back(one.defined() ? static_cast<int64_t>(biases.size()) : -1);
    if (one.defined()) biases.push_back(one);
  }
  call.bias_of.resize(call.size(), -1);
  torch::Tensor x = autocast(given_x), y = given_y;
  const bool flatten = x.dim() > 3;
  const std::vector<int64_t> leading = x.sizes().slice(0, x.dim() - 1).vec();
  if (y.defined()) {
    check_dims("y", y, 0, "[...,N]");
    if (y.sizes().slice(0, y.dim() - 1) != at::IntArrayRef(leading)) {
      refuse("y: leading dimensions " + c10::str(y.sizes()) + ", expected those of x " +
             c10::str(x.sizes()));
    }
    y = autocast(y);
    ys.push_back(flatten ? y.flatten(0, -2) : y);
  }
  if (flatten) x = x.flatten(0, -2);
  std::vector<torch::Tensor> outputs =
      LoraFunction::apply(x, a, b, weight, at::TensorList(biases), at::TensorList(ys), call);
  if (flatten) {
    for (torch::Tensor& output : outputs) output = output.unflatten(0, leading);
  }
  return outputs;
}

inline void merge(const char* operation, const torch::Tensor& weight, const torch::Tensor& a,
                  const torch::Tensor& b, double scale, bool stochastic, int64_t seed) {
  check_dims("weight", weight, 2, "2: [N,K]");
  check_dims("a", a, 2, "2: [r,K]");
  check_dims("b", b, 2, "2: [N,r]");
  if (weight.requires_grad() && torch::GradMode::is_enabled()) {
    refuse(std::string(operation) +
           ": weight requires a gradient, expected a frozen one, or torch::NoGradGuard");
  }
  const torch::NoGradGuard no_grad;
  const torch::Tensor a_rows = rows(a), b_rows = rows(b);
  const View a_view(a_rows), b_view(b_rows);
  View weight_view(weight);
  sl_lora_merge_args args{};
  args.weight = weight_view, args.a = a_view, args.b = b_view;
  args.scale = scale;
  args.rounding = stochastic ? SL_ROUND_STOCHASTIC : SL_ROUND_NEAREST;
  args.seed = static_cast<uint64_t>(seed);
  Context(weight).run([&](const sl_context* where) { return sl_lora_merge(where, &args); });
  written(weight);
}

}  // namespace detail

// x W^T + bias + scale (drop(x) A^T) B^T, differentiable in all tensors; x [...,K], weight [N,K],
// bias [N] or undefined, a [r,K], b [N,r]. The gradients of x, a and b are fused; a weight or bias
// that requires one gets it from torch's own operators. Under autocast x is cast, and so is the
// result. seed: of the dropout mask, by default from torch's generator.
inline torch::Tensor lora_linear(const torch::Tensor& x, const torch::Tensor& weight,
                                 const torch::Tensor& bias, const torch::Tensor& a,
                                 const torch::Tensor& b, double scale, double dropout = 0,
                                 std::optional<int64_t> seed = {}) {
  const detail::LoraCall call{
      "lora_linear", {scale}, dropout, {detail::seed_or_new(seed, dropout)}, {}};
  return detail::lora(call, x, a, b, weight, bias)[0];
}

// Several such linears of one input (q, k, v; gate, up) in one call, as lora_linear; a bias may be
// undefined. seeds: one for each linear, or none: from torch's generator, a mask for each.
inline std::vector<torch::Tensor> lora_linears(
    const torch::Tensor& x, const std::vector<torch::Tensor>& weights,
    const std::vector<torch::Tensor>& biases, const std::vector<torch::Tensor>& a,
    const std::vector<torch::Tensor>& b, const std::vector<double>& scales, double dropout = 0,
    std::vector<int64_t> seeds = {}) {
  if (seeds.empty()) {
    for (size_t i = 0; i < a.size(); ++i) seeds.push_back(detail::seed_or_new({}, dropout));
  }
  detail::check_count("weights", weights.size(), a.size());
  detail::check_count("biases", biases.size(), a.size());
  detail::check_count("b", b.size(), a.size());
  detail::check_count("scales", scales.size(), a.size());
  detail::check_count("seeds", seeds.size(), a.size());
  return detail::lora({"lora_linears", scales, dropout, seeds, {}}, x, a, b, weights, biases);
}

// y + scale (drop(x) A^T) B^T, for a y [...,N] of a base that is not a plain matrix (quantised);
// differentiable in all four.
inline torch::Tensor lora_delta(const torch::Tensor& y, const torch::Tensor& x,
                                const torch::Tensor& a, const torch::Tensor& b, double scale,
                                double dropout = 0, std::optional<int64_t> seed = {}) {
  if (!y.defined()) detail::refuse("y: undefined, expected [...,N]");
  const detail::LoraCall call{
      "lora_delta", {scale}, dropout, {detail::seed_or_new(seed, dropout)}, {}};
  return detail::lora(call, x, a, b, {}, {}, y)[0];
}

// weight += scale B A in place; stochastic rounding, by `seed`, is for bf16 weights. A weight saved
// for a backward pass yet to come makes that pass fail, as after any other operation in place. A sum
// beyond the range of the dtype is an infinity, as torch's is.
inline void lora_merge_(const torch::Tensor& weight, const torch::Tensor& a, const torch::Tensor& b,
                        double scale, bool stochastic = false, int64_t seed = 0) {
  detail::merge("lora_merge_", weight, a, b, scale, stochastic, seed);
}

// weight -= scale B A in place: in fp32 within 2 ulp of what it was, in bf16 within 1, of the
// larger of |weight| and |weight + scale B A|. Keep a copy for an exact return.
inline void lora_unmerge_(const torch::Tensor& weight, const torch::Tensor& a,
                          const torch::Tensor& b, double scale, bool stochastic = false,
                          int64_t seed = 0) {
  detail::merge("lora_unmerge_", weight, a, b, -scale, stochastic, seed);
}

}  // namespace sightline

#endif  // SIGHTLINE_TORCH_LORA_HPP
