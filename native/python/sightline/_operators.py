"""What torch needs to know of each operator besides its kernel: fakes, writes, gradients, seeds."""

import math

import torch

from ._library import ops

# The overload tensor_seed takes a seed that a graph of torch draws.
_SEEDED = ("alignment_loss_trainable", "lora_linear", "lora_linears", "lora_delta",
           "lora_linear_backward", "lora_linears_backward")


def _overloads(name):
    return [f"sightline::{name}"] + [f"sightline::{name}.tensor_seed"] * (name in _SEEDED)


def by(seed, operator):
    """The overload that takes this seed: torch would turn a tensor into a number for the first."""
    return operator.tensor_seed if isinstance(seed, torch.Tensor) else operator.default


def draw_seed(dropout, *shape):
    """From torch's CPU generator, under manual_seed; no number, so that a graph can draw it."""
    return torch.randint(2**62, shape, device="cpu") if dropout > 0 else 0


# ---- what the operators return, for fake tensors (torch.compile, FakeTensorMode) ----


def _new(like, wanted=True):
    return like.new_empty(like.shape if wanted else (0,))


def _new_loss(hidden, gradient=True):
    return (hidden.new_empty((), dtype=torch.float32),
            hidden.new_empty(hidden.shape[:2], dtype=torch.float32), _new(hidden, gradient))


def _new_y(x, b):
    return x.new_empty((*x.shape[:-1], b.shape[0]))


def _new_s(x, a):
    return x.new_empty((math.prod(x.shape[:-1]), a.shape[0]), dtype=torch.float32)


_FAKES = {
    "alignment_loss": lambda projector, hidden, teacher, token_weight=None, gradient=True, *_:
        _new_loss(hidden, gradient),
    "alignment_loss_trainable": lambda projector, hidden, teacher, token_weight, parameters, *_:
        (*_new_loss(hidden), [_new(p) for p in parameters]),
    "lora_linear": lambda x, weight, bias, a, b, *_: (_new_y(x, b), _new_s(x, a)),
    "lora_linears": lambda x, weight, bias, a, b, *_:
        ([_new_y(x, t) for t in b], [_new_s(x, t) for t in a]),
    "lora_delta": lambda y, x, a, b, *_: (_new(y), _new_s(x, a)),
    "lora_delta_": lambda y, x, a, b, *_: _new_s(x, a),
    "lora_linear_backward":
        lambda dy, x, weight, a, b, s, scale, dropout=0.0, seed=0, for_x=True, for_ab=True:
            (_new(x, for_x), _new(a, for_ab), _new(b, for_ab)),
    "lora_linears_backward":
        lambda dy, x, weight, a, b, s, scale, dropout, seed, for_x=True, for_ab=True:
            (_new(x, for_x), [_new(t, for_ab) for t in a], [_new(t, for_ab) for t in b]),
    "lora_merge_": lambda *_: None,
    "lora_unmerge_": lambda *_: None,
}

for _name, _function in _FAKES.items():
    for _overload in _overloads(_name):
        torch.library.register_fake(_overload, _function)

# ---- operators that write: version counters tell autograd, as they do for torch's own ----

_written = torch.library.Library("sightline", "FRAGMENT")


def _count_writes(operator):
    places = [i for i, argument in enumerate(operator._schema.arguments)
              if argument.alias_info is not None and argument.alias_info.is_write]

    def kernel(keys, *arguments):
        result = operator.redispatch(keys & torch._C._after_ADInplaceOrView_keyset, *arguments)
        for i in places:
            torch.autograd.graph.increment_version(arguments[i])
        return result

    _written.impl(operator, kernel, "ADInplaceOrView", with_keyset=True)


for _name in ("adamw_step_", "lora_delta_", "lora_merge_", "lora_unmerge_"):
    _count_writes(getattr(ops, _name).default)

# ---- gradients ----


def keep(ctx, seed, *tensors):
    """Saves tensors, and a seed that is a number or a tensor."""
    ctx.set_materialize_grads(False)
    ctx.number, seed = (None, seed) if isinstance(seed, torch.Tensor) else (seed, None)
    ctx.save_for_backward(seed, *tensors)


def kept(ctx):
    seed, *tensors = ctx.saved_tensors
    return ctx.number if seed is None else seed, tensors


def register_backward(name, backward, setup):
    """The gradient of every overload of an operator; there is no second one."""

    def once(ctx, *gradients):
        if torch.is_grad_enabled():
            raise RuntimeError("sightline: no second derivatives, expected create_graph=False")
        return backward(ctx, *gradients)

    for overload in _overloads(name):
        torch.library.register_autograd(overload, once, setup_context=setup)
