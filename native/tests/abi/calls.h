// Valid calls of every ABI function that takes tensors, small, with every argument within reach of
// a test that wants to break it. Each tensor lies in an arena with room for any layout that a test
// may describe by mistake and the checks may let pass.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>

#include "abi/tensor.h"

namespace abi {

inline constexpr size_t kArenaBytes = 8192;

struct ArenaTensor {
  sl_tensor tensor{};
  std::vector<int64_t> shape, strides;
  std::vector<uint8_t> memory;
  bool output = false;
};

class Call {
 public:
  explicit Call(uint64_t seed) : random_(seed) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // A tensor that the call's struct member `*pointer` will point to, known to tests by `name`.
  template <typename Pointer>
  void add(const std::string& name, Pointer* pointer, std::vector<int64_t> shape, sl_dtype dtype,
           bool output = false) {
    sl_tensor& t = allocate(std::move(shape), dtype, output);
    *pointer = &t;
    slots_[name] = reinterpret_cast<sl_tensor**>(const_cast<sl_tensor**>(pointer_cast(pointer)));
    names_.push_back(name);
  }
  sl_tensor& allocate(std::vector<int64_t> shape, sl_dtype dtype, bool output) {
    ArenaTensor& t = tensors_.emplace_back();
    t.shape = std::move(shape);
    t.strides.assign(t.shape.size(), 1);
    for (size_t d = t.shape.size(); d-- > 1;) {
      t.strides[d - 1] = t.strides[d] * t.shape[d] + (d == t.shape.size() - 1 && padded ? 3 : 0);
    }
    t.memory.resize(kArenaBytes);
    for (size_t i = 0; i + 4 <= kArenaBytes; i += 4) {
      const float value = static_cast<float>(random_.uniform());
      std::memcpy(&t.memory[i], &value, 4);
    }
    t.output = output;
    t.tensor = {t.memory.data(),
                {SL_CPU, 0},
                static_cast<int32_t>(t.shape.size()),
                dtype,
                t.shape.data(),
                t.strides.data(),
                0};
    return t.tensor;
  }

  sl_tensor* pointer(const std::string& name) { return *slots_.at(name); }
  sl_tensor& at(const std::string& name) { return *pointer(name); }
  void set_null(const std::string& name) { *slots_.at(name) = nullptr; }
  // Where `name` is an output, so is then what it stands for.
  void alias(const std::string& name, const std::string& other) {
    const sl_tensor *const from = *slots_.at(name), *const to = *slots_.at(other);
    const auto is = [&](const sl_tensor* t) {
      return [=](const ArenaTensor& one) { return &one.tensor == t; };
    };
    const auto source = std::find_if(tensors_.begin(), tensors_.end(), is(from));
    const auto target = std::find_if(tensors_.begin(), tensors_.end(), is(to));
    if (source != tensors_.end() && target != tensors_.end()) target->output |= source->output;
    *slots_.at(name) = *slots_.at(other);
  }
  void move_to_cuda() {
    for (ArenaTensor& t : tensors_) t.tensor.device = {SL_CUDA, 0};
  }
  const std::vector<std::string>& names() const { return names_; }

  // Runs the call; whether memory that it must not touch kept its bits: inputs always, outputs too
  // if it failed or was a query.
  sl_status run(bool* kept) {
    std::vector<std::vector<uint8_t>> before;
    for (const ArenaTensor& t : tensors_) before.push_back(t.memory);
    const sl_status status = invoke();
    *kept = true;
    size_t i = 0;
    for (const ArenaTensor& t : tensors_) {
      const bool may_change = t.output && status == SL_OK && context.workspace_query == nullptr;
      *kept &= may_change || t.memory == before[i];
      ++i;
    }
    return status;
  }

  bool padded = true;
  std::function<sl_status()> invoke;
  std::vector<std::function<void(Random&)>> scalars;  // each breaks or changes one plain argument

  // The structs that the pointers live in.
  sl_context context{};
  uint64_t workspace_needed = 0;
  sl_lora_args lora{};
  sl_lora_merge_args merge{};
  std::vector<sl_lora_linear> linears;
  sl_projector weights{}, grad_weights{};
  sl_projector_desc desc{};
  sl_alignment_args alignment_args{};
  sl_loss_desc loss_desc{};
  sl_alignment* alignment = nullptr;
  std::vector<sl_adamw_param> params;
  std::vector<sl_tensor> grads;
  std::vector<sl_adamw_group> groups;
  sl_adamw_step_args step_args{};
  sl_adamw* adamw = nullptr;
  std::function<void()> cleanup = [] {};
  ~Call() { cleanup(); }

 private:
  static sl_tensor** pointer_cast(sl_tensor** p) { return p; }
  static sl_tensor** pointer_cast(const sl_tensor** p) { return const_cast<sl_tensor**>(p); }

