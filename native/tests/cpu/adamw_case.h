// AdamW calls with all their tensors, beside a restatement of torch's step in the same order of
// operations. A test that includes this is compiled without FMA contraction, like the kernels.
#pragma once

#include "abi/tensor.h"
#include "harness.h"

namespace abi {

inline constexpr sl_adamw_group kGroup{1e-2, 0.9, 0.999, 1e-8, 0.05};

enum class Kept { kParam, kMaster, kRemainder };  // where what a step computes is kept

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// The master's bits, as sightline.h gives them.
inline uint32_t joined(const Tensor& param, const Tensor& remainder, int64_t i) {
  const uint32_t high = bits_of(static_cast<float>(param.at(i))) >> 16;
  return 65536 * high + static_cast<uint32_t>(static_cast<int32_t>(remainder.at(i)));
}

// The nearer of the bf16 numbers around; of two as near, the larger.
inline float rounded_away(float value) {
  const auto high = static_cast<uint16_t>(bits_of(value) >> 16);
  const double toward = from_bf16(high), away = from_bf16(static_cast<uint16_t>(high + 1));
  const double to_toward = std::abs(value - toward), to_away = std::abs(away - value);
  return static_cast<float>(to_toward < to_away ? toward : away);
}

// One parameter with its gradient and state, and the restatement's copy of them.
struct Parameter {
  Tensor param, grad, exp_avg, exp_avg_sq, master, remainder;
  Kept kept;
  int group;
  std::vector<float> p, m, v;

  Parameter(std::vector<int64_t> shape, Random& random, DType dtype = DType::kFloat32,
            DType grad_dtype = DType::kFloat32, Kept kept_in = Kept::kParam, int group_index = 0)
      : param(shape, dtype),
        grad(shape, grad_dtype),
        exp_avg(shape),
        exp_avg_sq(shape),
        master(shape),
        remainder(shape, DType::kInt16),
        kept(kept_in),
        group(group_index) {
    param.fill(random);
    for (int64_t i = 0; i < param.size(); ++i) {
      if (kept == Kept::kMaster) {
        master.set(i, param.at(i) + 1e-4 * random.normal());
        param.set(i, master.at(i));
      }
      p.push_back(static_cast<float>(kept == Kept::kMaster ? master.at(i) : param.at(i)));
      if (kept == Kept::kRemainder) {
        remainder.set(i, static_cast<double>(random.below(65536) - 32768));
        const uint32_t bits = joined(param, remainder, i);
        std::memcpy(&p.back(), &bits, sizeof bits);
      }
    }
    m.assign(p.size(), 0.f);
    v.assign(p.size(), 0.f);
  }

  sl_adamw_param abi() {
    return {param.get(),
            exp_avg.get(),
            exp_avg_sq.get(),
            kept == Kept::kMaster ? master.get() : nullptr,
            kept == Kept::kRemainder ? remainder.get() : nullptr,
            group};
  }

  // torch.optim.adamw._single_tensor_adamw, line by line, in fp32.
  void restate(const sl_adamw_group& g, int64_t t, float grad_factor) {
    const float decay = static_cast<float>(1 - g.lr * g.weight_decay);
    const float weight = static_cast<float>(1 - g.beta1);
    const float beta2 = static_cast<float>(g.beta2);
    const float value = static_cast<float>(1 - g.beta2);
    const double bias_correction1 = 1 - std::pow(g.beta1, static_cast<double>(t));
    const double bias_correction2 = 1 - std::pow(g.beta2, static_cast<double>(t));
    const float step_size = static_cast<float>(-(g.lr / bias_correction1));
    const float root = static_cast<float>(std::sqrt(bias_correction2));
    const float eps = static_cast<float>(g.eps);
    for (size_t i = 0; i < p.size(); ++i) {
      const float gradient = static_cast<float>(grad.at(static_cast<int64_t>(i))) * grad_factor;
      p[i] = p[i] * decay;
      m[i] = weight < 0.5f ? m[i] + weight * (gradient - m[i])
                           : gradient - (gradient - m[i]) * (1.f - weight);
      v[i] = v[i] * beta2;
      v[i] = v[i] + value * gradient * gradient;
      float denominator = std::sqrt(v[i]);
      denominator = denominator / root;
      denominator = denominator + eps;
      p[i] = p[i] + step_size * m[i] / denominator;
      // Without a master the rounded parameter is all that survives the step.
      if (kept == Kept::kParam && param.dtype() == DType::kBFloat16) {
        p[i] = round_to_bf16(p[i]);
      }
    }
  }

