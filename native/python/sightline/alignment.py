"""The alignment loss and its projector."""

import re
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
        return (None,) * 12
    if not ctx.with_gradient:
        raise RuntimeError("sightline: alignment_loss was called with gradient=False")
    return None, kept(ctx)[1][0] * d_loss, *(None,) * 10


def _trainable_setup(ctx, inputs, output):
    ctx.mark_non_differentiable(output[1], output[2], *output[3])
    keep(ctx, None, output[2], *output[3])


def _trainable_backward(ctx, d_loss, *_):
    gradients = kept(ctx)[1]
    hidden, *parameters = (None if d_loss is None else g * d_loss for g in gradients)
    return None, hidden, None, None, parameters, *(None,) * 9


register_backward("alignment_loss", _loss_backward, _loss_setup)
register_backward("alignment_loss_trainable", _trainable_backward, _trainable_setup)


_NORMS = {None: 0, "layer": 1, "rms": 2}
_ACTIVATIONS = {None: 0, "silu": 1, "gelu": 2, "gelu_tanh": 3, "relu": 4}


def _choice(name, value, of):
    if value not in of:
        raise ValueError(f"{name}: {value!r}, expected one of {list(of)}")
    return of[value]


class Projector:
    """[norm] -> Linear -> activation -> ... -> Linear, prepared for the kernels.

    Args:
        parameters: norm weight [D] and bias [D], if there are any, then weight [out,in] and, if
            there is one, bias [out] of each of one to four layers, all float32 or all bfloat16. A
            frozen projector's are read once; a trainable one's at each loss, and they get gradients.
        bf16: run the products on bfloat16 operands.
        trainable: whether the parameters get gradients.
        eps: the norm's.
        dropout: probability after each activation, for a trainable projector while `training` holds.
        norm: of the hidden states: "layer", "rms" or None.
        activation: after each layer but the last: "silu", "gelu", "gelu_tanh", "relu" or None.

    Raises:
        ValueError: shapes, dtypes or numbers that do not fit, by name.
    """

    def __init__(self, parameters, bf16=False, trainable=False, eps=1e-5, dropout=0.0,
                 norm="layer", activation="silu"):
        self._arguments = list(parameters), bf16, trainable, eps, dropout, norm, activation
        self.parameters, self.dropout = self._arguments[0], dropout
        self.trainable = self.training = trainable
        follow_torch()
        self.handle = ops.alignment_create(
            [p.detach() for p in self.parameters], bf16, trainable, eps, dropout,
            _choice("norm", norm, _NORMS), _choice("activation", activation, _ACTIVATIONS))
        weakref.finalize(self, ops.alignment_destroy, self.handle)

    def __reduce__(self):  # a copy, pickled or not, has a handle of its own
        return Projector, self._arguments, {"training": self.training}

    @classmethod
    def from_module(cls, module, bf16=None, trainable=False):
        """Of a torch module, by its structure: BlindVLA's projector, REPA's, VIRAL's and the like.

        Args:
            module: one LayerNorm or RMSNorm or none, then one to four Linear with the same SiLU,
                GELU or ReLU between them and, if it is to be trained, the same Dropout after each;
                Identity is passed over. A frozen projector has no dropout.
            bf16: as the weights are if None.
            trainable: whether its parameters get gradients.

        Raises:
            ValueError: other layers, in another order, or that differ among themselves.
        """
        nn = torch.nn
        # Each use of a module that stands in several places.
        leaves = [m for _, m in module.named_modules(remove_duplicate=False)
                  if not any(m.children())]
        layers = [m for m in leaves if not isinstance(m, nn.Identity) and not (
            isinstance(m, nn.Dropout) and (m.p == 0 or not trainable))]
        letters = "".join(_letter(m) for m in layers)
        if not re.fullmatch("N?L((AL)*|(ADL)*)", letters) or letters.count("L") > 4:
            raise ValueError(
                f"module: layers {[type(m).__name__ for m in layers]}, expected a LayerNorm or "
                "RMSNorm or none, then one to four Linear with SiLU, GELU or ReLU between them, "
                "and Dropout after each of these or nowhere")
        found = {letter: [m for m in layers if _letter(m) == letter] for letter in "NAD"}
        activations = {_activation(m) for m in found["A"]} or {None}
        if len(activations) > 1:
            raise ValueError(f"module: activations {sorted(activations)}, expected one kind")
        dropouts = {m.p for m in found["D"]} or {0.0}
        if len(dropouts) > 1:
            raise ValueError(f"module: dropout {sorted(dropouts)}, expected the same everywhere")
        parameters = [p for m in layers if _letter(m) in "NL" for p in (m.weight, _bias(m))
                      if p is not None]
        dtype = next(m for m in layers if _letter(m) == "L").weight.dtype
        norm, eps = None, 1e-5
        for m in found["N"]:
            norm = "layer" if isinstance(m, nn.LayerNorm) else "rms"
            eps = torch.finfo(dtype).eps if m.eps is None else m.eps
        return cls(parameters, dtype == torch.bfloat16 if bf16 is None else bf16, trainable, eps,
                   dropouts.pop(), norm, activations.pop())


