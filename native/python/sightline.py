"""Sightline in PyTorch: the alignment loss, LoRA linear layers and AdamW as fused operators.

    import torch, sightline
    projector = sightline.Projector.from_module(align_projector)      # frozen, prepared once
    loss = sightline.alignment_loss(projector, hidden, teacher, first_token=1)
    sightline.apply_lora(peft_model)                                  # same parameters, same files

Needs PyTorch 2.10 or later and libsightline_torch.so, beside this file or named by
SIGHTLINE_TORCH_LIBRARY, an absolute path. Tensors are float32 or bfloat16, on CPU or CUDA; formulas
and tolerances stand in sightline/sightline.h. What the library refuses is a ValueError with its own
message.

float32 products on CUDA use TF32 where torch.backends.cuda.matmul says so at the call; a compiled
call keeps what held at the last one that was not compiled. Scratch memory is torch's own.
"""

import ctypes
import functools
import math
import os
import weakref

try:
    import torch
except ImportError as error:
    raise ImportError("sightline needs PyTorch 2.10 or later; there is no torch here") from error

_VERSION = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
if _VERSION < (2, 10):
    raise ImportError(f"sightline: torch is {torch.__version__}, expected 2.10 or later")


def _load():
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libsightline_torch.so")
    path = os.environ.get("SIGHTLINE_TORCH_LIBRARY") or beside
    if not os.path.isabs(path):  # the loader would look on its own paths
        raise ImportError(f"sightline: SIGHTLINE_TORCH_LIBRARY is {path}, expected an absolute path")
    if not os.path.exists(path):
        raise ImportError(f"sightline: no library {path}; SIGHTLINE_TORCH_LIBRARY can name it")
    torch.ops.load_library(path)
    library = ctypes.CDLL(path)
    library.sl_torch_error.restype = ctypes.c_char_p
    if not library.sl_torch_register():
        raise ImportError("sightline: " + library.sl_torch_error().decode())
    return library


_library = _load()
_ops = torch.ops.sightline


def _follow_torch():
    """float32 products on CUDA go through TF32 where torch's do: torch.backends.cuda.matmul."""
    if not torch.compiler.is_compiling():
        tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32"
        _library.sl_torch_set_fp32_precision(int(tf32))


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
    "alignment_loss": lambda projector, hidden, teacher, token_weight=None, gradient=True:
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
# The overload tensor_seed takes a seed that a graph of torch draws.
_SEEDED = ("alignment_loss_trainable", "lora_linear", "lora_linears", "lora_delta",
           "lora_linear_backward", "lora_linears_backward")


def _overloads(name):
    return [f"sightline::{name}"] + [f"sightline::{name}.tensor_seed"] * (name in _SEEDED)


def _by(seed, operator):  # torch would turn a tensor into a number if the first overload takes one
    return operator.tensor_seed if isinstance(seed, torch.Tensor) else operator.default


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
    _count_writes(getattr(_ops, _name).default)

# ---- gradients ----


def _keep(ctx, seed, *tensors):
    """Saves tensors, and a seed that is a number or a tensor."""
    ctx.set_materialize_grads(False)
    ctx.number, seed = (None, seed) if isinstance(seed, torch.Tensor) else (seed, None)
    ctx.save_for_backward(seed, *tensors)


def _kept(ctx):
    seed, *tensors = ctx.saved_tensors
    return ctx.number if seed is None else seed, tensors


def _loss_setup(ctx, inputs, output):  # the gradient is made with the loss
    ctx.mark_non_differentiable(output[1], output[2])
    ctx.with_gradient = inputs[4]
    _keep(ctx, None, output[2])


def _loss_backward(ctx, d_loss, *_):
    if d_loss is None:
        return (None,) * 5
    if not ctx.with_gradient:
        raise RuntimeError("sightline: alignment_loss was called with gradient=False")
    return None, _kept(ctx)[1][0] * d_loss, None, None, None


def _trainable_setup(ctx, inputs, output):
    ctx.mark_non_differentiable(output[1], output[2], *output[3])
    _keep(ctx, None, output[2], *output[3])


def _trainable_backward(ctx, d_loss, *_):
    gradients = _kept(ctx)[1]
    hidden, *parameters = (None if d_loss is None else g * d_loss for g in gradients)
    return None, hidden, None, None, parameters, None, None


