"""The C ABI through ctypes, for torch tensors. Test and benchmark tooling only."""

import ctypes as c
import os

import torch

OK, INVALID, UNSUPPORTED, UNAVAILABLE = 0, 1, 2, 3
_DTYPES = {torch.float32: (2, 32), torch.float16: (2, 16), torch.bfloat16: (4, 16)}


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
    _fields_ = [("stream", c.c_void_p), ("num_threads", c.c_int32), ("workspace", c.c_void_p),
                ("workspace_bytes", c.c_uint64)]


class Capability(c.Structure):
    _fields_ = [
        ("available", c.c_int32), ("device_count", c.c_int32), ("max_threads", c.c_int32),
        ("native_bf16", c.c_int32), ("implementation", c.c_char * 64),
        ("unavailability_cause", c.c_char * 256)]


PARAMETERS = ("ln_weight", "ln_bias", "w1", "b1", "w2", "b2", "w3", "b3")


class Projector(c.Structure):
    _fields_ = [(name, c.POINTER(Tensor)) for name in PARAMETERS]


class Config(c.Structure):
    _fields_ = [("compute", DType), ("trainable", c.c_int32), ("ln_eps", c.c_double),
                ("dropout", c.c_double)]


class LossArgs(c.Structure):
    _fields_ = [(name, c.POINTER(Tensor)) for name in
                ("hidden", "teacher", "token_weight", "grad_scale", "loss", "cosine",
                 "grad_hidden")] + [
        ("grad_weights", c.POINTER(Projector)), ("accumulate_hidden", c.c_int32),
        ("accumulate_weights", c.c_int32), ("training", c.c_int32), ("dropout_seed", c.c_uint64)]


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
        config = Config(DType(code, bits, 1), int(trainable), eps, dropout)
        self.handle = c.c_void_p()
        projector = projector_of(weights, keep)
        check(LIB.sl_alignment_create(c.byref(projector), c.byref(config), c.byref(self.handle)))

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
            s = stream or torch.cuda.current_stream()
            context = Context(s.cuda_stream, 0, None, 0)
            check(LIB.sl_alignment_loss(handle, c.byref(context), c.byref(args)))
        return run

    def close(self):
        LIB.sl_alignment_destroy(self.handle)
        self.handle = c.c_void_p()


def probe_gemm():
    """The GEMM core alone, from the probe library; None where it was not built."""
    path = os.environ.get("SIGHTLINE_GEMM_PROBE")
    if not path or not os.path.exists(path):
        return None
    lib = c.CDLL(path)
    lib.sl_probe_gemm.argtypes = [c.c_int32] * 8 + [c.c_void_p, c.c_int64] * 3 + [c.c_void_p]
    code = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}

    def gemm(a, b, out, m, n, k, a_mn=False, b_mn=False, portable=False, tile=0):
        status = lib.sl_probe_gemm(
            code[a.dtype], code[out.dtype], int(a_mn) + 2 * int(b_mn), int(portable), tile, m, n, k,
            a.data_ptr(), a.stride(0), b.data_ptr(), b.stride(0), out.data_ptr(), out.stride(0),
            torch.cuda.current_stream().cuda_stream)
        if status != 0:
            raise RuntimeError(f"sl_probe_gemm: CUDA error {status}")
    return gemm
