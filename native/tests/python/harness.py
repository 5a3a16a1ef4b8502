"""What the tests of the Python package share. Without PyTorch 2.10 or later they exit with 77: skipped.

    PYTHONPATH=<folder of the package and its libraries> python3 test_operators.py
"""

import functools
import sys
import unittest


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(77)


try:
    import torch
except ImportError:
    skip("no PyTorch here")
if tuple(int(v) for v in torch.__version__.split(".")[:2]) < (2, 10):
    skip(f"torch {torch.__version__}, expected 2.10 or later")

import sightline  # noqa: E402, F401: after the check; what the tests test

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 8e-3}
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
main = functools.partial(unittest.main, verbosity=2, warnings="ignore")


def everywhere(test):
    """Runs test(self, device, dtype) on every device, in both dtypes, with the same numbers."""

    @functools.wraps(test)
    def run(self):
        for device in DEVICES:
            for dtype in TOLERANCE:
                with self.subTest(device=device, dtype=dtype):
                    torch.manual_seed(7)
                    test(self, device, dtype)

    return run


def error(found, expected):
    """||found - expected|| / ||expected||"""
    expected = expected.detach().double()
    return ((found.detach().double() - expected).norm() / expected.norm().clamp_min(1e-30)).item()


def close(name, found, expected, tolerance):
    worst = error(found, expected)
    assert worst <= tolerance, f"{name}: relative error {worst}, tolerance {tolerance}"


def refused(part, call, kinds=ValueError):
    """`call` is refused with a message of ours that has `part` in it."""
    try:
        call()
    except kinds as refusal:
        assert part in str(refusal), f"{refusal} lacks {part!r}"
        return
    raise AssertionError(f"not refused: {part}")


def make_projector(device="cpu", dtype=torch.float32, dropout=0.0):
    nn = torch.nn
    return nn.Sequential(
        nn.LayerNorm(65), nn.Linear(65, 32), nn.SiLU(), nn.Dropout(dropout), nn.Linear(32, 32),
        nn.SiLU(), nn.Dropout(dropout), nn.Linear(32, 16)).to(device, dtype)