def _letter(module):
    nn = torch.nn
    kinds = {"N": (nn.LayerNorm, nn.RMSNorm), "L": nn.Linear, "D": nn.Dropout,
             "A": (nn.SiLU, nn.GELU, nn.ReLU)}
    return next((letter for letter, kind in kinds.items() if isinstance(module, kind)), "?")


def _activation(module):
    if isinstance(module, torch.nn.GELU):
        return "gelu_tanh" if module.approximate == "tanh" else "gelu"
    return "silu" if isinstance(module, torch.nn.SiLU) else "relu"


def _bias(module):
    return getattr(module, "bias", None)  # an RMSNorm has none


_LOSSES = {"cosine": 0, "l2": 1, "smooth_l1": 2, "infonce": 3}
_NEGATIVES = {"all": 0, "image": 1, "others": 2}
_TEACHER_NORMS = {None: 0, "spatial": 1}


def alignment_loss(projector, hidden, teacher, token_weight=None, first_token=0, *, loss="cosine",
                   teacher_norm=None, normalize=False, beta=1.0, temperature=0.07,
                   negatives="all", false_negatives=0.0):
    """The mean over the image tokens of a loss of z = projector(h) and the teacher's t.

    Args:
        projector: a Projector.
        hidden: [B,S,D] float32 or bfloat16, of which tokens first_token ... first_token + N - 1 are
            used, without a copy.
        teacher: [B,N,Z] float32 or bfloat16.
        token_weight: [B,N] float32, or None for 1 everywhere.
        first_token: place of the first image token.
        loss: "cosine", -cos(z, t); "l2" and "smooth_l1", torch's mse_loss and smooth_l1_loss (with
            beta) of z and t, or with normalize of both at unit length; "infonce", cross_entropy of
            the cosines of z with every t over temperature, the token's own the right one.
        teacher_norm: "spatial": t less its mean, over its standard deviation, of each feature over
            the tokens of its image (iREPA).
        negatives: of InfoNCE: "all" other tokens of the batch, those of the same "image", those of
            "others"; never tokens of weight 0.
        false_negatives: of InfoNCE: teacher tokens whose cosine with the token's own is above are no
            negatives; 0: all are.

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
    description = (_choice("loss", loss, _LOSSES),
                   _choice("teacher_norm", teacher_norm, _TEACHER_NORMS), int(normalize),
                   _choice("negatives", negatives, _NEGATIVES), beta, temperature, false_negatives)
    if projector.trainable:
        seed = draw_seed(projector.dropout if projector.training else 0.0)
        return by(seed, ops.alignment_loss_trainable)(
            projector.handle, hidden, teacher, token_weight, projector.parameters,
            projector.training, seed, *description)[0]
    gradient = torch.is_grad_enabled() and hidden.requires_grad
    return ops.alignment_loss(projector.handle, hidden, teacher, token_weight, gradient,
                              *description)[0]
