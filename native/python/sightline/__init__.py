"""Sightline in PyTorch: the alignment loss, LoRA linear layers and AdamW as fused operators.

    import torch, sightline
    projector = sightline.Projector.from_module(align_projector)      # frozen, prepared once
    loss = sightline.alignment_loss(projector, hidden, teacher, first_token=1)
    sightline.apply_lora(peft_model)                                  # same parameters, same files

Needs PyTorch 2.10 or later and libsightline_torch.so, in this folder, beside it, or named by
SIGHTLINE_TORCH_LIBRARY, an absolute path. Tensors are float32 or bfloat16, on CPU or CUDA; formulas
and tolerances stand in sightline/sightline.h. What the library refuses is a ValueError with its own
message.

float32 products on CUDA use TF32 where torch.backends.cuda.matmul says so at the call; a compiled
call keeps what held at the last one that was not compiled. Scratch memory is torch's own.
"""

from ._library import version as __version__
from .adamw import AdamW
from .alignment import Projector, alignment_loss
from .lora import LoraLinear, lora_delta, lora_linear, lora_linears
from .peft import apply_lora

__all__ = ["AdamW", "LoraLinear", "Projector", "alignment_loss", "apply_lora", "lora_delta",
           "lora_linear", "lora_linears"]
