"""PEFT's LoRA layers on our operators."""

import functools

import torch

from .lora import lora_delta, lora_linear, rows

_DTYPES = (torch.float32, torch.bfloat16)
_PEFT_LINEARS = ("Linear", "Linear8bitLt", "Linear4bit")


def _plain(m):
    """A torch.nn.Linear that nobody has wrapped or watches, as its forward will not be called."""
    return (type(m) is torch.nn.Linear and m.weight.dtype in _DTYPES and "forward" not in m.__dict__
            and not (m._forward_hooks or m._forward_pre_hooks or m._backward_hooks
                     or m._backward_pre_hooks))


class _FusedPeftLinear:
    """Put before a PEFT LoRA layer's class: its usual case in our operators, the rest as it was."""

    def forward(self, x, *args, **kwargs):
        active = [name for name in self.active_adapters if name in self.lora_A]
        if (args or kwargs or self.disable_adapters or self.merged or len(active) != 1
                or getattr(self, "fan_in_fan_out", False) or x.dtype not in _DTYPES):
            return super().forward(x, *args, **kwargs)
        name, base = active[0], self.base_layer
        a, b, drop = self.lora_A[name], self.lora_B[name], self.lora_dropout[name]
        if (not _plain(a) or not _plain(b) or a.bias is not None or b.bias is not None
                or not isinstance(drop, (torch.nn.Identity, torch.nn.Dropout))
                or name in getattr(self, "lora_variant", {})
                or getattr(self, "use_dora", {}).get(name, False)
                or rows(x).dtype not in _DTYPES):
            return super().forward(x)
        dropout = drop.p if self.training and isinstance(drop, torch.nn.Dropout) else 0.0
        if _plain(base):
            return lora_linear(x, base.weight, base.bias, a.weight, b.weight, self.scaling[name],
                               dropout)
        y = base(x)
        if y.dtype not in _DTYPES:
            return super().forward(x)
        return lora_delta(y, x, a.weight, b.weight, self.scaling[name], dropout)

    def __reduce_ex__(self, protocol):  # its class has a name in no module
        _, _, *rest = super().__reduce_ex__(protocol)
        return _new_fused, (type(self).__mro__[2],), *rest


@functools.lru_cache(maxsize=None)
def _fused_class(kind):
    return type("Sightline" + kind.__name__, (_FusedPeftLinear, kind), {})


def _new_fused(kind):
    return _fused_class(kind).__new__(_fused_class(kind))


def apply_lora(model):
    """Makes the LoRA linear layers of a PEFT model compute with our operators.

    Modules, parameters, names, merging and checkpoints stay PEFT's: only forward changes, and only
    where a single plain adapter is active (no DoRA, no adapter_names) and no hook would miss it.

    Args:
        model: the result of peft.get_peft_model, changed in place.

    Returns:
        How many layers.

    Raises:
        ValueError: there is none.
    """
    from peft.tuners.lora.layer import LoraLayer

    count = 0
    for layer in model.modules():
        kind = type(layer)
        if isinstance(layer, LoraLayer) and kind.__name__ in _PEFT_LINEARS:
            layer.__class__ = _fused_class(kind)
        count += isinstance(layer, _FusedPeftLinear)
    if count == 0:
        raise ValueError("model: no LoRA linear layer, expected the result of get_peft_model")
    return count
