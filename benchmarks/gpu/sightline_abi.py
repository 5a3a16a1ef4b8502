"""The C ABI through ctypes, for torch tensors. Test and benchmark tooling only."""

import ctypes as c
import os

import torch

OK, INVALID, UNSUPPORTED, UNAVAILABLE = 0, 1, 2, 3
_DTYPES = {torch.float32: (2, 32), torch.bfloat16: (4, 16), torch.int16: (0, 16)}


class Device(c.Structure):
    _fields_ = [("type", c.c_int32), ("id", c.c_int32)]


class DType(c.Structure):
    _fields_ = [("code", c.c_uint8), ("bits", c.c_uint8), ("lanes", c.c_uint16)]


class Tensor(c.Structure):
    _fields_ = [
        ("data", c.c_void_p), ("device", Device), ("ndim", c.c_int32), ("dtype", DType),
        ("shape", c.POINTER(c.c_int64)), ("strides", c.POINTER(c.c_int64)),
        ("byte_offset", c.c_uint64)]


class Context(c.Structure):
    _fields_ = [("stream", c.c_void_p), ("num_threads", c.c_int32), ("fp32_precision", c.c_int32),
                ("workspace", c.c_void_p), ("workspace_bytes", c.c_uint64),
                ("workspace_query", c.POINTER(c.c_uint64))]


class Capability(c.Structure):
    _fields_ = [
        ("available", c.c_int32), ("device_count", c.c_int32), ("max_threads", c.c_int32),
        ("native_bf16", c.c_int32), ("implementation", c.c_char * 64),
        ("unavailability_cause", c.c_char * 256)]


PARAMETERS = ("ln_weight", "ln_bias", "w1", "b1", "w2", "b2", "w3", "b3")


class Projector(c.Structure):
    # norm_weight, norm_bias, then weight and bias of each of four layers
    _fields_ = [(name, c.POINTER(Tensor)) for name in PARAMETERS + ("w4", "b4")]


class Description(c.Structure):
    _fields_ = [("size", c.c_uint32), ("layers", c.c_int32), ("norm", c.c_int32),
                ("activation", c.c_int32), ("norm_eps", c.c_double), ("dropout", c.c_double),
                ("compute", DType), ("trainable", c.c_int32)]


LAYER_NORM, SILU = 1, 1


class LossArgs(c.Structure):
    _fields_ = [(name, c.POINTER(Tensor)) for name in
                ("hidden", "teacher", "token_weight", "grad_scale", "loss", "cosine",
                 "grad_hidden")] + [
        ("grad_weights", c.POINTER(Projector)), ("accumulate_hidden", c.c_int32),
        ("accumulate_weights", c.c_int32), ("training", c.c_int32), ("dropout_seed", c.c_uint64),
        ("loss_desc", c.c_void_p)]  # NULL: the cosine


class Linear(c.Structure):
    _fields_ = [(name, c.POINTER(Tensor)) for name in ("weight", "bias", "a", "b")] + [
        ("scale", c.c_double), ("dropout_seed", c.c_uint64)] + [
        (name, c.POINTER(Tensor)) for name in ("y", "s", "grad_y", "grad_a", "grad_b")]


class LoraArgs(c.Structure):
    _fields_ = [("x", c.POINTER(Tensor)), ("linears", c.POINTER(Linear)), ("count", c.c_int64),
                ("dropout", c.c_double), ("grad_x", c.POINTER(Tensor)),
                ("accumulate_x", c.c_int32), ("accumulate_weights", c.c_int32)]


class LoraMergeArgs(c.Structure):
    _fields_ = [(name, c.POINTER(Tensor)) for name in ("weight", "a", "b")] + [
        ("scale", c.c_double), ("rounding", c.c_int32), ("seed", c.c_uint64)]


class AdamwParam(c.Structure):
    _fields_ = [(name, c.POINTER(Tensor)) for name in
                ("param", "exp_avg", "exp_avg_sq", "master", "remainder")] + [("group", c.c_int32)]


class AdamwGroup(c.Structure):
    _fields_ = [(name, c.c_double) for name in ("lr", "beta1", "beta2", "eps", "weight_decay")]


class AdamwArgs(c.Structure):
    _fields_ = [("grads", c.POINTER(Tensor)), ("count", c.c_int64),
                ("groups", c.POINTER(AdamwGroup)), ("group_count", c.c_int32),
                ("lr", c.POINTER(Tensor)),
                ("grad_scale", c.c_double), ("max_grad_norm", c.c_double),
                ("skip_nonfinite", c.c_int32), ("zero_grads", c.c_int32),
                ("report", c.POINTER(Tensor))]


