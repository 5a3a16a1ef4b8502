// torch.ops.sightline.lora_*: sl_lora_* on torch's tensors.
#include "torch/operators.h"
#include "torch/values.h"

namespace sightline::torch_ops {
namespace {

// One linear of a call: its tensors, their views, and the C struct over them.
struct Linear {
  Tensor weight, bias, a, b, s, y, dy, da, db;
  sl_tensor views[9];

  sl_lora_linear c_struct(double scale, int64_t seed) {
    sl_lora_linear linear{};
    linear.weight = read(weight, 0);
    linear.bias = read(bias, 1);
    linear.a = read(a, 2);
    linear.b = read(b, 3);
    linear.scale = scale;
    linear.dropout_seed = static_cast<uint64_t>(seed);
    linear.s = write(s, 4);
    linear.y = write(y, 5);
    linear.grad_y = read(dy, 6);
    linear.grad_a = write(da, 7);
    linear.grad_b = write(db, 8);
    return linear;
  }

 private:
  const sl_tensor* read(const Tensor& tensor, int i) {
    if (!tensor) return nullptr;
    views[i] = tensor.read_view();
    return &views[i];
  }
  sl_tensor* write(Tensor& tensor, int i) {
    if (!tensor) return nullptr;
    views[i] = tensor.write_view();
    return &views[i];
  }
};

void check_dims(const Tensor& tensor, const char* name, int min, const char* layout) {
  if (tensor.dim() >= min) return;
  refuse(std::string(name) + ": " + std::to_string(tensor.dim()) + " dimensions, expected " +
         layout);
}

// Same leading dimensions as x, then the rows of b.
std::vector<int64_t> output_shape(const Tensor& x, const Tensor& b) {
  check_dims(x, "x", 1, "1 to 3: [...,K]");
  check_dims(b, "b", 2, "2: [N,r]");
  std::vector<int64_t> shape = x.shape();
  shape.back() = b.shape()[0];
  return shape;
}

Tensor empty_s(const Tensor& x, const Tensor& a) {
  check_dims(a, "a", 2, "2: [r,K]");
  const std::vector<int64_t> shape = x.shape();
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < shape.size(); ++d) rows *= shape[d];
  return Tensor::empty({rows, a.shape()[0]}, libtorch().aoti_torch_dtype_float32(), x);
}

void check_count(const char* name, size_t found, size_t expected) {
  if (found == expected) return;
  refuse(std::string(name) + ": " + std::to_string(found) + " items, expected " +
         std::to_string(expected) + ", one for each item of a");
}

struct Call {
  Tensor x;
  std::vector<Linear> linears;
  std::vector<double> scales;
  std::vector<int64_t> seeds;
  double dropout = 0;

  std::vector<sl_lora_linear> c_structs() {
    std::vector<sl_lora_linear> structs;
    for (size_t i = 0; i < linears.size(); ++i)
      structs.push_back(linears[i].c_struct(scales[i], seeds[i]));
    return structs;
  }

  void run(decltype(&sl_lora_forward) function, const std::vector<sl_lora_linear>& structs,
           sl_tensor* grad_x) {
    const sl_tensor view = x.read_view();
    sl_lora_args args{};
    args.x = &view;
    args.linears = structs.data();
    args.count = static_cast<int64_t>(structs.size());
    args.dropout = dropout;
    args.grad_x = grad_x;
    Context(x).run([&](const sl_context* context) { return function(context, &args); });
  }

  void forward() {
    for (Linear& linear : linears) {
      if (!linear.y) linear.y = Tensor::empty(output_shape(x, linear.b), x.dtype(), x);
      linear.s = empty_s(x, linear.a);
    }
    const std::vector<sl_lora_linear> structs = c_structs();
    run(sl_lora_forward, structs, nullptr);
  }