  Random random_;
  std::deque<ArenaTensor> tensors_;
  std::map<std::string, sl_tensor**> slots_;
  std::vector<std::string> names_;
};

using CallPtr = std::unique_ptr<Call>;

// Interesting values for a double argument.
inline double odd_double(Random& r) {
  const double values[] = {NAN, INFINITY, -INFINITY, -1,        0,    1,
                           0.5, 1e300,    -1e-300,   1 - 1e-12, 1e-60};
  return values[r.below(std::size(values))];
}
inline int32_t odd_int(Random& r) {
  const int32_t values[] = {-1, 0, 1, 2, 7, 1000000, INT32_MAX, INT32_MIN};
  return values[r.below(std::size(values))];
}

inline void add_context(Call& c) {
  c.context.num_threads = 1;
  c.scalars.push_back([&c](Random& r) {  // valid counts stay small: they start threads
    const int32_t n = odd_int(r);
    c.context.num_threads = n == 1000000 || n < 8 ? n : -n;
  });
  c.scalars.push_back([&c](Random& r) { c.context.workspace_bytes = r.bits(); });
  c.scalars.push_back([&c](Random& r) { c.context.fp32_precision = odd_int(r); });
  c.scalars.push_back([&c](Random&) { c.context.workspace_query = &c.workspace_needed; });
}

inline constexpr int64_t kB = 2, kT = 3, kK = 5, kN = 4, kR = 2;

inline CallPtr lora_call(uint64_t seed, const std::string& kind) {
  auto call = std::make_unique<Call>(seed);
  Call& c = *call;
  add_context(c);
  sl_lora_args& args = c.lora;
  args.accumulate_weights = 1;
  args.count = kind == "delta" ? 1 : 2;
  c.linears.resize(static_cast<size_t>(args.count));
  args.linears = c.linears.data();
  const bool backward = kind == "backward";
  c.add("x", &args.x, {kB, kT, kK}, kFloat32);
  for (int64_t i = 0; i < args.count; ++i) {
    sl_lora_linear& l = c.linears[i];
    const std::string p = "linears[" + std::to_string(i) + "].";
    if (kind != "delta") {
      c.add(p + "weight", &l.weight, {kN, kK}, i == 0 ? kFloat32 : kBFloat16);
      c.add(p + "bias", &l.bias, {kN}, kFloat32);
    }
    c.add(p + "a", &l.a, {kR, kK}, kFloat32);
    c.add(p + "b", &l.b, {kN, kR}, kFloat32);
    l.scale = 0.5;
    c.padded = false;
    c.add(p + "s", &l.s, {kB * kT, kR}, kFloat32, !backward);
    c.padded = true;
    if (backward) {
      c.add(p + "grad_y", &l.grad_y, {kB, kT, kN}, kFloat32);
      c.add(p + "grad_a", &l.grad_a, {kR, kK}, kFloat32, true);
      c.add(p + "grad_b", &l.grad_b, {kN, kR}, kFloat32, true);
    } else {
      c.add(p + "y", &l.y, {kB, kT, kN}, kFloat32, true);
    }
    c.scalars.push_back([&l](Random& r) { l.scale = odd_double(r); });
  }
  c.scalars.push_back([&args](Random& r) { args.dropout = odd_double(r); });
  if (kind != "delta") {
    c.scalars.push_back([&args](Random& r) {
      const int64_t values[] = {0, -1, 65, INT64_MAX, INT64_MIN, 1};
      args.count = values[r.below(std::size(values))];
    });
  }
  if (backward) {
    c.add("grad_x", &args.grad_x, {kB, kT, kK}, kFloat32, true);
    c.scalars.push_back([&args](Random& r) { args.accumulate_x = odd_int(r); });
    c.scalars.push_back([&args](Random& r) { args.accumulate_weights = odd_int(r); });
  }
  c.invoke = [&c, backward] {
    return (backward ? sl_lora_backward : sl_lora_forward)(&c.context, &c.lora);
  };
  return call;
}

inline CallPtr merge_call(uint64_t seed) {
  auto call = std::make_unique<Call>(seed);
  Call& c = *call;
  add_context(c);
  sl_lora_merge_args& args = c.merge;
  args.scale = 2, args.rounding = SL_ROUND_STOCHASTIC, args.seed = 7;
  c.add("weight", &args.weight, {kN, kK}, kBFloat16, true);
  c.add("a", &args.a, {kR, kK}, kFloat32);
  c.add("b", &args.b, {kN, kR}, kFloat32);
  c.scalars.push_back([&args](Random& r) { args.scale = odd_double(r); });
  c.scalars.push_back([&args](Random& r) { args.rounding = odd_int(r); });
  c.invoke = [&c] { return sl_lora_merge(&c.context, &c.merge); };
  return call;
}

inline constexpr int64_t kD = 6, kP = 5, kZ = 3;

inline void add_projector(Call& c, const std::string& owner, sl_projector* p, bool output) {
  c.add(owner + ".norm_weight", &p->norm_weight, {kD}, kFloat32, output);
  c.add(owner + ".norm_bias", &p->norm_bias, {kD}, kFloat32, output);
  const int64_t widths[] = {kD, kP, kP, kZ};
  for (int i = 0; i < 3; ++i) {
    const std::string layer = owner + ".layers[" + std::to_string(i) + "].";
    c.add(layer + "weight", &p->layers[i].weight, {widths[i + 1], widths[i]}, kFloat32, output);
    c.add(layer + "bias", &p->layers[i].bias, {widths[i + 1]}, kFloat32, output);
  }
}

inline CallPtr alignment_create_call(uint64_t seed, bool trainable) {
  auto call = std::make_unique<Call>(seed);
  Call& c = *call;
  add_projector(c, "weights", &c.weights, false);
  c.desc.size = sizeof c.desc;
  c.desc.layers = 3;
  c.desc.norm = SL_LAYER_NORM;
  c.desc.activation = SL_SILU;
  c.desc.norm_eps = 1e-5;
  c.desc.dropout = trainable ? 0.25 : 0.;
  c.desc.compute = kFloat32;
  c.desc.trainable = trainable;
  c.scalars.push_back([&c](Random& r) { c.desc.size = static_cast<uint32_t>(odd_int(r)); });
  c.scalars.push_back([&c](Random& r) { c.desc.layers = odd_int(r); });
  c.scalars.push_back([&c](Random& r) { c.desc.norm = odd_int(r); });
  c.scalars.push_back([&c](Random& r) { c.desc.activation = odd_int(r); });
  c.scalars.push_back([&c](Random& r) { c.desc.norm_eps = odd_double(r); });
  c.scalars.push_back([&c](Random& r) { c.desc.dropout = odd_double(r); });
  c.scalars.push_back([&c](Random& r) { c.desc.trainable = odd_int(r); });
  c.scalars.push_back([&c](Random& r) { c.desc.compute.bits = static_cast<uint8_t>(r.bits()); });
  c.invoke = [&c] {
    sl_alignment_destroy(c.alignment);
    c.alignment = nullptr;
    return sl_alignment_create(&c.weights, &c.desc, &c.alignment);
  };
  c.cleanup = [&c] { sl_alignment_destroy(c.alignment); };
  return call;
}

inline CallPtr alignment_update_call(uint64_t seed) {
  CallPtr call = alignment_create_call(seed, true);
  Call& c = *call;
  c.invoke();
  c.scalars.clear();
  add_context(c);
  c.invoke = [&c] { return sl_alignment_update(c.alignment, &c.context, &c.weights); };
  return call;
}

inline CallPtr alignment_loss_call(uint64_t seed) {
  CallPtr call = alignment_create_call(seed, true);
  Call& c = *call;
  c.invoke();
  c.scalars.clear();
  add_context(c);
  sl_alignment_args& args = c.alignment_args;
  c.add("hidden", &args.hidden, {kB, kT, kD}, kFloat32);
  c.add("teacher", &args.teacher, {kB, kT, kZ}, kBFloat16);
  c.add("token_weight", &args.token_weight, {kB, kT}, kFloat32);
  c.add("grad_scale", &args.grad_scale, {1}, kFloat32);
  c.add("loss", &args.loss, {}, kFloat32, true);
  c.add("cosine", &args.cosine, {kB, kT}, kFloat32, true);
  c.add("grad_hidden", &args.grad_hidden, {kB, kT, kD}, kFloat32, true);
  add_projector(c, "grad_weights", &c.grad_weights, true);
  args.grad_weights = &c.grad_weights;
  args.training = 1;
  sl_loss_desc& loss = c.loss_desc;
  loss.size = sizeof loss;
  loss.kind = static_cast<int32_t>(seed % 4);
  loss.beta = loss.temperature = 0.5;
  if (seed % 5 != 0) args.loss_desc = &loss;
  c.scalars.push_back([&loss](Random& r) { loss.size = static_cast<uint32_t>(odd_int(r)); });
  c.scalars.push_back([&loss](Random& r) { loss.kind = odd_int(r); });
  c.scalars.push_back([&loss](Random& r) { loss.teacher_norm = odd_int(r); });
  c.scalars.push_back([&loss](Random& r) { loss.normalize = odd_int(r); });
  c.scalars.push_back([&loss](Random& r) { loss.negatives = odd_int(r); });
  c.scalars.push_back([&loss](Random& r) { loss.beta = odd_double(r); });
  c.scalars.push_back([&loss](Random& r) { loss.temperature = odd_double(r); });
  c.scalars.push_back([&loss](Random& r) { loss.false_negatives = odd_double(r); });
  c.scalars.push_back([&args](Random& r) { args.training = odd_int(r); });
  c.scalars.push_back([&args](Random& r) { args.accumulate_hidden = odd_int(r); });
  c.scalars.push_back([&args](Random& r) { args.accumulate_weights = odd_int(r); });
  c.invoke = [&c] { return sl_alignment_loss(c.alignment, &c.context, &c.alignment_args); };
  return call;
}

inline CallPtr adamw_create_call(uint64_t seed) {
  auto call = std::make_unique<Call>(seed);
  Call& c = *call;
  static thread_local int64_t count;
  count = 2;
  c.padded = false;
  c.params.resize(2);
  for (size_t i = 0; i < 2; ++i) {
    sl_adamw_param& p = c.params[i];
    const std::string name = "params[" + std::to_string(i) + "].";
    const std::vector<int64_t> shape =
        i == 0 ? std::vector<int64_t>{3, 4} : std::vector<int64_t>{7};
    c.add(name + "param", &p.param, shape, kBFloat16, true);
    c.add(name + "exp_avg", &p.exp_avg, shape, kFloat32, true);
    c.add(name + "exp_avg_sq", &p.exp_avg_sq, shape, kFloat32, true);
    if (i == 0) c.add(name + "master", &p.master, shape, kFloat32, true);
    if (i == 1) c.add(name + "remainder", &p.remainder, shape, kInt16, true);
    p.group = static_cast<int32_t>(i);
    c.scalars.push_back([&p](Random& r) { p.group = odd_int(r); });
  }
  c.scalars.push_back([](Random& r) { count = -r.below(3); });
  c.invoke = [&c] {
    sl_adamw_destroy(c.adamw);
    c.adamw = nullptr;
    return sl_adamw_create(c.params.data(), count, &c.adamw);
  };
  c.cleanup = [&c] { sl_adamw_destroy(c.adamw); };
  return call;
}

inline CallPtr adamw_step_call(uint64_t seed) {
  CallPtr call = adamw_create_call(seed);
  Call& c = *call;
  c.invoke();
  c.scalars.clear();
  add_context(c);
  // grads is an array of tensors, not of pointers: slots of its own, copied when the call is made.
  static thread_local sl_tensor* grads[2];
  c.add("grads[0]", &grads[0], {3, 4}, kFloat32, true);
  c.add("grads[1]", &grads[1], {7}, kBFloat16, true);
  c.add("lr", &c.step_args.lr, {2}, kFloat32);
  c.add("report", &c.step_args.report, {4}, kFloat32, true);
  c.groups.assign(2, {1e-3, 0.9, 0.999, 1e-8, 0.01});
  sl_adamw_step_args& args = c.step_args;
  args.groups = c.groups.data();
  args.group_count = 2;
  args.count = 2;
  args.grad_scale = 1;
  args.max_grad_norm = 1;
  args.skip_nonfinite = 1;
  args.zero_grads = 1;
  c.scalars.push_back([&args](Random& r) { args.grad_scale = odd_double(r); });
  c.scalars.push_back([&args](Random& r) { args.max_grad_norm = odd_double(r); });
  c.scalars.push_back([&args](Random& r) { args.skip_nonfinite = odd_int(r); });
  c.scalars.push_back([&args](Random& r) { args.zero_grads = odd_int(r); });
  c.scalars.push_back(
      [&args](Random& r) { args.group_count = static_cast<int32_t>(2 - r.below(5)); });
  c.scalars.push_back([&args](Random& r) { args.count = odd_int(r); });
  c.scalars.push_back([&args](Random&) { args.groups = nullptr; });
  c.scalars.push_back([&c](Random& r) { c.groups[1].lr = odd_double(r); });
  c.scalars.push_back([&c](Random& r) { c.groups[0].beta1 = odd_double(r); });
  c.scalars.push_back([&c](Random& r) { c.groups[1].beta2 = odd_double(r); });
  c.scalars.push_back([&c](Random& r) { c.groups[0].eps = odd_double(r); });
  c.scalars.push_back([&c](Random& r) { c.groups[1].weight_decay = odd_double(r); });
  c.invoke = [&c] {
    c.grads.clear();
    for (sl_tensor* g : grads) {
      if (g != nullptr) c.grads.push_back(*g);
    }
    c.step_args.grads = c.grads.size() == 2 ? c.grads.data() : nullptr;
    return sl_adamw_step(c.adamw, &c.context, &c.step_args);
  };
  return call;
}

}  // namespace abi
