#include "cpu/alignment/row_loss.h"

#include <cmath>

namespace sightline::cpu {
namespace {

// z = scale d(z^.t^)/dz
void cosine_gradient(const RowCosine& c, const RowKernels& row, float* z, const float* t, int64_t n,
                     double scale) {
  const double along_z = c.constant_size ? 0.0 : -scale * c.cosine / (c.z_size * c.z_size);
  row.combine(z, scale / (c.z_size * c.t_size), t, along_z, z, n);
}

double l2(bool normalized, const RowCosine& c, const RowKernels& row, float* z, const float* t,
          int64_t n, const double* scale) {
  const double share = 1 / static_cast<double>(n);
  if (!normalized) {
    const double square = c.zz - 2 * c.zt + c.tt;
    if (scale) row.combine(z, -2 * share * *scale, t, 2 * share * *scale, z, n);
    return (square < 0 ? 0 : square) * share;
  }
  const double zz = c.zz / (c.z_size * c.z_size), tt = c.tt / (c.t_size * c.t_size);
  if (scale && c.constant_size) {
    const double k = 2 * share * *scale / c.z_size;
    row.combine(z, -k / c.t_size, t, k / c.z_size, z, n);
  } else if (scale) {
    cosine_gradient(c, row, z, t, n, -2 * share * *scale);
  }
  return (zz + tt - 2 * c.cosine) * share;
}

// The gradient in z^ (or z) lies between -1 and 1 and takes the place of t.
double smooth_l1(const LossOptions& loss, const RowCosine& c, const RowKernels& row, float* z,
                 float* t, int64_t n, const double* scale) {
  const double a = loss.normalize ? 1 / c.z_size : 1, b = loss.normalize ? 1 / c.t_size : 1;
  const double share = 1 / static_cast<double>(n);
  const double sum = row.smooth_l1(t, z, t, a, b, loss.beta, n);
  if (scale) {
    const bool through_norm = loss.normalize && !c.constant_size;
    const double along_z = through_norm ? -a * a * row.dot(t, z, n) : 0;
    row.combine(z, *scale * share * a, t, *scale * share * a * along_z, z, n);
  }
  return sum * share;
}

}  // namespace

RowCosine::RowCosine(const RowKernels& row, const float* z, const float* t, int64_t n) {
  row.cosine_sums(z, t, n, &zz, &tt, &zt);
  const double z_norm = std::sqrt(zz);
  z_size = floored(z_norm), t_size = floored(std::sqrt(tt));
  constant_size = z_norm < z_size;
  cosine = zt / (z_size * t_size);
}

double row_loss(const LossOptions& loss, const RowCosine& cosine, const RowKernels& row, float* z,
                float* t, int64_t n, const double* scale) {
  switch (loss.kind) {
    case LossKind::kL2:
      return l2(loss.normalize, cosine, row, z, t, n, scale);
    case LossKind::kSmoothL1:
      return smooth_l1(loss, cosine, row, z, t, n, scale);
    default:
      if (scale) cosine_gradient(cosine, row, z, t, n, -*scale);
      return -cosine.cosine;
  }
}

}  // namespace sightline::cpu
