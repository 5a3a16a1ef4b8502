"""LoRA linear layers: y = x W^T + bias + scale (drop(x) A^T) B^T."""

import torch

from ._library import follow_torch, ops
from ._operators import by, draw_seed, keep, kept, register_backward


def _linear_setup(ctx, inputs, output):
    x, weight, bias, a, b, *ctx.numbers, seed = inputs
    ctx.mark_non_differentiable(output[1])
    keep(ctx, seed, x, weight, a, b, output[1])


def _linear_backward(ctx, dy, _):
    if dy is None:
        return (None,) * 8
    need_x, need_weight, need_bias, need_a, need_b = ctx.needs_input_grad[:5]
    seed, (x, weight, a, b, s) = kept(ctx)
    dx, da, db = by(seed, ops.lora_linear_backward)(
        dy, x, weight, a, b, s, *ctx.numbers, seed, need_x, need_a or need_b)
    # Frozen as a rule; not fused where they are not.
    rows = dy.reshape(-1, dy.shape[-1])
    dw = rows.t() @ x.reshape(-1, x.shape[-1]) if need_weight else None
    return (dx if need_x else None, dw, rows.sum(0) if need_bias else None,
            da if need_a else None, db if need_b else None, None, None, None)


def _delta_setup(ctx, inputs, output):
    _, x, a, b, *ctx.numbers, seed = inputs
    ctx.mark_non_differentiable(output[1])
    keep(ctx, seed, x, a, b, output[1])


def _delta_backward(ctx, dy, _):
    if dy is None:
        return (None,) * 7
    need_y, need_x, need_a, need_b = ctx.needs_input_grad[:4]
    seed, (x, a, b, s) = kept(ctx)
    dx, da, db = by(seed, ops.lora_linear_backward)(
        dy, x, None, a, b, s, *ctx.numbers, seed, need_x, need_a or need_b)
    return (dy if need_y else None, dx if need_x else None, da if need_a else None,
            db if need_b else None, None, None, None)


def _linears_setup(ctx, inputs, output):
    x, weight, bias, a, b, *ctx.numbers, seed = inputs
    ctx.all_biased = all(t is not None for t in bias)  # a list with None is no list of tensors
    ctx.mark_non_differentiable(*output[1])
    keep(ctx, seed, x, *weight, *a, *b, *output[1])
    ctx.set_materialize_grads(True)


def _linears_backward(ctx, dy, _):
    need_x, _, _, need_a, need_b = ctx.needs_input_grad[:5]
    seed, (x, *rest) = kept(ctx)
    n = len(dy)
    weight, a, b, s = (rest[i * n:(i + 1) * n] for i in range(4))
    dx, da, db = by(seed, ops.lora_linears_backward)(
        dy, x, weight, a, b, s, *ctx.numbers, seed, need_x, any(need_a) or any(need_b))
    frozen = [None] * n
    return (dx if need_x else None, frozen, frozen if ctx.all_biased else None,
            [t if need else None for t, need in zip(da, need_a)],
            [t if need else None for t, need in zip(db, need_b)], None, None, None)


register_backward("lora_linear", _linear_backward, _linear_setup)
register_backward("lora_delta", _delta_backward, _delta_setup)
register_backward("lora_linears", _linears_backward, _linears_setup)


def rows(x):
    """In autocast's dtype, as torch's own linear has it, and of at most 3 dimensions."""
    follow_torch()
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    return x.flatten(0, -2) if x.dim() > 3 else x


def shaped(y, x):
    return y.unflatten(0, x.shape[:-1]) if x.dim() > 3 else y


def lora_linear(x, weight, bias, a, b, scale, dropout=0.0):
    """x W^T + bias + scale (drop(x) A^T) B^T.

    Args:
        x: [...,K] float32 or bfloat16; products run in its dtype, or autocast's.
        weight, bias: [N,K], and [N] or None; frozen as a rule.
        a, b: [r,K] and [N,r], of one dtype.
        scale: alpha / r.
        dropout: probability; the mask follows torch.manual_seed.

    Returns:
        [...,N] in x's dtype, differentiable once in every tensor.

    Raises:
        ValueError: what does not fit, by name, with the value found and the one expected.
    """
    seed = draw_seed(dropout)
    return shaped(by(seed, ops.lora_linear)(
        rows(x), weight, bias, a, b, scale, dropout, seed)[0], x)


def lora_delta(y, x, a, b, scale, dropout=0.0):
    """y + scale (drop(x) A^T) B^T, for a y of a base that is not a plain matrix (quantised).

    Args:
        y: [...,N] float32 or bfloat16, not changed.
        x, a, b, scale, dropout: as for lora_linear; x is taken in y's dtype.

    Returns:
        A new tensor like y, differentiable once in y, x, a and b.

    Raises:
        ValueError: what does not fit, by name, with the value found and the one expected.
    """
    flat, seed = y.flatten(0, -2) if y.dim() > 3 else y, draw_seed(dropout)
    return shaped(by(seed, ops.lora_delta)(
        flat, rows(x).to(y.dtype), a, b, scale, dropout, seed)[0], x)


def lora_linears(x, weights, biases, a, b, scales, dropout=0.0):
    """Several frozen linears of one input (q, k, v; gate, up) in one call.

    Args:
        x: [...,K], read once.
        weights, biases: as many frozen [N_i,K], and [N_i] or None.
        a, b, scales: their adapters.
        dropout: probability; each linear has a mask of its own.

    Returns:
        A list of [...,N_i], differentiable once in x, a and b.

    Raises:
        ValueError: what does not fit, by name, with the value found and the one expected.
    """
    a = list(a)
    if any(t is not None and t.requires_grad for t in (*weights, *biases)):
        raise ValueError("weights, biases: one requires a gradient, expected frozen ones")
    seeds = draw_seed(dropout, len(a)) if dropout > 0 else [0] * len(a)
    ys = by(seeds, ops.lora_linears)(
        rows(x), list(weights), list(biases), a, list(b), list(scales), dropout, seeds)[0]
    return [shaped(y, x) for y in ys]


class LoraLinear(torch.nn.Module):
    """A frozen torch.nn.Linear with a LoRA adapter, scaled by alpha / rank.

    Args:
        base: the layer; its parameters no longer require gradients.
        rank, alpha, dropout: as PEFT's r, lora_alpha and lora_dropout.
        dtype: of lora_A [rank,K] and lora_B [N,rank]; that of the base if None.

    Raises:
        ValueError: base is no torch.nn.Linear, or rank below 1.
    """

    def __init__(self, base, rank, alpha, dropout=0.0, dtype=None):
        super().__init__()
        if not isinstance(base, torch.nn.Linear):
            raise ValueError(f"base: a {type(base).__name__}, expected a torch.nn.Linear")
        if rank < 1:
            raise ValueError(f"rank: {rank}, expected at least 1")
        self.base = base.requires_grad_(False)
        like = {"device": base.weight.device, "dtype": dtype or base.weight.dtype}
        self.lora_A = torch.nn.Parameter(torch.empty(rank, base.in_features, **like))
        self.lora_B = torch.nn.Parameter(torch.zeros(base.out_features, rank, **like))
        torch.nn.init.kaiming_uniform_(self.lora_A, a=5**0.5)
        self.scale, self.dropout = alpha / rank, dropout

    def forward(self, x):
        return lora_linear(x, self.base.weight, self.base.bias, self.lora_A, self.lora_B,
                           self.scale, self.dropout if self.training else 0.0)