  // Elements whose bits differ from the restatement, of which a NaN may be any.
  int64_t differing() const {
    const auto differs = [](double a, double b) {
      return a != b && !(std::isnan(a) && std::isnan(b));
    };
    int64_t count = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      const auto e = static_cast<int64_t>(i);
      const double rounded = param.dtype() == DType::kFloat32 ? p[i]
                             : kept == Kept::kRemainder       ? rounded_away(p[i])
                                                              : round_to_bf16(p[i]);
      const uint32_t whole = joined(param, remainder, e);
      count += differs(param.at(e), rounded) || differs(exp_avg.at(e), m[i]) ||
               differs(exp_avg_sq.at(e), v[i]) ||
               (kept == Kept::kMaster && differs(master.at(e), p[i])) ||
               (kept == Kept::kRemainder && !std::isnan(p[i]) && whole != bits_of(p[i]));
    }
    return count;
  }
};

struct Optimizer {
  std::vector<std::unique_ptr<Parameter>> parameters;
  sl_adamw* handle = nullptr;

  ~Optimizer() { sl_adamw_destroy(handle); }

  // As Parameter's constructor. What a step reads may be set until create().
  template <class... Rest>
  Parameter& add(std::vector<int64_t> shape, Random& random, Rest... rest) {
    parameters.push_back(std::make_unique<Parameter>(std::move(shape), random, rest...));
    return *parameters.back();
  }

  void create() {
    std::vector<sl_adamw_param> params;
    for (auto& p : parameters) params.push_back(p->abi());
    CHECK_EQ(sl_adamw_create(params.data(), static_cast<int64_t>(params.size()), &handle), SL_OK);
  }

  sl_status step(const std::vector<sl_adamw_group>& groups, sl_adamw_step_args args = {},
                 int threads = 0, size_t without_gradient = SIZE_MAX) {
    std::vector<sl_tensor> grads;
    for (auto& p : parameters) grads.push_back(p->grad.raw());
    if (without_gradient < grads.size()) grads[without_gradient].ndim = -1;
    args.grads = grads.data();
    args.count = static_cast<int64_t>(grads.size());
    args.groups = groups.data();
    args.group_count = static_cast<int32_t>(groups.size());
    if (args.grad_scale == 0) args.grad_scale = 1;
    sl_context context{};
    context.num_threads = threads;
    return sl_adamw_step(handle, &context, &args);
  }

  std::vector<int64_t> steps() const {
    std::vector<int64_t> result(parameters.size(), -1);
    CHECK_EQ(sl_adamw_get_steps(handle, result.data(), static_cast<int64_t>(result.size())), SL_OK);
    return result;
  }
  double sum_of_squares() const {  // of the gradients
    double sum = 0;
    for (auto& p : parameters) {
      for (double g : p->grad.values()) sum += g * g;
    }
    return sum;
  }
  int64_t differing() const {
    int64_t count = 0;
    for (auto& p : parameters) count += p->differing();
    return count;
  }
};

// Every dtype combination over every shape, so that chunk ends and block ends fall everywhere.
inline void add_parameters(Optimizer& optimizer, Random& random) {
  const std::vector<std::vector<int64_t>> shapes = {
      {1}, {7}, {8}, {3, 171}, {16384}, {5, 3277}, {}, {2, 3, 4, 5, 6}, {0, 5}, {257, 129}};
  int i = 0;
  for (const auto& shape : shapes) {
    for (DType grad : kBothDTypes) {
      optimizer.add(shape, random, DType::kFloat32, grad, Kept::kParam, i++ % 2);
      for (Kept kept : {Kept::kParam, Kept::kMaster, Kept::kRemainder}) {
        optimizer.add(shape, random, DType::kBFloat16, grad, kept, i++ % 2);
      }
    }
  }
}

inline void fill_gradients(Optimizer& optimizer, Random& random) {
  for (auto& p : optimizer.parameters) {
    p->grad.fill(random, std::pow(10., random.uniform() * 6 - 4));
  }
}

}  // namespace abi
