"""Tensors of other frameworks go into the C ABI as they are: an sl_tensor* is a DLTensor*.

    python3 test_dlpack.py <libsightline.so>      exit code 77: no NumPy with DLPack here, skipped

NumPy, PyTorch, JAX and CuPy where they are here, through both kinds of capsule: "dltensor" holds a
DLManagedTensor, which begins with its DLTensor; "dltensor_versioned" (DLPack 1.0) a
DLManagedTensorVersioned, which has version, manager_ctx, deleter and flags before it.
"""

import ctypes
import sys

SKIPPED = 77
READ_ONLY = 1  # of the flags


class Versioned(ctypes.Structure):
    """DLManagedTensorVersioned, up to where its DLTensor begins."""

    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32),
                ("manager_ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
                ("flags", ctypes.c_uint64), ("dl_tensor", ctypes.c_uint64 * 0)]


def dl_tensor(array, versioned):
    """The address of the array's DLTensor, and the capsule that keeps it alive."""
    capsule = array.__dlpack__(max_version=(1, 0)) if versioned else array.__dlpack__()
    name = b"dltensor_versioned" if versioned else b"dltensor"
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = pointer(capsule, name)  # raises if the capsule is of the other kind
    if versioned:
        managed = Versioned.from_address(address)
        assert managed.major == 1, f"DLPack {managed.major}.{managed.minor}, expected 1"
        if managed.flags & READ_ONLY:
            raise PermissionError("read-only")
        address += Versioned.dl_tensor.offset
    return address, capsule


def delta(library, tensors, scale):
    """sl_lora_forward without a weight: y += scale (x A^T) B^T; tensors: y, x, a, b."""

    class Linear(ctypes.Structure):  # sl_lora_linear
        _fields_ = [("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p),
                    ("a", ctypes.c_void_p), ("b", ctypes.c_void_p), ("scale", ctypes.c_double),
                    ("dropout_seed", ctypes.c_uint64), ("y", ctypes.c_void_p),
                    ("s", ctypes.c_void_p), ("grad_y", ctypes.c_void_p),
                    ("grad_a", ctypes.c_void_p), ("grad_b", ctypes.c_void_p)]

    class Args(ctypes.Structure):  # sl_lora_args
        _fields_ = [("x", ctypes.c_void_p), ("linears", ctypes.POINTER(Linear)),
                    ("count", ctypes.c_int64), ("dropout", ctypes.c_double),
                    ("grad_x", ctypes.c_void_p), ("accumulate_x", ctypes.c_int32),
                    ("accumulate_weights", ctypes.c_int32)]

    y, x, a, b = (address for address, _ in tensors)
    linear = Linear(a=a, b=b, scale=scale, y=y)
    args = Args(x=x, linears=ctypes.pointer(linear), count=1)
    status = library.sl_lora_forward(None, ctypes.byref(args))
    return "" if status == 0 else library.sl_last_error().decode()


def check(name, numpy, library, to_framework, from_framework, versioned):
    random = numpy.random.default_rng(1)
    wide = random.standard_normal((3, 9, 31)).astype(numpy.float32)
    a = random.standard_normal((4, 31)).astype(numpy.float32)
    b = random.standard_normal((13, 4)).astype(numpy.float32)
    y = random.standard_normal((3, 5, 13)).astype(numpy.float32)
    x = wide[:, 2:7]  # rows of a larger tensor: strides go through too
    expected = y.astype(float) + 0.5 * (x.astype(float) @ a.T.astype(float)) @ b.T.astype(float)

    def call(*arrays):
        return delta(library, [dl_tensor(t, versioned) for t in arrays], 0.5)

    given = [to_framework(t) for t in (y, x, a, b)]
    error = call(*given)
    assert error == "", error
    found = from_framework(given[0])
    worst = numpy.linalg.norm(found - expected) / numpy.linalg.norm(expected)
    assert worst <= 1e-5, f"{name}: relative error {worst}"
    for bad, part in ((a[:, :30].copy(), "linears[0].a: "), (a.astype(numpy.float64), "bits 64")):
        error = call(*given[:2], to_framework(bad), given[3])
        assert part in error, f"{error!r} lacks {part!r}"
    print(f"{name}, {'versioned' if versioned else 'legacy'} capsules: relative error {worst:.1e}")


def frameworks(numpy):
    """Name, from NumPy, to NumPy, of what is here."""
    yield "numpy " + numpy.__version__, lambda t: t, lambda t: t
    try:
        import torch

        yield "torch " + torch.__version__, torch.from_numpy, lambda t: t.numpy()
    except ImportError:
        print("torch: not here")
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        cpu = jax.devices("cpu")[0]
        yield "jax " + jax.__version__, lambda t: jax.device_put(t.copy(), cpu), numpy.asarray
    except ImportError:
        print("jax: not here")
    try:
        import cupy

        if cupy.cuda.runtime.getDeviceCount() > 0:
            yield "cupy " + cupy.__version__, cupy.asarray, cupy.asnumpy
    except ImportError:
        print("cupy: not here")


def main():
    library = ctypes.CDLL(sys.argv[1])
    library.sl_last_error.restype = ctypes.c_char_p
    try:
        import numpy
    except ImportError:
        print("SKIPPED: no NumPy here")
        return SKIPPED
    if not hasattr(numpy.ndarray, "__dlpack__"):
        print(f"SKIPPED: NumPy {numpy.__version__} has no DLPack")
        return SKIPPED
    for name, to_framework, from_framework in frameworks(numpy):
        for versioned in (False, True):
            try:
                if versioned:
                    to_framework(numpy.zeros(1)).__dlpack__(max_version=(1, 0))
            except TypeError:
                print(f"{name}: no versioned capsules yet")
                continue
            try:
                check(name, numpy, library, to_framework, from_framework, versioned)
            except PermissionError as refusal:
                assert not name.startswith(("numpy", "torch")), name
                print(f"{name}, versioned capsules: {refusal}")
    constant = numpy.zeros(3)
    constant.flags.writeable = False
    try:
        dl_tensor(constant, True)
        raise AssertionError("NumPy's constant may be written to")
    except (PermissionError, TypeError):  # TypeError: NumPy before 2.1
        return 0


if __name__ == "__main__":
    sys.exit(main())
