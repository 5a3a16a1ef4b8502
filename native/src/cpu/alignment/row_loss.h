// Losses of one token: z, its features projected, against t, the teacher's. With s the gradient's
// scale, n features, z^ = z / max(|z|, eps), t^ = t / max(|t|, eps), eps = 1e-12:
//
//   cosine     v = -z^.t^
//   L2         v = |z - t|^2 / n, or of z^ and t^
//   smooth-L1  v = sum h(z - t) / n, or of z^ and t^;  h(d) = d^2 / 2b where |d| < b, else |d| - b/2
//
// InfoNCE, which sees more than one token, is in contrast.h.
#pragma once

#include "api/backend.h"
#include "cpu/kernels/kernels.h"

namespace sightline::cpu {

// eps of F.normalize; written so that NaN is kept.
inline double floored(double norm) { return norm < 1e-12 ? 1e-12 : norm; }

inline float token_weight(const AlignmentCall& call, int64_t token) {
  if (!call.token_weight) return 1.f;
  const int64_t tokens = call.hidden.rows;
  return *reinterpret_cast<const float*>(call.token_weight.at(token / tokens, token % tokens));
}

// In fp64: no norm of finite rows overflows.
struct RowCosine {
  double zz, tt, zt;
  double z_size, t_size;  // norms, at least eps
  bool constant_size;     // z is divided by eps, whose derivative is 0
  double cosine;

  RowCosine(const RowKernels& row, const float* z, const float* t, int64_t n);
};

// v; where `scale` is not null, z becomes *scale times its gradient. t may be overwritten.
double row_loss(const LossOptions& loss, const RowCosine& cosine, const RowKernels& row, float* z,
                float* t, int64_t n, const double* scale);

}  // namespace sightline::cpu
