#include <iostream>
#include <sightline/torch.hpp>

int main() {
  namespace nn = torch::nn;
  torch::manual_seed(0);
  const auto projector = sightline::Projector::from_module(
      *nn::Sequential(nn::LayerNorm(nn::LayerNormOptions({192})), nn::Linear(192, 256), nn::SiLU(),
                      nn::Linear(256, 256), nn::SiLU(), nn::Linear(256, 128)));
  const torch::Tensor x = torch::randn({2, 20, 192}), teacher = torch::randn({2, 16, 128});
  sightline::LoraLinear layer(nn::Linear(192, 192), sightline::LoraLinearOptions(32, 16));
  sightline::AdamW optimizer({layer->lora_A, layer->lora_B}, torch::optim::AdamWOptions(1e-2));
  for (int step = 0; step < 50; ++step) {
    const torch::Tensor hidden = layer(x);  // [B,S,D]; image tokens at 1..16
    const torch::Tensor loss = sightline::alignment_loss(projector, hidden, teacher, 1);
    optimizer.zero_grad();
    (0.2 * loss).backward();  // in a real step: (action_loss + 0.2 * loss)
    optimizer.step();
    std::cout << "alignment loss " << loss.item<float>() << "\n";
  }
}