def _linear_setup(ctx, inputs, output):
    x, weight, bias, a, b, *ctx.numbers, seed = inputs
    ctx.mark_non_differentiable(output[1])
    _keep(ctx, seed, x, weight, a, b, output[1])


def _linear_backward(ctx, dy, _):
    if dy is None:
        return (None,) * 8
    need_x, need_weight, need_bias, need_a, need_b = ctx.needs_input_grad[:5]
    seed, (x, weight, a, b, s) = _kept(ctx)
    dx, da, db = _by(seed, _ops.lora_linear_backward)(
        dy, x, weight, a, b, s, *ctx.numbers, seed, need_x, need_a or need_b)
    # Frozen as a rule; not fused where they are not.
    rows = dy.reshape(-1, dy.shape[-1])
    dw = rows.t() @ x.reshape(-1, x.shape[-1]) if need_weight else None
    return (dx if need_x else None, dw, rows.sum(0) if need_bias else None,
            da if need_a else None, db if need_b else None, None, None, None)


def _delta_setup(ctx, inputs, output):
    _, x, a, b, *ctx.numbers, seed = inputs
    ctx.mark_non_differentiable(output[1])
    _keep(ctx, seed, x, a, b, output[1])


def _delta_backward(ctx, dy, _):
    if dy is None:
        return (None,) * 7
    need_y, need_x, need_a, need_b = ctx.needs_input_grad[:4]
    seed, (x, a, b, s) = _kept(ctx)
    dx, da, db = _by(seed, _ops.lora_linear_backward)(
        dy, x, None, a, b, s, *ctx.numbers, seed, need_x, need_a or need_b)
    return (dy if need_y else None, dx if need_x else None, da if need_a else None,
            db if need_b else None, None, None, None)


def _linears_setup(ctx, inputs, output):
    x, weight, bias, a, b, *ctx.numbers, seed = inputs
    ctx.all_biased = all(t is not None for t in bias)  # a list with None is no list of tensors
    ctx.mark_non_differentiable(*output[1])
    _keep(ctx, seed, x, *weight, *a, *b, *output[1])
    ctx.set_materialize_grads(True)


def _linears_backward(ctx, dy, _):
    need_x, _, _, need_a, need_b = ctx.needs_input_grad[:5]
    seed, (x, *rest) = _kept(ctx)
    n = len(dy)
    weight, a, b, s = (rest[i * n:(i + 1) * n] for i in range(4))
    dx, da, db = _by(seed, _ops.lora_linears_backward)(
        dy, x, weight, a, b, s, *ctx.numbers, seed, need_x, any(need_a) or any(need_b))
    frozen = [None] * n
    return (dx if need_x else None, frozen, frozen if ctx.all_biased else None,
            [t if need else None for t, need in zip(da, need_a)],
            [t if need else None for t, need in zip(db, need_b)], None, None, None)


def _once(backward):
    def checked(ctx, *gradients):
        if torch.is_grad_enabled():
            raise RuntimeError("sightline: no second derivatives, expected create_graph=False")
        return backward(ctx, *gradients)

    return checked


for _name, _backward, _setup in (("alignment_loss", _loss_backward, _loss_setup),
                                 ("alignment_loss_trainable", _trainable_backward,
                                  _trainable_setup),
                                 ("lora_linear", _linear_backward, _linear_setup),
                                 ("lora_delta", _delta_backward, _delta_setup),
                                 ("lora_linears", _linears_backward, _linears_setup)):
    for _overload in _overloads(_name):
        torch.library.register_autograd(_overload, _once(_backward), setup_context=_setup)


def _seed(dropout, *shape):
    """From torch's CPU generator, under manual_seed; no number, so that a graph can draw it."""
    return torch.randint(2**62, shape, device="cpu") if dropout > 0 else 0


# ---- alignment loss ----


