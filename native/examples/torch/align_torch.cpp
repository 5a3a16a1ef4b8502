#include <iostream>
#include <sightline/torch.hpp>

int main() {
  torch::manual_seed(0);
  const int64_t D = 192, P = 256, Z = 128;
  const sightline::Projector projector({torch::ones(D), torch::zeros(D), torch::randn({P, D}) / 14,
                                        torch::zeros(P), torch::randn({P, P}) / 16, torch::zeros(P),
                                        torch::randn({Z, P}) / 16, torch::zeros(Z)});
  const torch::Tensor x = torch::randn({2, 20, D}), teacher = torch::randn({2, 16, Z});
  const torch::Tensor weight = torch::randn({D, D}) / 14;
  torch::Tensor a = (torch::randn({32, D}) / 14).requires_grad_();
  torch::Tensor b = torch::zeros({D, 32}).requires_grad_();
  torch::optim::AdamW optimizer({a, b}, torch::optim::AdamWOptions(1e-2));
  for (int step = 0; step < 50; ++step) {
    const torch::Tensor hidden = sightline::lora_linear(x, weight, {}, a, b, 0.5);  // [B,S,D]
    const torch::Tensor loss = sightline::alignment_loss(projector, hidden, teacher, 1);
    optimizer.zero_grad();
    (0.2 * loss).backward();  // in a real step: (action_loss + 0.2 * loss)
    optimizer.step();
    std::cout << "alignment loss " << loss.item<float>() << "\n";
  }
}
