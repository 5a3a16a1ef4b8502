"""Loads PyTorch's side of the library, and says how float32 products are computed."""

import ctypes
import os

try:
    import torch
except ImportError as error:
    raise ImportError("sightline needs PyTorch 2.10 or later; there is no torch here") from error

_VERSION = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
if _VERSION < (2, 10):
    raise ImportError(f"sightline: torch is {torch.__version__}, expected 2.10 or later")



def _find():
    given = os.environ.get("SIGHTLINE_TORCH_LIBRARY")
    if given:
        if not os.path.isabs(given):  # the loader would look on its own paths
            raise ImportError(f"sightline: SIGHTLINE_TORCH_LIBRARY is {given}, expected an absolute path")
        candidates = [given]
    else:
        package = os.path.dirname(os.path.abspath(__file__))
        # Inside the package, as a wheel has it, or beside it, as CMake leaves it.
        candidates = [os.path.join(folder, "libsightline_torch.so")
                      for folder in (package, os.path.dirname(package))]
    for path in candidates:
        if os.path.exists(path):
            return path
    raise ImportError(f"sightline: no library {candidates[-1]}; SIGHTLINE_TORCH_LIBRARY can name it")


def _load(path):
    torch.ops.load_library(path)
    loaded = ctypes.CDLL(path)
    loaded.sl_torch_error.restype = ctypes.c_char_p
    loaded.sl_version.restype = ctypes.c_char_p
    if not loaded.sl_torch_register():
        raise ImportError("sightline: " + loaded.sl_torch_error().decode())
    return loaded


library = _load(_find())
ops = torch.ops.sightline
version = library.sl_version().decode()


def follow_torch():
    """float32 products on CUDA go through TF32 where torch's do: torch.backends.cuda.matmul."""
    if not torch.compiler.is_compiling():
        tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32"
        library.sl_torch_set_fp32_precision(int(tf32))
