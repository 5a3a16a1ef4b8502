// AdamW (arXiv 1711.05101) of one element and the scalars of one tensor's step, in PyTorch's order
// of operations. Both backends compute the same bits, but for pow(), whose last bit may differ
// between host and device before the scalars are rounded to fp32, and for the bits of a NaN.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/nan.h"
#include "common/rounded_arithmetic.h"
#include "sightline/sightline.h"

namespace sightline {

// Prepared in double and rounded once.
struct AdamwScalars {
  float grad_factor;  // gradient scale times clipping factor
  float decay;        // 1 - lr weight_decay
  float lerp_weight;  // 1 - beta1
  float beta2;
  float one_minus_beta2;
  float bias_correction2_sqrt;  // sqrt(1 - beta2^t)
  float eps;
  float minus_step_size;  // -lr / (1 - beta1^t)
};

SL_HOST_DEVICE AdamwScalars adamw_scalars(const sl_adamw_group& group, int64_t t,
                                          double grad_factor) {
  const double bias_correction1 = 1. - pow(group.beta1, static_cast<double>(t));
  const double bias_correction2 = 1. - pow(group.beta2, static_cast<double>(t));
  AdamwScalars s;
  s.grad_factor = static_cast<float>(grad_factor);
  s.decay = static_cast<float>(1. - group.lr * group.weight_decay);
  s.lerp_weight = static_cast<float>(1. - group.beta1);
  s.beta2 = static_cast<float>(group.beta2);
  s.one_minus_beta2 = static_cast<float>(1. - group.beta2);
  s.bias_correction2_sqrt = static_cast<float>(sqrt(bias_correction2));
  s.eps = static_cast<float>(group.eps);
  s.minus_step_size = static_cast<float>(-(group.lr / bias_correction1));
  return s;
}

// An fp32 master as a bf16 parameter and the 16 bits that it has more: 65536 x parameter +
// remainder. The parameter is the master rounded to nearest, ties away from 0, as only that can be
// undone.
SL_HOST_DEVICE float join_master(uint16_t parameter, int16_t remainder) {
  const uint32_t bits = (static_cast<uint32_t>(parameter) << 16) + static_cast<uint32_t>(remainder);
  float master;
  __builtin_memcpy(&master, &bits, 4);
  return master;
}
SL_HOST_DEVICE void split_master(float master, uint16_t& parameter, int16_t& remainder) {
  uint32_t bits;
  __builtin_memcpy(&bits, &master, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) bits = kNanBits;  // its rounding could carry past NaN
  parameter = static_cast<uint16_t>((bits + 0x8000u) >> 16);
  remainder = static_cast<int16_t>(bits);
}

// torch's lerp takes the form that is accurate near its nearer end.
SL_HOST_DEVICE void adamw_update(const AdamwScalars& s, float g, float& p, float& m, float& v) {
  const float grad = multiply_rn(g, s.grad_factor);
  const float decayed = multiply_rn(p, s.decay);
  const float difference = subtract_rn(grad, m);
  m = s.lerp_weight < 0.5f
          ? add_rn(m, multiply_rn(s.lerp_weight, difference))
          : subtract_rn(grad, multiply_rn(difference, subtract_rn(1.f, s.lerp_weight)));
  v = add_rn(multiply_rn(v, s.beta2), multiply_rn(multiply_rn(s.one_minus_beta2, grad), grad));
  const float denominator = add_rn(divide_rn(root_rn(v), s.bias_correction2_sqrt), s.eps);
  p = add_rn(decayed, divide_rn(multiply_rn(s.minus_step_size, m), denominator));
}

// Clipping as torch.nn.utils.clip_grad_norm_; a NaN norm stays NaN, as in torch.
SL_HOST_DEVICE double clip_factor(double max_norm, double norm) {
  const double factor = max_norm / (norm + 1e-6);
  return factor > 1. ? 1. : factor;
}

}  // namespace sightline