  // dx, or an empty tensor.
  Tensor backward(bool input_gradient, bool adapter_gradients) {
    for (Linear& linear : linears) {
      const auto gradient = [&](const Tensor& of) {
        return Tensor::empty(adapter_gradients ? of.shape() : std::vector<int64_t>{0}, of.dtype(),
                             x);
      };
      linear.da = gradient(linear.a);
      linear.db = gradient(linear.b);
    }
    Tensor dx = Tensor::empty(input_gradient ? x.shape() : std::vector<int64_t>{0}, x.dtype(), x);
    std::vector<sl_lora_linear> structs = c_structs();
    if (!adapter_gradients)
      for (sl_lora_linear& linear : structs) linear.grad_a = linear.grad_b = nullptr;
    sl_tensor dx_view = dx.write_view();
    run(sl_lora_backward, structs, input_gradient ? &dx_view : nullptr);
    return dx;
  }
};

void read_numbers(Stack& stack, Call& call) {
  call.scales = {stack.number()};
  call.dropout = stack.number();
  call.seeds = {stack.seed()};
}

template <bool kTensorSeed>
void linear_forward(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, kTensorSeed ? "TTtTTffT" : "TTtTTffi");
  Call call;
  call.x = stack.tensor().with_contiguous_rows();
  Linear& linear = call.linears.emplace_back();
  linear.weight = stack.tensor();
  linear.bias = stack.optional_tensor();
  linear.a = stack.tensor();
  linear.b = stack.tensor();
  read_numbers(stack, call);
  call.forward();
  stack.result(std::move(linear.y));
  stack.result(std::move(linear.s));
}

template <bool kTensorSeed>
void linear_backward(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, kTensorSeed ? "TTtTTTffTbb" : "TTtTTTffibb");
  Call call;
  Linear& linear = call.linears.emplace_back();
  linear.dy = stack.tensor().with_contiguous_rows();
  call.x = stack.tensor().with_contiguous_rows();
  linear.weight = stack.optional_tensor();
  linear.a = stack.tensor();
  linear.b = stack.tensor();
  linear.s = stack.tensor();
  read_numbers(stack, call);
  const bool input_gradient = stack.boolean(), adapter_gradients = stack.boolean();
  Tensor dx = call.backward(input_gradient, adapter_gradients);
  stack.result(std::move(dx));
  stack.result(std::move(linear.da));
  stack.result(std::move(linear.db));
}

std::vector<Tensor> column(std::vector<Linear>& linears, Tensor Linear::*member) {
  std::vector<Tensor> tensors;
  for (Linear& linear : linears) tensors.push_back(std::move(linear.*member));
  return tensors;
}

template <bool kTensorSeed>
void linears_forward(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, kTensorSeed ? "TLlLLFfT" : "TLlLLFfI");
  Call call;
  call.x = stack.tensor().with_contiguous_rows();
  std::vector<Tensor> weights = stack.tensors(), biases = stack.optional_tensors();
  std::vector<Tensor> as = stack.tensors(), bs = stack.tensors();
  call.scales = stack.numbers();
  call.dropout = stack.number();
  call.seeds = stack.seeds();
  const size_t count = as.size();
  check_count("weight", weights.size(), count);
  check_count("bias", biases.size(), count);
  check_count("b", bs.size(), count);
  check_count("scale", call.scales.size(), count);
  check_count("seed", call.seeds.size(), count);
  call.linears = std::vector<Linear>(count);
  for (size_t i = 0; i < count; ++i) {
    call.linears[i].weight = std::move(weights[i]);
    call.linears[i].bias = std::move(biases[i]);
    call.linears[i].a = std::move(as[i]);
    call.linears[i].b = std::move(bs[i]);
  }
  call.forward();
  stack.result(column(call.linears, &Linear::y));
  stack.result(column(call.linears, &Linear::s));
}

template <bool kTensorSeed>
void linears_backward(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, kTensorSeed ? "LTLLLLFfTbb" : "LTLLLLFfIbb");
  Call call;
  std::vector<Tensor> dys = stack.tensors();
  call.x = stack.tensor().with_contiguous_rows();
  std::vector<Tensor> weights = stack.tensors(), as = stack.tensors(), bs = stack.tensors();
  std::vector<Tensor> ss = stack.tensors();
  call.scales = stack.numbers();
  call.dropout = stack.number();
  call.seeds = stack.seeds();
  const bool input_gradient = stack.boolean(), adapter_gradients = stack.boolean();
  const size_t count = as.size();
  check_count("dy", dys.size(), count);
  check_count("weight", weights.size(), count);
  check_count("b", bs.size(), count);
  check_count("s", ss.size(), count);
  check_count("scale", call.scales.size(), count);
  check_count("seed", call.seeds.size(), count);
  call.linears = std::vector<Linear>(count);
  for (size_t i = 0; i < count; ++i) {
    call.linears[i].dy = std::move(dys[i]).with_contiguous_rows();
    call.linears[i].weight = std::move(weights[i]);
    call.linears[i].a = std::move(as[i]);
    call.linears[i].b = std::move(bs[i]);
    call.linears[i].s = std::move(ss[i]);
  }
  Tensor dx = call.backward(input_gradient, adapter_gradients);
  stack.result(std::move(dx));
  stack.result(column(call.linears, &Linear::da));
  stack.result(column(call.linears, &Linear::db));
}

