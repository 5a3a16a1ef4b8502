"""Tensors of NumPy, JAX and CuPy go into the C ABI as they are: an sl_tensor* is a DLTensor*.

    python3 test_dlpack.py <libsightline.so>      exit code 77: no framework here, skipped
"""

import ctypes
import sys

SKIPPED = 77


def dl_tensor(array):
    """The address of the array's DLTensor, and what keeps it alive."""
    capsule = array.__dlpack__()
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer(capsule, b"dltensor"), capsule  # DLManagedTensor begins with its DLTensor


def delta(library, y, x, a, b, scale):
    """sl_lora_delta: y += scale (x A^T) B^T."""
    tensors = [dl_tensor(t) for t in (y, x, a, b)]

    class Linear(ctypes.Structure):  # sl_lora_linear
        _fields_ = [("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p),
                    ("a", ctypes.c_void_p), ("b", ctypes.c_void_p), ("scale", ctypes.c_double),
                    ("dropout_seed", ctypes.c_uint64), ("y", ctypes.c_void_p),
                    ("s", ctypes.c_void_p), ("dy", ctypes.c_void_p), ("da", ctypes.c_void_p),
                    ("db", ctypes.c_void_p)]

    linear = Linear(a=tensors[2][0], b=tensors[3][0], scale=scale, y=tensors[0][0])
    status = library.sl_lora_delta(None, ctypes.c_void_p(tensors[1][0]), ctypes.c_double(0),
                                   ctypes.byref(linear))
    return "" if status == 0 else library.sl_last_error().decode()


def check(name, numpy, library, to_framework, from_framework):
    random = numpy.random.default_rng(1)
    wide = random.standard_normal((3, 9, 31)).astype(numpy.float32)
    a = random.standard_normal((4, 31)).astype(numpy.float32)
    b = random.standard_normal((13, 4)).astype(numpy.float32)
    y = random.standard_normal((3, 5, 13)).astype(numpy.float32)
    x = wide[:, 2:7]  # rows of a larger tensor: strides go through too
    expected = y.astype(float) + 0.5 * (x.astype(float) @ a.T.astype(float)) @ b.T.astype(float)
    given = [to_framework(t) for t in (y, x, a, b)]
    error = delta(library, *given, 0.5)
    assert error == "", error
    found = from_framework(given[0])
    worst = numpy.linalg.norm(found - expected) / numpy.linalg.norm(expected)
    assert worst <= 1e-5, f"{name}: relative error {worst}"
    for bad, part in ((a[:, :30].copy(), "linears[0].a: "), (a.astype(numpy.float64), "bits 64")):
        error = delta(library, *given[:2], to_framework(bad), given[3], 0.5)
        assert part in error, f"{error!r} lacks {part!r}"
    print(f"{name}: relative error {worst:.1e}")


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
    check("numpy", numpy, library, lambda t: t, lambda t: t)
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        cpu = jax.devices("cpu")[0]
        check("jax", numpy, library, lambda t: jax.device_put(t.copy(), cpu), numpy.asarray)
    except ImportError:
        print("jax: not here")
    try:
        import cupy

        if cupy.cuda.runtime.getDeviceCount() > 0:
            check("cupy", numpy, library, cupy.asarray, cupy.asnumpy)
    except ImportError:
        print("cupy: not here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