class SightlineError(RuntimeError):
    def __init__(self, status, message):
        super().__init__(f"status {status}: {message}")
        self.status = status


def _load():
    path = os.environ.get("SIGHTLINE_LIBRARY")
    if not path:
        raise SystemExit("SIGHTLINE_LIBRARY must name libsightline.so (run.sh sets it)")
    lib = c.CDLL(path)
    lib.sl_last_error.restype = c.c_char_p
    lib.sl_version.restype = c.c_char_p
    lib.sl_alignment_destroy.restype = None
    lib.sl_adamw_destroy.restype = None
    # 64-bit counts by value.
    p, i64 = c.c_void_p, c.c_int64
    lib.sl_adamw_create.argtypes = [p, i64, p]
    lib.sl_adamw_get_steps.argtypes = [p, p, i64]
    return lib


LIB = _load()


def check(status):
    if status != OK:
        raise SightlineError(status, LIB.sl_last_error().decode())


def capabilities():
    out = Capability()
    check(LIB.sl_capabilities(2, c.byref(out)))
    return out


def view(t, keep):
    """A pointer to a Tensor that describes `t`; what it points to is appended to `keep`."""
    if t is None:
        return None
    code, bits = _DTYPES[t.dtype]
    shape = (c.c_int64 * max(t.dim(), 1))(*t.shape)
    strides = (c.c_int64 * max(t.dim(), 1))(*t.stride())
    out = Tensor(t.data_ptr(), Device(2, t.device.index or 0), t.dim(), DType(code, bits, 1),
                 shape, strides, 0)
    keep += [t, shape, strides, out]
    return c.pointer(out)


def projector_of(weights, keep):
    out = Projector(*[view(weights[name], keep) for name in PARAMETERS])
    keep.append(out)
    return out


class Alignment:
    def __init__(self, weights, compute, trainable=False, dropout=0.0, eps=1e-5):
        keep = []
        code, bits = _DTYPES[compute]
        desc = Description(c.sizeof(Description), 3, LAYER_NORM, SILU, eps, dropout,
                           DType(code, bits, 1), int(trainable))
        self.handle = c.c_void_p()
        projector = projector_of(weights, keep)
        check(LIB.sl_alignment_create(c.byref(projector), c.byref(desc), c.byref(self.handle)))

    def call(self, hidden, teacher, loss, cosine=None, grad_hidden=None, token_weight=None,
             grad_scale=None, grad_weights=None, accumulate_hidden=False,
             accumulate_weights=False, training=False, seed=0, stream=None):
        """A function that runs the prepared call on `stream` (or torch's current one)."""
        keep = []
        args = LossArgs(*[view(t, keep) for t in
                          (hidden, teacher, token_weight, grad_scale, loss, cosine, grad_hidden)])
        if grad_weights is not None:
            args.grad_weights = c.pointer(projector_of(grad_weights, keep))
        args.accumulate_hidden, args.accumulate_weights = accumulate_hidden, accumulate_weights
        args.training, args.dropout_seed = training, seed

        def run(handle=self.handle, args=args, keep=keep):
            check(LIB.sl_alignment_loss(handle, c.byref(context(stream)), c.byref(args)))
        return run

    def workspace(self, **tensors):
        """Bytes of scratch memory that `call` with these arguments needs."""
        bytes_needed, where = c.c_uint64(), context()
        where.workspace_query = c.pointer(bytes_needed)
        keep = []
        args = LossArgs(*[view(tensors.get(name), keep) for name in
                          ("hidden", "teacher", "token_weight", "grad_scale", "loss", "cosine",
                           "grad_hidden")])
        check(LIB.sl_alignment_loss(self.handle, c.byref(where), c.byref(args)))
        return bytes_needed.value

    def update(self, weights, stream=None):
        keep = []
        projector = projector_of(weights, keep)
        check(LIB.sl_alignment_update(self.handle, c.byref(context(stream)), c.byref(projector)))

    def close(self):
        LIB.sl_alignment_destroy(self.handle)
        self.handle = c.c_void_p()


def context(stream=None):
    """torch's current stream, or the one given; TF32 where torch's own products use it."""
    s = stream or torch.cuda.current_stream()
    return Context(s.cuda_stream, 0, int(torch.backends.cuda.matmul.allow_tf32))


