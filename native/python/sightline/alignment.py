"""The alignment loss and its projector."""

import weakref

import torch

from ._library import follow_torch, ops
from ._operators import by, draw_seed, keep, kept, register_backward


def _loss_setup(ctx, inputs, output):  # the gradient is made with the loss
    ctx.mark_non_differentiable(output[1], output[2])
    ctx.with_gradient = inputs[4]
    keep(ctx, None, output[2])


def _loss_backward(ctx, d_loss, *_):
    if d_loss is None:
        return (None,) * 5
    if not ctx.with_gradient:
        raise RuntimeError("sightline: alignment_loss was called with gradient=False")
    return None, kept(ctx)[1][0] * d_loss, None, None, None


def _trainable_setup(ctx, inputs, output):
    ctx.mark_non_differentiable(output[1], output[2], *output[3])
    keep(ctx, None, output[2], *output[3])


def _trainable_backward(ctx, d_loss, *_):
    gradients = kept(ctx)[1]
    hidden, *parameters = (None if d_loss is None else g * d_loss for g in gradients)
    return None, hidden, None, None, parameters, None, None


register_backward("alignment_loss", _loss_backward, _loss_setup)
register_backward("alignment_loss_trainable", _trainable_backward, _trainable_setup)


class Projector:
    """LayerNorm(D) -> Linear -> SiLU -> Linear -> SiLU -> Linear, prepared for the kernels.

    Args:
        parameters: ln_weight [D], ln_bias [D], w1 [P,D], b1 [P], w2 [P,P], b2 [P], w3 [Z,P], b3 [Z],
            all float32 or all bfloat16. A frozen projector's are read once; a trainable one's at
            each loss, and they get gradients.
        bf16: run the products on bfloat16 operands.
        trainable: whether the parameters get gradients.
        eps: LayerNorm's.
        dropout: probability after each SiLU, for a trainable projector while `training` holds.

    Raises:
        ValueError: shapes, dtypes or numbers that do not fit, by name.
    """

    def __init__(self, parameters, bf16=False, trainable=False, eps=1e-5, dropout=0.0):
        self._arguments = list(parameters), bf16, trainable, eps, dropout
        self.parameters, self.dropout = self._arguments[0], dropout
        self.trainable = self.training = trainable
        follow_torch()
        self.handle = ops.alignment_create(
            [p.detach() for p in self.parameters], bf16, trainable, eps, dropout)
        weakref.finalize(self, ops.alignment_destroy, self.handle)

    def __reduce__(self):  # a copy, pickled or not, has a handle of its own
        return Projector, self._arguments, {"training": self.training}

    @classmethod
    def from_module(cls, module, bf16=None, trainable=False):
        """Of a torch module with one LayerNorm and three Linear layers, in that order.

        Args:
            module: may also hold SiLU, Dropout and Identity; a frozen projector has no dropout.
            bf16: as the weights are if None.
            trainable: whether its parameters get gradients.

        Raises:
            ValueError: other layers, one without weight or bias, or several dropouts.
        """
        nn = torch.nn
        leaves = [m for m in module.modules() if not any(m.children())]
        layers = [m for m in leaves if not isinstance(m, (nn.SiLU, nn.Dropout, nn.Identity))]
        kinds = [type(m).__name__ for m in layers]
        if len(layers) != 4 or not all(map(isinstance, layers, [nn.LayerNorm] + 3 * [nn.Linear])):
            raise ValueError(f"module: layers {kinds}, expected a LayerNorm and three Linear, with "
                             "SiLU and Dropout between them")
        if any(m.weight is None or m.bias is None for m in layers):
            raise ValueError(f"module: {kinds} without weight or bias, expected both in each")
        dropouts = {m.p for m in leaves if isinstance(m, nn.Dropout)} or {0.0}
        if trainable and len(dropouts) > 1:
            raise ValueError(f"module: dropout {sorted(dropouts)}, expected the same everywhere")
        if bf16 is None:
            bf16 = layers[1].weight.dtype == torch.bfloat16
        return cls([p for m in layers for p in (m.weight, m.bias)], bf16, trainable, layers[0].eps,
                   dropouts.pop() if trainable else 0.0)


def alignment_loss(projector, hidden, teacher, token_weight=None, first_token=0):
    """-mean cos(projector(h), t) over the image tokens.

    Args:
        projector: a Projector.
        hidden: [B,S,D] float32 or bfloat16, of which tokens first_token ... first_token + N - 1 are
            used, without a copy.
        teacher: [B,N,Z] float32 or bfloat16.
        token_weight: [B,N] float32, or None for 1 everywhere.
        first_token: place of the first image token.

    Returns:
        A float32 scalar, differentiable once in hidden and in a trainable projector's parameters.

    Raises:
        ValueError: what does not fit, by name, with the value found and the one expected.
    """
    if hidden.dim() != 3 or teacher.dim() != 3:
        raise ValueError(f"hidden, teacher: {hidden.dim()} and {teacher.dim()} dimensions, "
                         "expected [B,S,D] and [B,N,Z]")
    follow_torch()
    tokens = teacher.shape[1]
    if not 0 <= first_token <= hidden.shape[1] - tokens:
        raise ValueError(f"first_token: {first_token}, expected 0 to {hidden.shape[1] - tokens}: "
                         f"hidden has {hidden.shape[1]} tokens, teacher {tokens}")
    hidden = hidden.narrow(1, first_token, tokens)
    if projector.trainable:
        seed = draw_seed(projector.dropout if projector.training else 0.0)
        return by(seed, ops.alignment_loss_trainable)(
            projector.handle, hidden, teacher, token_weight, projector.parameters,
            projector.training, seed)[0]
    gradient = torch.is_grad_enabled() and hidden.requires_grad
    return ops.alignment_loss(projector.handle, hidden, teacher, token_weight, gradient)[0]
