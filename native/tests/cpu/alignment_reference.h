// The alignment loss and its gradients in fp64, written from the formulas one token at a time:
// textbook LayerNorm forward and backward, plain sums, no folding. Dropout masks come from
// common/philox.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "common/philox.h"

namespace sightline {

using Values = std::vector<double>;

struct ReferenceProjector {
  int64_t d, p, z;
  Values gamma, beta, w1, b1, w2, b2, w3, b3;
};

struct ReferenceInput {
  int64_t tokens;
  Values hidden, teacher, weight;  // [M,D] [M,Z] [M]
  double grad_scale = 1, ln_eps = 1e-5, dropout = 0;
  uint64_t seed = 0;
};

struct ReferenceResult {
  double loss = 0;
  Values cosine, hidden;       // [M], [M,D]
  ReferenceProjector weights;  // gradients
};

inline double reference_sigmoid(double u) { return 1 / (1 + std::exp(-u)); }
inline double reference_silu_derivative(double u) {
  const double s = reference_sigmoid(u);
  return s + u * s * (1 - s);
}

inline ReferenceProjector zeros_like(ReferenceProjector w) {
  for (Values* v : {&w.gamma, &w.beta, &w.w1, &w.b1, &w.w2, &w.b2, &w.w3, &w.b3}) {
    v->assign(v->size(), 0.);
  }
  return w;
}

// LayerNorm before its weight and bias.
struct NormalisedRow {
  Values xhat;
  double rstd;
};
inline NormalisedRow normalised(const double* h, size_t d, double eps) {
  double mean = 0, variance = 0;
  for (size_t i = 0; i < d; ++i) mean += h[i] / static_cast<double>(d);
  for (size_t i = 0; i < d; ++i) variance += (h[i] - mean) * (h[i] - mean) / static_cast<double>(d);
  NormalisedRow row{Values(d), 1 / std::sqrt(variance + eps)};
  for (size_t i = 0; i < d; ++i) row.xhat[i] = (h[i] - mean) * row.rstd;
  return row;
}

// y = x w^T + b
inline Values reference_linear(const Values& x, const Values& w, const Values& b) {
  const size_t in = x.size(), out = b.size();
  Values y(b);
  for (size_t o = 0; o < out; ++o) {
    const double* row = &w[o * in];
    double sum = 0;
    for (size_t i = 0; i < in; ++i) sum += x[i] * row[i];
    y[o] += sum;
  }
  return y;
}

// Backward of the above: adds to dw and db, returns dx.
inline Values reference_linear_backward(const Values& dy, const Values& x, const Values& w,
                                        Values& dw, Values& db) {
  const size_t in = x.size(), out = dy.size();
  Values dx(in);
  for (size_t o = 0; o < out; ++o) {
    db[o] += dy[o];
    const double g = dy[o], *row = &w[o * in];
    double* gradient = &dw[o * in];
    for (size_t i = 0; i < in; ++i) {
      gradient[i] += g * x[i];
      dx[i] += g * row[i];
    }
  }
  return dx;
}

inline Values reference_mask(const ReferenceInput& in, uint32_t stream, int64_t row, size_t n) {
  Values mask(n, 1.0);
  if (in.dropout == 0) return mask;
  for (size_t j = 0; j < n; ++j) {
    const bool keep = dropout_keeps(in.seed, stream, static_cast<uint64_t>(row), j,
                                    dropout_threshold(in.dropout));
    mask[j] = keep ? 1 / (1 - in.dropout) : 0;
  }
  return mask;
}

inline ReferenceResult reference_alignment(const ReferenceProjector& w, const ReferenceInput& in) {
  ReferenceResult r;
  r.weights = zeros_like(w);
  double total = 0;
  for (double m : in.weight) total += m;
  const size_t d = static_cast<size_t>(w.d), z_size = static_cast<size_t>(w.z);
  for (int64_t token = 0; token < in.tokens; ++token) {
    const double* h = &in.hidden[static_cast<size_t>(token) * d];
    const double* t = &in.teacher[static_cast<size_t>(token) * z_size];
    const auto [xhat, rstd] = normalised(h, d, in.ln_eps);
    Values y(d);
    for (size_t i = 0; i < d; ++i) y[i] = xhat[i] * w.gamma[i] + w.beta[i];
    const Values u = reference_linear(y, w.w1, w.b1);
    const Values mask1 = reference_mask(in, kDropoutProjector1, token, u.size());
    Values a1(u.size());
    for (size_t i = 0; i < u.size(); ++i) a1[i] = u[i] * reference_sigmoid(u[i]) * mask1[i];
    const Values v = reference_linear(a1, w.w2, w.b2);
    const Values mask2 = reference_mask(in, kDropoutProjector2, token, v.size());
    Values a2(v.size());
    for (size_t i = 0; i < v.size(); ++i) a2[i] = v[i] * reference_sigmoid(v[i]) * mask2[i];
    const Values z = reference_linear(a2, w.w3, w.b3);

    double zz = 0, tt = 0, zt = 0;
    for (size_t i = 0; i < z_size; ++i) zz += z[i] * z[i], tt += t[i] * t[i], zt += z[i] * t[i];
    const double floor = 1e-12, z_norm = std::max(std::sqrt(zz), floor),
                 t_norm = std::max(std::sqrt(tt), floor);
    const double c = zt / (z_norm * t_norm), m = in.weight[static_cast<size_t>(token)];
    r.cosine.push_back(c);
    if (total != 0) r.loss -= m * c / total;

    Values dz(z_size);
    const double scale = total != 0 ? -in.grad_scale * m / total : 0;
    for (size_t i = 0; i < z_size; ++i) {
      const double through_norm = std::sqrt(zz) > floor ? c * z[i] / z_norm : 0;
      dz[i] = scale * (t[i] / t_norm - through_norm) / z_norm;
    }
    Values dv = reference_linear_backward(dz, a2, w.w3, r.weights.w3, r.weights.b3);
    for (size_t i = 0; i < v.size(); ++i) dv[i] *= mask2[i] * reference_silu_derivative(v[i]);
    Values du = reference_linear_backward(dv, a1, w.w2, r.weights.w2, r.weights.b2);
    for (size_t i = 0; i < u.size(); ++i) du[i] *= mask1[i] * reference_silu_derivative(u[i]);
    const Values dy = reference_linear_backward(du, y, w.w1, r.weights.w1, r.weights.b1);
    double sum = 0, sum_x = 0;
    for (size_t i = 0; i < d; ++i) {
      r.weights.gamma[i] += dy[i] * xhat[i];
      r.weights.beta[i] += dy[i];
      sum += dy[i] * w.gamma[i];
      sum_x += dy[i] * w.gamma[i] * xhat[i];
    }
    const double n = static_cast<double>(d);
    for (size_t i = 0; i < d; ++i) {
      r.hidden.push_back(rstd * (dy[i] * w.gamma[i] - sum / n - xhat[i] * sum_x / n));
    }
  }
  return r;
}

// The same result with every product's operands rounded to bf16 where bf16 compute rounds them
// (xhat, a1, a2, dz, dv, du and the weights, LayerNorm's gamma folded into W1), everything else in
// fp64. What is left between this and a kernel is fp32 arithmetic, and now and then a value that it
// rounds to the other neighbour. With `round` the identity this is the fold's algebra, equal to the
// textbook's.
template <typename Round>
ReferenceResult mirrored_alignment(const ReferenceProjector& w, const ReferenceInput& in,
                                   Round&& round) {
  const auto rounded = [&](Values x) {
    for (double& value : x) value = round(value);
    return x;
  };
  const size_t d = static_cast<size_t>(w.d), p = static_cast<size_t>(w.p);
  ReferenceProjector folded = w;  // gamma 1, beta 0
  for (size_t o = 0; o < p; ++o) {
    for (size_t i = 0; i < d; ++i) {
      folded.b1[o] += w.w1[o * d + i] * w.beta[i];
      folded.w1[o * d + i] = w.w1[o * d + i] * w.gamma[i];
    }
  }
  folded.w1 = rounded(folded.w1), folded.w2 = rounded(w.w2), folded.w3 = rounded(w.w3);
  ReferenceResult r;
  r.weights = zeros_like(w);
  ReferenceProjector& g = r.weights;
  double total = 0;
  for (double m : in.weight) total += m;
  const size_t z_size = static_cast<size_t>(w.z);
  for (int64_t token = 0; token < in.tokens; ++token) {
    const double* h = &in.hidden[static_cast<size_t>(token) * d];
    const double* t = &in.teacher[static_cast<size_t>(token) * z_size];
    const auto [xhat, rstd] = normalised(h, d, in.ln_eps);
    const Values x_low = rounded(xhat), u = reference_linear(x_low, folded.w1, folded.b1);
    const Values mask1 = reference_mask(in, kDropoutProjector1, token, p);
    Values a1(p), a2(p);
    for (size_t i = 0; i < p; ++i) a1[i] = round(u[i] * reference_sigmoid(u[i]) * mask1[i]);
    const Values v = reference_linear(a1, folded.w2, w.b2);
    const Values mask2 = reference_mask(in, kDropoutProjector2, token, p);
    for (size_t i = 0; i < p; ++i) a2[i] = round(v[i] * reference_sigmoid(v[i]) * mask2[i]);
    const Values z = reference_linear(a2, folded.w3, w.b3);
    double zz = 0, tt = 0, zt = 0;
    for (size_t i = 0; i < z_size; ++i) zz += z[i] * z[i], tt += t[i] * t[i], zt += z[i] * t[i];
    const double z_norm = std::sqrt(zz), t_norm = std::max(std::sqrt(tt), 1e-12);
    const double c = zt / (z_norm * t_norm), m = in.weight[static_cast<size_t>(token)];
    r.cosine.push_back(c);
    if (total != 0) r.loss -= m * c / total;
    Values dz(z_size), unused(std::max(z_size, p));
    const double scale = total != 0 ? -in.grad_scale * m / total : 0;
    for (size_t i = 0; i < z_size; ++i)
      dz[i] = scale * (t[i] / t_norm - c * z[i] / z_norm) / z_norm;
    // Bias gradients sum the unrounded rows.
    for (size_t i = 0; i < z_size; ++i) g.b3[i] += dz[i];
    Values dv = reference_linear_backward(rounded(dz), a2, folded.w3, g.w3, unused);
    for (size_t i = 0; i < p; ++i) g.b2[i] += dv[i] *= mask2[i] * reference_silu_derivative(v[i]);
    Values du = reference_linear_backward(rounded(dv), a1, folded.w2, g.w2, unused);
    for (size_t i = 0; i < p; ++i) g.b1[i] += du[i] *= mask1[i] * reference_silu_derivative(u[i]);
    const Values dx = reference_linear_backward(rounded(du), x_low, folded.w1, g.w1, unused);
    double k1 = 0, k2 = 0;
    for (size_t i = 0; i < d; ++i) {
      k1 += dx[i] / static_cast<double>(d);
      k2 += dx[i] * xhat[i] / static_cast<double>(d);
    }
    for (size_t i = 0; i < d; ++i) r.hidden.push_back(rstd * (dx[i] - k1 - xhat[i] * k2));
  }
  for (size_t o = 0; o < p; ++o) {
    for (size_t i = 0; i < d; ++i) {
      double& product = g.w1[o * d + i];
      g.gamma[i] += w.w1[o * d + i] * product;
      g.beta[i] += w.w1[o * d + i] * g.b1[o];
      product = product * w.gamma[i] + g.b1[o] * w.beta[i];
    }
  }
  return r;
}

}  // namespace sightline