class Lora:
    """One prepared call over several linears; each a dict of a, b, scale and, as they are wanted,
    weight, bias, seed, y, s, dy, da, db. Without a weight the forward pass adds to y."""

    def __init__(self, x, linears, dropout=0.0, dx=None, accumulate_dx=False,
                 accumulate_weights=False):
        self.keep = []
        array = (Linear * len(linears))()
        for out, given in zip(array, linears):
            out.scale, out.dropout_seed = given["scale"], given.get("seed", 0)
            for name in ("weight", "bias", "a", "b", "y", "s", "dy", "da", "db"):
                tensor = view(given.get(name), self.keep)
                if tensor is not None:
                    setattr(out, name.replace("d", "grad_") if name[0] == "d" else name, tensor)
        self.args = LoraArgs(x=view(x, self.keep), linears=array, count=len(array),
                             dropout=dropout, grad_x=view(dx, self.keep),
                             accumulate_x=int(accumulate_dx),
                             accumulate_weights=int(accumulate_weights))

    def forward(self, stream=None):
        check(LIB.sl_lora_forward(c.byref(context(stream)), c.byref(self.args)))

    def backward(self, stream=None):
        check(LIB.sl_lora_backward(c.byref(context(stream)), c.byref(self.args)))


def lora_merge(weight, a, b, scale, stochastic=False, seed=0):
    keep = []
    args = LoraMergeArgs(view(weight, keep), view(a, keep), view(b, keep), scale, int(stochastic),
                         seed)
    check(LIB.sl_lora_merge(c.byref(context()), c.byref(args)))


class AdamW:
    """`params`: tuples param, exp_avg, exp_avg_sq, master, int16 remainder or None, group."""

    def __init__(self, params):
        self.keep = []
        array = (AdamwParam * len(params))()
        for out, (*tensors, group) in zip(array, params):
            out.group = group
            for name, t in zip(("param", "exp_avg", "exp_avg_sq", "master"), tensors):
                if t is not None:
                    kept = "remainder" if t.dtype == torch.int16 else name
                    setattr(out, kept, view(t, self.keep))
        self.count = len(params)
        self.handle = c.c_void_p()
        check(LIB.sl_adamw_create(array, self.count, c.byref(self.handle)))

    def call(self, grads, groups, grad_scale=1.0, max_grad_norm=0.0, skip_nonfinite=False,
             zero_grads=False, report=None, lr=None, stream=None):
        """A function that runs the prepared step; a gradient may be None. lr: rates of the groups on
        the device, in place of theirs."""
        keep = []
        array = (Tensor * self.count)()
        for i, g in enumerate(grads):
            if g is None:
                array[i].ndim = -1
            else:
                array[i] = view(g, keep).contents
        groups = (AdamwGroup * len(groups))(*[AdamwGroup(*g) for g in groups])
        args = AdamwArgs(array, self.count, groups, len(groups), view(lr, keep), grad_scale,
                         max_grad_norm, int(skip_nonfinite), int(zero_grads))
        if report is not None:
            args.report = view(report, keep)
        keep += [array, groups, args]

        def run(handle=self.handle, keep=keep, args=args):
            check(LIB.sl_adamw_step(handle, c.byref(context(stream)), c.byref(args)))
        return run

    def steps(self):
        out = (c.c_int64 * self.count)()
        check(LIB.sl_adamw_get_steps(self.handle, out, self.count))
        return list(out)

    def close(self):
        LIB.sl_adamw_destroy(self.handle)
        self.handle = c.c_void_p()


def probe_gemm():
    """The GEMM core alone, from the probe library; None where it was not built."""
    path = os.environ.get("SIGHTLINE_GEMM_PROBE")
    if not path or not os.path.exists(path):
        return None
    lib = c.CDLL(path)
    lib.sl_probe_gemm.argtypes = [c.c_int32] * 8 + [c.c_void_p, c.c_int64] * 3 + [c.c_void_p]
    code = {torch.float32: 0, torch.bfloat16: 1}

    def gemm(a, b, out, m, n, k, a_mn=False, b_mn=False, path="", tile=0):
        status = lib.sl_probe_gemm(
            code[a.dtype], code[out.dtype], int(a_mn) + 2 * int(b_mn),
            ("", "portable", "tf32", "rowstore").index(path), tile, m, n, k,
            a.data_ptr(), a.stride(0), b.data_ptr(), b.stride(0), out.data_ptr(), out.stride(0),
            torch.cuda.current_stream().cuda_stream)
        if status != 0:
            raise RuntimeError(f"sl_probe_gemm: CUDA error {status}")
    return gemm
