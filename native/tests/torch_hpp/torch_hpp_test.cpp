// sightline/torch.hpp against compositions of libtorch's own operators in fp64.
#include <cstdlib>
#include <functional>
#include <iostream>
#include <sightline/torch.hpp>

using torch::Tensor;

static void close(const char* what, const Tensor& found, const Tensor& expected, double tolerance) {
  const Tensor wide = expected.detach();
  const double error =
      ((found.detach().to(torch::kDouble) - wide).norm() / wide.norm()).item<double>();
  std::cout << what << ": relative error " << error << "\n";
  if (!(error <= tolerance)) std::exit(1);
}

static void refused(const char* part, const std::function<void()>& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    if (std::string(error.what()).find(part) != std::string::npos) return;
    std::cout << "message: " << error.what() << ", expected part: " << part << "\n";
    std::exit(1);
  }
  std::cout << "not refused: " << part << "\n";
  std::exit(1);
}

static Tensor wide(const Tensor& tensor) {
  return tensor.detach().to(torch::kDouble).requires_grad_(tensor.requires_grad());
}

int main() {
  torch::manual_seed(1);
  const int64_t D = 65, P = 31, Z = 13;
  const std::vector<Tensor> p{
      torch::rand(D) + 0.5,     torch::randn(D), torch::randn({P, D}) / 8, torch::randn(P),
      torch::randn({P, P}) / 6, torch::randn(P), torch::randn({Z, P}) / 6, torch::randn(Z)};
  const sightline::Projector projector(p);
  std::vector<Tensor> q;
  for (const Tensor& parameter : p) q.push_back(wide(parameter));

  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    const double tolerance = dtype == torch::kFloat ? 1e-5 : 8e-3;
    const Tensor x = torch::randn({2, 5, 31}).to(dtype).requires_grad_();
    const Tensor w = (torch::randn({D, 31}) / 6).to(dtype), bias = torch::randn(D).to(dtype);
    const Tensor a = torch::randn({4, 31}).requires_grad_();
    const Tensor b = torch::randn({D, 4}).requires_grad_();
    const Tensor teacher = torch::randn({2, 3, Z}).to(dtype), weight = torch::rand({2, 3});
    const Tensor h = sightline::lora_linear(x, w, bias, a, b, 1.5);
    const Tensor loss = sightline::alignment_loss(projector, h, teacher, 1, weight);
    (loss * 0.2).backward();

    const Tensor x64 = wide(x), a64 = wide(a), b64 = wide(b), w64 = wide(w), m = wide(weight);
    const Tensor h64 = x64.matmul(w64.t()) + wide(bias) + 1.5 * x64.matmul(a64.t()).matmul(b64.t());
    const Tensor n = torch::layer_norm(h64.narrow(1, 1, 3), {D}, q[0], q[1], 1e-5);
    const Tensor u = torch::silu(torch::linear(n, q[2], q[3]));
    const Tensor z = torch::linear(torch::silu(torch::linear(u, q[4], q[5])), q[6], q[7]);
    const Tensor loss64 =
        -(torch::cosine_similarity(z, wide(teacher), -1, 1e-12) * m).sum() / m.sum();
    (loss64 * 0.2).backward();
    close("h", h, h64, tolerance);
    if (std::abs(loss.item<double>() - loss64.item<double>()) > tolerance) return 1;
    // Two operations, each within the tolerance, and in bf16 one more rounding by the factor 0.2.
    close("dx", x.grad(), x64.grad(), 2.5 * tolerance);
    close("da", a.grad(), a64.grad(), 2.5 * tolerance);
    close("db", b.grad(), b64.grad(), 2.5 * tolerance);

    // Rows that are not contiguous, and the expanded gradient of a sum.
    const Tensor turned = x.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_();
    sightline::lora_linear(turned, w, {}, a, b, 1.5).sum().backward();
    const Tensor folded = w64 + 1.5 * b64.detach().matmul(a64.detach());
    close("dx of a sum", turned.grad(), torch::ones({2, 5, D}, torch::kDouble).matmul(folded),
          tolerance);
  }
  {
    const torch::NoGradGuard no_grad;
    sightline::alignment_loss(projector, torch::randn({1, 4, D}), torch::randn({1, 2, Z}));
  }
  refused("hidden: dtype", [&] {
    sightline::alignment_loss(projector, torch::randn({1, 4, D}, torch::kDouble),
                              torch::randn({1, 2, Z}));
  });
  refused("first_token: 3", [&] {
    sightline::alignment_loss(projector, torch::randn({1, 4, D}), torch::randn({1, 2, Z}), 3);
  });
  refused("linears[0].a: shape [4,66]", [&] {
    sightline::lora_linear(torch::randn({2, D}), torch::randn({3, D}), {}, torch::randn({4, D + 1}),
                           torch::randn({3, 4}), 1);
  });
  refused("parameters: 1 tensors, expected 8", [&] { sightline::Projector({p[0]}); });
  return 0;
}
