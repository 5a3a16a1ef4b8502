// Cosine of a projected row z and a teacher row t, and its gradient, from the row's sums
// zz = z.z, zt = z.t, tt = t.t:
//   c = zt / (max(|z|, eps) max(|t|, eps)),   eps = 1e-12 as in F.normalize
//   d(-m c)/dz = -m (t^ - c z^) / |z|,   t^ = t / max(|t|, eps),   z^ = z / |z|
// Below eps the norm of z is a constant, so the z^ term falls away.
#pragma once

#include <cmath>

#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

constexpr float kNormEpsilon = 1e-12f;

struct CosineRow {
  float cosine;
  float dz_t, dz_z;  // dz = dz_t t + dz_z z
};

SL_HOST_DEVICE CosineRow cosine_row(float zz, float zt, float tt, float weight) {
  const float norm_z = sqrtf(zz), norm_t = sqrtf(tt);
  // NaN must come through: fmaxf would drop it.
  const float inverse_z = 1.f / (norm_z < kNormEpsilon ? kNormEpsilon : norm_z);
  const float inverse_t = 1.f / (norm_t < kNormEpsilon ? kNormEpsilon : norm_t);
  CosineRow row;
  row.cosine = zt * inverse_z * inverse_t;
  row.dz_t = -weight * inverse_t * inverse_z;
  row.dz_z = norm_z < kNormEpsilon ? 0.f : weight * row.cosine * inverse_z * inverse_z;
  return row;
}

}  // namespace sightline::cuda
