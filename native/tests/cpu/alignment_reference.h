// The alignment loss and its gradients in fp64, written from the formulas one token at a time:
// textbook norms forward and backward, plain sums. Dropout masks come from common/philox.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "alignment_loss_reference.h"
#include "common/philox.h"

namespace sightline {

struct ReferenceLayer {
  size_t in, out;
  Values weight, bias;  // no bias: empty
};

struct ReferenceProjector {
  Norm norm;
  Activation activation;
  Values gamma, beta;  // none: empty
  std::vector<ReferenceLayer> layers;
};

struct ReferenceResult {
  double loss = 0;
  Values cosine, hidden;       // [M], [M,D]
  ReferenceProjector weights;  // gradients
};

// act(u) and act'(u)
struct ReferenceActivation {
  double value, slope;
};
inline ReferenceActivation reference_activation(Activation kind, double u) {
  const double sigmoid = 1 / (1 + std::exp(-u));
  switch (kind) {
    case Activation::kNone:
      return {u, 1};
    case Activation::kSilu:
      return {u * sigmoid, sigmoid + u * sigmoid * (1 - sigmoid)};
    case Activation::kGelu: {
      const double phi = std::erfc(-u / std::numbers::sqrt2) / 2;
      return {u * phi, phi + u * std::exp(-u * u / 2) / std::sqrt(2 * std::numbers::pi)};
    }
    case Activation::kGeluTanh: {
      const double a = std::sqrt(2 / std::numbers::pi), b = 0.044715;
      const double t = std::tanh(a * (u + b * u * u * u));
      return {u * (1 + t) / 2, (1 + t) / 2 + u * (1 - t * t) / 2 * a * (1 + 3 * b * u * u)};
    }
    case Activation::kRelu:
      return {u < 0 ? 0 : u, u <= 0 ? 0.0 : 1.0};
  }
  return {NAN, NAN};
}

// A norm before its weight and bias.
struct NormalisedRow {
  Values xhat;
  double rstd;
};
inline NormalisedRow normalised(const double* h, size_t d, Norm norm, double eps) {
  if (norm == Norm::kNone) return {Values(h, h + d), 1};
  double mean = 0, variance = 0;
  for (size_t i = 0; norm == Norm::kLayer && i < d; ++i) mean += h[i] / static_cast<double>(d);
  for (size_t i = 0; i < d; ++i) variance += (h[i] - mean) * (h[i] - mean) / static_cast<double>(d);
  NormalisedRow row{Values(d), 1 / std::sqrt(variance + eps)};
  for (size_t i = 0; i < d; ++i) row.xhat[i] = (h[i] - mean) * row.rstd;
  return row;
}

// The gradient of h from that of xhat.
inline Values norm_backward(const Values& g, const NormalisedRow& row, Norm norm) {
  if (norm == Norm::kNone) return g;
  const double n = static_cast<double>(g.size());
  double mean = 0, along = 0;
  for (size_t i = 0; i < g.size(); ++i) mean += g[i] / n, along += g[i] * row.xhat[i] / n;
  if (norm == Norm::kRms) mean = 0;
  Values dh(g.size());
  for (size_t i = 0; i < g.size(); ++i) dh[i] = row.rstd * (g[i] - mean - row.xhat[i] * along);
  return dh;
}

// y = x W^T + b
inline Values reference_linear(const Values& x, const ReferenceLayer& layer) {
  Values y(layer.bias.empty() ? Values(layer.out) : layer.bias);
  for (size_t o = 0; o < layer.out; ++o) {
    const double* row = &layer.weight[o * layer.in];
    double sum = 0;
    for (size_t i = 0; i < layer.in; ++i) sum += x[i] * row[i];
    y[o] += sum;
  }
  return y;
}

// Adds to dW, returns dx.
inline Values reference_linear_backward(const Values& dy, const Values& x,
                                        const ReferenceLayer& layer, Values& dw) {
  Values dx(layer.in);
  for (size_t o = 0; o < layer.out; ++o) {
    const double g = dy[o], *row = &layer.weight[o * layer.in];
    double* gradient = &dw[o * layer.in];
    for (size_t i = 0; i < layer.in; ++i) {
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

// With `fold` the norm's weight and bias are in the first layer, as kernels have it, and every
// product's operands go through `round`; bias gradients sum rows before that.
template <typename Round>
ReferenceResult reference_chain(const ReferenceProjector& w, const ReferenceInput& in, bool fold,
                                Round&& round) {
  const auto rounded = [&](Values x) {
    for (double& value : x) value = round(value);
    return x;
  };
  const size_t d = w.layers[0].in, count = w.layers.size(), z_size = w.layers.back().out;
  const Values teacher = reference_teacher(in, z_size);
  const bool affine = !w.gamma.empty(), shift = !w.beta.empty();
  ReferenceProjector used = w;
  for (size_t o = 0; fold && affine && o < used.layers[0].out; ++o) {
    ReferenceLayer& first = used.layers[0];
    first.bias.resize(first.out);
    for (size_t i = 0; i < d; ++i) {
      if (shift) first.bias[o] += first.weight[o * d + i] * w.beta[i];
      first.weight[o * d + i] *= w.gamma[i];
    }
  }
  for (ReferenceLayer& layer : used.layers) layer.weight = rounded(layer.weight);

  ReferenceResult r;
  ReferenceProjector& g = r.weights = w;
  g.gamma.assign(g.gamma.size(), 0), g.beta.assign(g.beta.size(), 0);
  for (ReferenceLayer& layer : g.layers) {
    layer.weight.assign(layer.weight.size(), 0), layer.bias.assign(layer.out, 0);
  }
  double total = 0;
  for (double m : in.weight) total += m;

  for (int64_t token = 0; token < in.tokens; ++token) {
    const NormalisedRow row =
        normalised(&in.hidden[static_cast<size_t>(token) * d], d, w.norm, in.norm_eps);
    std::vector<Values> inputs{row.xhat}, outputs, masks;
    for (size_t i = 0; !fold && affine && i < d; ++i) {
      inputs[0][i] = inputs[0][i] * w.gamma[i] + (shift ? w.beta[i] : 0);
    }
    for (size_t l = 0; l < count; ++l) {
      inputs[l] = rounded(inputs[l]);
      outputs.push_back(reference_linear(inputs[l], used.layers[l]));
      if (l + 1 == count) break;
      masks.push_back(reference_mask(in, kDropoutProjector[l], token, outputs[l].size()));
      inputs.push_back(outputs[l]);
      for (size_t i = 0; i < outputs[l].size(); ++i) {
        inputs.back()[i] = reference_activation(w.activation, outputs[l][i]).value * masks[l][i];
      }
    }

    const double m = in.weight[static_cast<size_t>(token)];
    const double scale = total != 0 ? in.grad_scale * m / total : 0;
    Values dy;
    const Values& z = outputs.back();
    r.cosine.push_back(
        reference_dot(reference_unit(z.data(), z_size),
                      reference_unit(&teacher[static_cast<size_t>(token) * z_size], z_size)));
    const double v = reference_loss(in, teacher, token, z, scale, &dy, round);
    if (total != 0) r.loss += m * v / total;

    for (size_t l = count; l-- > 0;) {
      for (size_t i = 0; i < dy.size(); ++i) g.layers[l].bias[i] += dy[i];
      dy = reference_linear_backward(rounded(dy), inputs[l], used.layers[l], g.layers[l].weight);
      for (size_t i = 0; l > 0 && i < dy.size(); ++i) {
        dy[i] *= masks[l - 1][i] * reference_activation(w.activation, outputs[l - 1][i]).slope;
      }
    }
    for (size_t i = 0; !fold && affine && i < d; ++i) {
      g.gamma[i] += dy[i] * row.xhat[i];
      if (shift) g.beta[i] += dy[i];
      dy[i] *= w.gamma[i];
    }
    const Values dh = norm_backward(dy, row, w.norm);
    r.hidden.insert(r.hidden.end(), dh.begin(), dh.end());
  }

  for (size_t o = 0; fold && affine && o < w.layers[0].out; ++o) {
    for (size_t i = 0; i < d; ++i) {
      double& product = g.layers[0].weight[o * d + i];
      const double sum = g.layers[0].bias[o];
      g.gamma[i] += w.layers[0].weight[o * d + i] * product;
      if (shift) g.beta[i] += w.layers[0].weight[o * d + i] * sum;
      product = product * w.gamma[i] + (shift ? sum * w.beta[i] : 0);
    }
  }
  return r;
}

inline ReferenceResult reference_alignment(const ReferenceProjector& w, const ReferenceInput& in) {
  return reference_chain(w, in, false, [](double x) { return x; });
}

// The same result with every product's operands rounded to bf16 where bf16 compute rounds them.
// What is left between this and a kernel is fp32 arithmetic, and now and then a value that it
// rounds to the other neighbour. With `round` the identity this is the fold's algebra, equal to the
// textbook's.
template <typename Round>
ReferenceResult mirrored_alignment(const ReferenceProjector& w, const ReferenceInput& in,
                                   Round&& round) {
  return reference_chain(w, in, true, round);
}

}  // namespace sightline
