import torch
import sightline

torch.manual_seed(0)
projector = sightline.Projector.from_module(
    torch.nn.Sequential(
        torch.nn.LayerNorm(192), torch.nn.Linear(192, 256), torch.nn.SiLU(),
        torch.nn.Linear(256, 256), torch.nn.SiLU(), torch.nn.Linear(256, 128)))
x, teacher = torch.randn(2, 20, 192), torch.randn(2, 16, 128)
layer = sightline.LoraLinear(torch.nn.Linear(192, 192), rank=32, alpha=16)
optimizer = sightline.AdamW([layer.lora_A, layer.lora_B], lr=1e-2)
for step in range(50):
    hidden = layer(x)  # [B,S,D]; image tokens at 1..16
    loss = sightline.alignment_loss(projector, hidden, teacher, first_token=1)
    (0.2 * loss).backward()  # in a real step: (action_loss + 0.2 * loss)
    optimizer.step()
    optimizer.zero_grad()
    print("alignment loss", loss.item())
# With PEFT: sightline.apply_lora(peft_model) puts these operators under its LoRA layers.
