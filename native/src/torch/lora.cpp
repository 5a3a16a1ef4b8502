// torch.ops.sightline.lora_*: sl_lora_* on torch's tensors.
#include <span>

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

// A tensor argument of an operator; without a member it is x.
struct Argument {
  const char* name;
  Tensor Linear::*member = nullptr;
};

constexpr Argument kForward[] = {{"x"},
                                 {"weight", &Linear::weight},
                                 {"bias", &Linear::bias},
                                 {"a", &Linear::a},
                                 {"b", &Linear::b}};
constexpr Argument kBackward[] = {{"dy", &Linear::dy},         {"x"},
                                  {"weight", &Linear::weight}, {"a", &Linear::a},
                                  {"b", &Linear::b},           {"s", &Linear::s}};
constexpr Argument kDelta[] = {{"y", &Linear::y}, {"x"}, {"a", &Linear::a}, {"b", &Linear::b}};

// An operator's arguments up to its seeds: of a list of linears, or of one, which is a list of one.
struct Call {
  Tensor x;
  std::vector<Linear> linears;
  std::vector<double> scales;
  std::vector<int64_t> seeds;
  double dropout = 0;

  Call(Stack& stack, std::span<const Argument> arguments) {
    std::vector<std::vector<Tensor>> columns;
    size_t count = 0;
    for (const Argument& argument : arguments) {
      std::vector<Tensor>& column = columns.emplace_back();
      if (argument.member == nullptr) {
        x = stack.tensor().with_contiguous_rows();
      } else {
        column = stack.tensors();
      }
      if (argument.member == &Linear::a) count = column.size();
    }
    scales = stack.numbers();
    dropout = stack.number();
    seeds = stack.takes_lists() ? stack.seeds() : std::vector<int64_t>{stack.seed()};
    linears = std::vector<Linear>(count);
    for (size_t c = 0; c < columns.size(); ++c) {
      if (arguments[c].member == nullptr) continue;
      check_count(arguments[c].name, columns[c].size(), count);
      for (size_t i = 0; i < count; ++i) linears[i].*arguments[c].member = std::move(columns[c][i]);
    }
    check_count("scale", scales.size(), count);
    check_count("seed", seeds.size(), count);
  }

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
      linear.dy = std::move(linear.dy).with_contiguous_rows();
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

// As the arguments came: a list, or the one.
void give(Stack& stack, Call& call, Tensor Linear::*member) {
  std::vector<Tensor> tensors;
  for (Linear& linear : call.linears) tensors.push_back(std::move(linear.*member));
  if (stack.takes_lists()) {
    stack.result(std::move(tensors));
  } else {
    stack.result(std::move(tensors[0]));
  }
}

void forward(Stack& stack) {
  Call call(stack, kForward);
  call.forward();
  give(stack, call, &Linear::y);
  give(stack, call, &Linear::s);
}

void backward(Stack& stack) {
  Call call(stack, kBackward);
  const bool input_gradient = stack.boolean(), adapter_gradients = stack.boolean();
  stack.result(call.backward(input_gradient, adapter_gradients));
  give(stack, call, &Linear::da);
  give(stack, call, &Linear::db);
}

// Without a weight: adds to y, or to a copy of it.
void delta(Stack& stack) {
  Call call(stack, kDelta);
  call.linears[0].y = call.linears[0].y.copy();
  call.forward();
  give(stack, call, &Linear::y);
  give(stack, call, &Linear::s);
}

void delta_in_place(Stack& stack) {
  Call call(stack, kDelta);
  call.forward();
  give(stack, call, &Linear::s);
}

}  // namespace

// A seed of dropout is a number or, in the overload tensor_seed, a tensor of int64 on the CPU: a
// graph of torch draws it with randint, where a number would be that of the graph's making.
// clang-format off
#define SIGHTLINE_KERNEL(function, types) \
  [](StableValue* values, uint64_t, uint64_t) { Stack stack(values, types); function(stack); }
#define SIGHTLINE_WITH_SEEDS(name, function, types, seed, flags, before, number, after)            \
  {name "(" before number after, name, SIGHTLINE_KERNEL(function, types seed flags), false},       \
  {name ".tensor_seed(" before ", Tensor seed" after, name ".tensor_seed",                         \
   SIGHTLINE_KERNEL(function, types "T" flags), false}
// clang-format on

const Operator kLoraOperators[] = {
    // s [M,r] fp32 is for the backward pass.
    SIGHTLINE_WITH_SEEDS("lora_linear", forward, "TTtTTff", "i", "",
                         "Tensor x, Tensor weight, Tensor? bias, Tensor a, Tensor b, float scale, "
                         "float dropout",
                         "=0.0, int seed=0", ") -> (Tensor y, Tensor s)"),
    // weight None: the backward of lora_delta. What is not asked for is an empty tensor.
    SIGHTLINE_WITH_SEEDS("lora_linear_backward", backward, "TTtTTTff", "i", "bb",
                         "Tensor dy, Tensor x, Tensor? weight, Tensor a, Tensor b, Tensor s, "
                         "float scale, float dropout",
                         "=0.0, int seed=0",
                         ", bool input_gradient=True, bool adapter_gradients=True) -> "
                         "(Tensor dx, Tensor da, Tensor db)"),
    // Linears that share their input in one call: q, k, v; gate, up. seed: one for each.
    SIGHTLINE_WITH_SEEDS("lora_linears", forward, "TLlLLFf", "I", "",
                         "Tensor x, Tensor[] weight, Tensor?[] bias, Tensor[] a, Tensor[] b, "
                         "float[] scale, float dropout",
                         ", int[] seed", ") -> (Tensor[] y, Tensor[] s)"),
    SIGHTLINE_WITH_SEEDS("lora_linears_backward", backward, "LTLLLLFf", "I", "bb",
                         "Tensor[] dy, Tensor x, Tensor[] weight, Tensor[] a, Tensor[] b, "
                         "Tensor[] s, float[] scale, float dropout",
                         ", int[] seed",
                         ", bool input_gradient=True, bool adapter_gradients=True) -> "
                         "(Tensor dx, Tensor[] da, Tensor[] db)"),
    // y += scale (drop(x) A^T) B^T, for a base product computed elsewhere.
    {"lora_delta_(Tensor(a!) y, Tensor x, Tensor a, Tensor b, float scale, float dropout=0.0, "
     "int seed=0) -> Tensor",
     "lora_delta_", SIGHTLINE_KERNEL(delta_in_place, "TTTTffi"), false},
    SIGHTLINE_WITH_SEEDS("lora_delta", delta, "TTTTff", "i", "",
                         "Tensor y, Tensor x, Tensor a, Tensor b, float scale, float dropout",
                         "=0.0, int seed=0", ") -> (Tensor y, Tensor s)"),
    {nullptr, nullptr, nullptr, false},
};

#undef SIGHTLINE_WITH_SEEDS
#undef SIGHTLINE_KERNEL

}  // namespace sightline::torch_ops