class Projector:
    """LayerNorm(D) -> Linear -> SiLU -> Linear -> SiLU -> Linear, prepared for the kernels.

    parameters: ln_weight, ln_bias, w1, b1, w2, b2, w3, b3. A frozen projector's are read once; a
    trainable one's at each loss, and they get gradients; dropout (after each SiLU) is for it, while
    `training` holds. bf16: run the products on bf16 operands.
    """

    def __init__(self, parameters, bf16=False, trainable=False, eps=1e-5, dropout=0.0):
        self._arguments = list(parameters), bf16, trainable, eps, dropout
        self.parameters, self.dropout = self._arguments[0], dropout
        self.trainable = self.training = trainable
        _follow_torch()
        self.handle = _ops.alignment_create(
            [p.detach() for p in self.parameters], bf16, trainable, eps, dropout)
        weakref.finalize(self, _ops.alignment_destroy, self.handle)

    def __reduce__(self):  # a copy, pickled or not, has a handle of its own
        return Projector, self._arguments, {"training": self.training}

    @classmethod
    def from_module(cls, module, bf16=None, trainable=False):
        """Of a torch module with one LayerNorm and three Linear layers, in that order.

        bf16 None: as the weights are. A frozen projector has no dropout.
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
    """-mean cos(projector(h), t): a float32 scalar, differentiable in hidden.

    hidden [B,S,D]: tokens first_token ... first_token + N - 1 are used, without a copy; teacher
    [B,N,Z]; token_weight [B,N] float32 or None.
    """
    if hidden.dim() != 3 or teacher.dim() != 3:
        raise ValueError(f"hidden, teacher: {hidden.dim()} and {teacher.dim()} dimensions, "
                         "expected [B,S,D] and [B,N,Z]")
    _follow_torch()
    tokens = teacher.shape[1]
    if not 0 <= first_token <= hidden.shape[1] - tokens:
        raise ValueError(f"first_token: {first_token}, expected 0 to {hidden.shape[1] - tokens}: "
                         f"hidden has {hidden.shape[1]} tokens, teacher {tokens}")
    hidden = hidden.narrow(1, first_token, tokens)
    if projector.trainable:
        seed = _seed(projector.dropout if projector.training else 0.0)
        return _by(seed, _ops.alignment_loss_trainable)(
            projector.handle, hidden, teacher, token_weight, projector.parameters,
            projector.training, seed)[0]
    gradient = torch.is_grad_enabled() and hidden.requires_grad
    return _ops.alignment_loss(projector.handle, hidden, teacher, token_weight, gradient)[0]


# ---- LoRA ----


def _rows(x):
    """In autocast's dtype, as torch's own linear has it, and of at most 3 dimensions."""
    _follow_torch()
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    return x.flatten(0, -2) if x.dim() > 3 else x


def _shaped(y, x):
    return y.unflatten(0, x.shape[:-1]) if x.dim() > 3 else y


def lora_linear(x, weight, bias, a, b, scale, dropout=0.0):
    """x W^T + bias + scale (drop(x) A^T) B^T: x [...,K], weight [N,K], a [r,K], b [N,r]."""
    seed = _seed(dropout)
    return _shaped(_by(seed, _ops.lora_linear)(
        _rows(x), weight, bias, a, b, scale, dropout, seed)[0], x)


def lora_delta(y, x, a, b, scale, dropout=0.0):
    """y + scale (drop(x) A^T) B^T, for a y of a base that is not a plain matrix (quantised)."""
    flat, seed = y.flatten(0, -2) if y.dim() > 3 else y, _seed(dropout)
    return _shaped(_by(seed, _ops.lora_delta)(
        flat, _rows(x).to(y.dtype), a, b, scale, dropout, seed)[0], x)


def lora_linears(x, weights, biases, a, b, scales, dropout=0.0):
    """Several frozen linears of one input (q, k, v; gate, up) in one call; a list of outputs."""
    a = list(a)
    if any(t is not None and t.requires_grad for t in (*weights, *biases)):
        raise ValueError("weights, biases: one requires a gradient, expected frozen ones")
    seeds = _seed(dropout, len(a)) if dropout > 0 else [0] * len(a)
    ys = _by(seeds, _ops.lora_linears)(
        _rows(x), list(weights), list(biases), a, list(b), list(scales), dropout, seeds)[0]
    return [_shaped(y, x) for y in ys]


class LoraLinear(torch.nn.Module):
    """A frozen torch.nn.Linear with a LoRA adapter. scale = alpha / rank.

    dtype: of lora_A [rank,K] and lora_B [N,rank]; that of the base if None.
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
                or _rows(x).dtype not in _DTYPES):
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
    """Makes the LoRA linear layers of a PEFT model compute with our operators, tells how many.

    Modules, parameters, names, merging and checkpoints stay PEFT's: only forward changes, and only
    where a single plain adapter is active (no DoRA, no adapter_names) and no hook would miss it.
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


# ---- AdamW ----

_MOMENTS, _COPIES = ("exp_avg", "exp_avg_sq"), {"master", "remainder"}


class AdamW(torch.optim.Optimizer):
    """torch.optim.AdamW over any number of parameters in one call, with clipping and checks inside.

    bfloat16 parameters get a float32 master copy or, with `remainder`, the 16 bits that the copy has
    more, as int16: the same steps in half the memory. After step(), `report` holds on the device: norm
    of the gradients before clipping, clipping factor, non-finite elements, 1 if skipped.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2,
                 max_grad_norm=0.0, skip_nonfinite=False, remainder=False):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps,
                                  "weight_decay": weight_decay})
        self.max_grad_norm, self.skip_nonfinite = max_grad_norm, skip_nonfinite
        self.remainder = remainder
        self.report = self._release = None

    def _all(self):
        return [(i, p) for i, group in enumerate(self.param_groups) for p in group["params"]]

    def _prepare(self):
        """A handle on the parameters as they are now."""
        self._forget()
        groups, self._params = zip(*self._all())
        for p in self._params:
            state = self.state[p]
            state.setdefault("step", 0)
            for name in _MOMENTS:
                if name not in state:
                    state[name] = torch.zeros(p.shape, dtype=torch.float32, device=p.device)
            if p.dtype == torch.bfloat16 and not _COPIES & state.keys():
                if self.remainder:
                    state["remainder"] = torch.zeros(p.shape, dtype=torch.int16, device=p.device)
                else:
                    state["master"] = p.detach().float().contiguous()
        states = [self.state[p] for p in self._params]
        self._handle = _ops.adamw_create(
            [p.detach() for p in self._params], *([s[name] for s in states] for name in _MOMENTS),
            *([s.get(name) for s in states] for name in sorted(_COPIES)), groups)
        self._memory = [p.data_ptr() for p in self._params]
        self._release = weakref.finalize(self, _ops.adamw_destroy, self._handle)
        _ops.adamw_set_steps(self._handle, [int(s["step"]) for s in states])

    def _read_steps(self):
        if self._release is not None:
            for p, step in zip(self._params, _ops.adamw_get_steps(self._handle)):
                self.state[p]["step"] = step

    def _forget(self):
        if self._release is not None:
            self._read_steps()
            self._release()
            self._release = None

    @torch._disable_dynamo
    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        params = [p for _, p in self._all()]
        if self._release is None or [p.data_ptr() for p in params] != self._memory:
            self._prepare()
        with_grad = [i for i, p in enumerate(params) if p.grad is not None]
        rates = [[float(value) for value in (g["lr"], *g["betas"], g["eps"], g["weight_decay"])]
                 for g in self.param_groups]
        self.report = _ops.adamw_step_(
            self._handle, params, [params[i].grad.contiguous() for i in with_grad], with_grad,
            *map(list, zip(*rates)), 1.0, self.max_grad_norm, self.skip_nonfinite, False)
        return loss

    def state_dict(self):
        self._read_steps()
        return super().state_dict()

    def load_state_dict(self, state_dict):
        """Of this class or of torch.optim.AdamW, which loads ours too."""
        for group in state_dict["param_groups"]:
            for flag in ("amsgrad", "maximize"):
                if group.get(flag):
                    raise ValueError(f"state_dict: {flag}, expected the plain algorithm")
        self._forget()
        super().load_state_dict(state_dict)
        # torch casts state to the dtype of its parameter; ours is what it is whatever that is.
        indices = [i for group in state_dict["param_groups"] for i in group["params"]]
        for index, (_, p) in zip(indices, self._all()):
            saved = state_dict["state"].get(index, {})
            for name in saved.keys() & {*_MOMENTS, *_COPIES}:
                dtype = torch.int16 if name == "remainder" else torch.float32
                self.state[p][name] = saved[name].to(p.device, dtype, copy=True)

    def __getstate__(self):  # copies and pickles prepare a handle of their own
        self._read_steps()
        own = ("max_grad_norm", "skip_nonfinite", "remainder")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own},
                "report": None, "_release": None}
