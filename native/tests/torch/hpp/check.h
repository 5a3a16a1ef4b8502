// What the tests of sightline/torch.hpp share. The oracle is libtorch's own composition in fp64.
#pragma once

#include <functional>
#include <sightline/torch.hpp>
#undef CHECK  // c10's
#undef CHECK_EQ
#undef CHECK_NE
#undef CHECK_LE
#undef CHECK_LT
#undef CHECK_GE
#undef CHECK_GT
#include "../../harness.h"

using torch::Tensor;

// fp32, and bf16 operands with fp32 sums: native/README.md's tolerances of one operation.
inline double tolerance_of(torch::ScalarType dtype) { return dtype == torch::kFloat ? 1e-5 : 8e-3; }

// ‖found − expected‖ / ‖expected‖; infinite where shapes or definedness differ.
inline double relative(const Tensor& found, const Tensor& expected) {
  if (!found.defined() || !expected.defined() || found.sizes() != expected.sizes()) return INFINITY;
  const Tensor wide = expected.detach().to(torch::kDouble);
  const double norm = wide.norm().item<double>();
  const double error = (found.detach().to(torch::kDouble) - wide).norm().item<double>();
  return norm > 0 ? error / norm : error;
}

// A leaf in fp64 of the same values.
inline Tensor wide(const Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  return tensor.detach().to(torch::kDouble).clone().requires_grad_(tensor.requires_grad());
}

// What `call` throws, as "type: text"; "nothing" if it does not.
inline std::string thrown(const std::function<void()>& call) {
  try {
    call();
  } catch (const c10::ValueError& error) {
    return std::string("ValueError: ") + error.what_without_backtrace();
  } catch (const c10::NotImplementedError& error) {
    return std::string("NotImplementedError: ") + error.what_without_backtrace();
  } catch (const c10::Error& error) {
    return std::string("Error: ") + error.what_without_backtrace();
  } catch (const std::exception& error) {
    return std::string("std::exception: ") + error.what();
  }
  return "nothing";
}

#define CHECK_THROWS(text, ...)                                             \
  do {                                                                      \
    const std::string found = thrown([&] { __VA_ARGS__; });                 \
    if (found.find(text) == std::string::npos)                              \
      harness::fail(__FILE__, __LINE__, found + "\n  expected: " + (text)); \
  } while (0)

// Otherwise torch's generator starts anywhere.
inline const bool seeded = (torch::manual_seed(1), true);

// d f along the gradient and some random direction, by central differences, for an f computed in
// fp32. `at` is restored. The differences themselves err by O(step^2), and by f's error / step.
inline void check_derivative(const Tensor& at, const Tensor& gradient,
                             const std::function<double()>& f) {
  const torch::NoGradGuard no_grad;
  const double step = 1e-2;
  const Tensor direction =
      gradient / gradient.norm() + torch::randn_like(at) / std::sqrt(at.numel());
  const Tensor kept = at.clone();
  at.copy_(kept + step * direction);
  const double above = f();
  at.copy_(kept - step * direction);
  const double below = f();
  at.copy_(kept);
  const double expected = (gradient * direction).sum().item<double>();
  CHECK_LE(std::abs((above - below) / (2 * step) - expected),
           1e-2 * std::abs(expected) + 1e-6 * std::abs(above) / step);
}
