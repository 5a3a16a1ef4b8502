// The losses of the alignment in fp64, a token at a time, written from the formulas.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "api/backend.h"

namespace sightline {

using Values = std::vector<double>;

struct ReferenceInput {
  int64_t tokens, images;
  Values hidden, teacher, weight;  // [M,D] [M,Z] [M]
  LossOptions loss{};
  double grad_scale = 1, norm_eps = 1e-5, dropout = 0;
  uint64_t seed = 0;
};

// The teacher as the loss sees it.
inline Values reference_teacher(const ReferenceInput& in, size_t z) {
  Values t = in.teacher;
  if (!in.loss.spatial_teacher || in.tokens == 0) return t;
  const size_t n = static_cast<size_t>(in.tokens / in.images);
  for (size_t image = 0; image < static_cast<size_t>(in.images); ++image) {
    for (size_t j = 0; j < z; ++j) {
      double mean = 0, square = 0;
      const auto at = [&](size_t i) -> double& { return t[(image * n + i) * z + j]; };
      for (size_t i = 0; i < n; ++i) mean += at(i) / static_cast<double>(n);
      for (size_t i = 0; i < n; ++i) square += (at(i) - mean) * (at(i) - mean);
      const double deviation = n > 1 ? std::sqrt(square / static_cast<double>(n - 1)) : 0;
      for (size_t i = 0; i < n; ++i) at(i) = (at(i) - mean) / (deviation + 1e-6);
    }
  }
  return t;
}

inline double reference_dot(const Values& a, const Values& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
inline Values reference_unit(const double* x, size_t n) {
  Values unit(x, x + n);
  const double norm = std::max(std::sqrt(reference_dot(unit, unit)), 1e-12);
  for (double& value : unit) value /= norm;
  return unit;
}

// The gradient in z of what has the gradient g in z^.
inline Values through_unit(const Values& g, const Values& z) {
  const Values unit = reference_unit(z.data(), z.size());
  const double norm = std::sqrt(reference_dot(z, z)), along = reference_dot(g, unit);
  Values dz(z.size());
  for (size_t i = 0; i < z.size(); ++i) {
    dz[i] = norm < 1e-12 ? g[i] / 1e-12 : (g[i] - along * unit[i]) / norm;
  }
  return dz;
}

// Operands of products go through `round`.
template <typename Round>
double reference_infonce(const ReferenceInput& in, const Values& teacher, int64_t token,
                         const Values& z, double scale, Values* dz, Round&& round) {
  const size_t n = z.size();
  const int64_t per_image = in.tokens / in.images;
  const auto rounded = [&](Values x) {
    for (double& value : x) value = round(value);
    return x;
  };
  const auto unit_of = [&](int64_t j) {
    return reference_unit(&teacher[static_cast<size_t>(j) * n], n);
  };
  const Values z_unit = reference_unit(z.data(), n), own = unit_of(token);
  const Values z_low = rounded(z_unit), own_low = rounded(own);
  const double cosine = reference_dot(z_unit, own), temperature = in.loss.temperature;
  std::vector<double> scores;
  std::vector<Values> units;
  double most = -INFINITY;
  for (int64_t j = 0; j < in.tokens; ++j) {
    const bool same = j / per_image == token / per_image;
    if (j != token) {
      if (in.loss.negatives == Negatives::kImage && !same) continue;
      if (in.loss.negatives == Negatives::kOthers && same) continue;
      if (in.weight[static_cast<size_t>(j)] == 0) continue;
    }
    const Values unit = rounded(unit_of(j));
    const double limit = in.loss.false_negatives;
    if (j != token && limit > 0 && reference_dot(own_low, unit) > limit) continue;
    units.push_back(unit);
    scores.push_back(j == token ? cosine : reference_dot(z_low, unit));
    most = std::max(most, scores.back());
  }
  double total = 0;
  Values g(n);
  for (size_t j = 0; j < scores.size(); ++j) {
    const double p = std::exp((scores[j] - most) / temperature), p_low = round(p);
    total += p;
    for (size_t i = 0; i < n; ++i) g[i] += p_low * units[j][i];
  }
  for (size_t i = 0; i < n; ++i) g[i] = scale / temperature * (g[i] / total - own[i]);
  *dz = through_unit(g, z);
  return (most - cosine) / temperature + std::log(total);
}

// v of a token, and in dz its gradient in z times `scale`.
template <typename Round>
double reference_loss(const ReferenceInput& in, const Values& teacher, int64_t token,
                      const Values& z, double scale, Values* dz, Round&& round) {
  const size_t n = z.size();
  const double* t = &teacher[static_cast<size_t>(token) * n];
  const LossOptions& loss = in.loss;
  if (loss.kind == LossKind::kInfoNce) {
    return reference_infonce(in, teacher, token, z, scale, dz, round);
  }
  if (loss.kind == LossKind::kCosine) {
    Values g = reference_unit(t, n);
    const double cosine = reference_dot(reference_unit(z.data(), n), g);
    for (double& value : g) value *= -scale;
    *dz = through_unit(g, z);
    return -cosine;
  }
  const Values a = loss.normalize ? reference_unit(z.data(), n) : z;
  const Values b = loss.normalize ? reference_unit(t, n) : Values(t, t + n);
  double value = 0;
  Values g(n);
  const double share = 1 / static_cast<double>(n), beta = loss.beta;
  for (size_t i = 0; i < n; ++i) {
    const double d = a[i] - b[i];
    const bool square = loss.kind == LossKind::kL2 || std::abs(d) < beta;
    const double curve = loss.kind == LossKind::kL2 ? 2 : 1 / beta;
    value += share * (square ? curve * d * d / 2 : std::abs(d) - beta / 2);
    g[i] = scale * share * ((square ? curve * d : d > 0 ? 1 : -1) + (d - d));  // infinite: NaN
  }
  *dz = loss.normalize ? through_unit(g, z) : g;
  return value;
}

}  // namespace sightline