// In place or on a copy of y.
void delta_with(StableValue* values, const char* types, bool in_place) {
  Stack stack(values, types);
  Call call;
  Linear& linear = call.linears.emplace_back();
  linear.y = stack.tensor();
  if (!in_place) linear.y = linear.y.copy();
  call.x = stack.tensor().with_contiguous_rows();
  linear.a = stack.tensor();
  linear.b = stack.tensor();
  read_numbers(stack, call);
  call.forward();  // without a weight: adds to y
  if (!in_place) stack.result(std::move(linear.y));
  stack.result(std::move(linear.s));
}

template <bool kTensorSeed>
void delta(StableValue* values, uint64_t, uint64_t) {
  delta_with(values, kTensorSeed ? "TTTTffT" : "TTTTffi", false);
}
void delta_in_place(StableValue* values, uint64_t, uint64_t) {
  delta_with(values, "TTTTffi", true);
}

}  // namespace

// A seed of dropout is a number or, in the overload tensor_seed, a tensor of int64 on the CPU: a
// graph of torch draws it with randint, where a number would be that of the graph's making.
// clang-format off
#define SIGHTLINE_WITH_SEEDS(name, kernel, before, number, after)             \
  {name "(" before number after, name, kernel<false>, false},                 \
  {name ".tensor_seed(" before ", Tensor seed" after, name ".tensor_seed", kernel<true>, false}
// clang-format on

const Operator kLoraOperators[] = {
    // s [M,r] fp32 is for the backward pass.
    SIGHTLINE_WITH_SEEDS("lora_linear", linear_forward,
                         "Tensor x, Tensor weight, Tensor? bias, Tensor a, Tensor b, float scale, "
                         "float dropout",
                         "=0.0, int seed=0", ") -> (Tensor y, Tensor s)"),
    // weight None: the backward of lora_delta. What is not asked for is an empty tensor.
    SIGHTLINE_WITH_SEEDS("lora_linear_backward", linear_backward,
                         "Tensor dy, Tensor x, Tensor? weight, Tensor a, Tensor b, Tensor s, "
                         "float scale, float dropout",
                         "=0.0, int seed=0",
                         ", bool input_gradient=True, bool adapter_gradients=True) -> "
                         "(Tensor dx, Tensor da, Tensor db)"),
    // Linears that share their input in one call: q, k, v; gate, up. seed: one for each.
    SIGHTLINE_WITH_SEEDS("lora_linears", linears_forward,
                         "Tensor x, Tensor[] weight, Tensor?[] bias, Tensor[] a, Tensor[] b, "
                         "float[] scale, float dropout",
                         ", int[] seed", ") -> (Tensor[] y, Tensor[] s)"),
    SIGHTLINE_WITH_SEEDS("lora_linears_backward", linears_backward,
                         "Tensor[] dy, Tensor x, Tensor[] weight, Tensor[] a, Tensor[] b, "
                         "Tensor[] s, float[] scale, float dropout",
                         ", int[] seed",
                         ", bool input_gradient=True, bool adapter_gradients=True) -> "
                         "(Tensor dx, Tensor[] da, Tensor[] db)"),
    // y += scale (drop(x) A^T) B^T, for a base product computed elsewhere.
    {"lora_delta_(Tensor(a!) y, Tensor x, Tensor a, Tensor b, float scale, float dropout=0.0, "
     "int seed=0) -> Tensor",
     "lora_delta_", delta_in_place, false},
    SIGHTLINE_WITH_SEEDS("lora_delta", delta,
                         "Tensor y, Tensor x, Tensor a, Tensor b, float scale, float dropout",
                         "=0.0, int seed=0", ") -> (Tensor y, Tensor s)"),
    {nullptr, nullptr, nullptr, false},
};

#undef SIGHTLINE_WITH_SEEDS

}  // namespace sightline::torch_ops
