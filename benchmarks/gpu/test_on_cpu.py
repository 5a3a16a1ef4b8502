"""verify.py, bench.py and report.py run to their ends where there is no GPU.

    python3 test_on_cpu.py <libsightline.so>      exit code 77: no PyTorch here, skipped

The CPU backend computes what the GPU would, at small sizes, and torch.cuda is made up: streams do
nothing, a graph keeps the library's calls. That proves the scripts (shapes, references, masks,
tolerances, reports), and says nothing about a GPU: TF32 runs as fp32. Then one result is spoilt, which verify.py has to find.
"""

import contextlib
import functools
import json
import os
import sys
import tempfile
import time
import types

try:
    import torch
except ImportError:
    print("SKIPPED: no PyTorch here")
    sys.exit(77)

os.environ["SIGHTLINE_LIBRARY"] = sys.argv[1]
import sightline_abi as sl  # noqa: E402: it loads the library


class Everything:
    """Of torch.cuda: an object whose methods do nothing."""

    cuda_stream = None
    L2_cache_size = 2 ** 16

    def __getattr__(self, name):
        return lambda *args, **kwargs: 0


class Event:
    def __init__(self, enable_timing=False):
        self.at = 0.0

    def record(self):
        self.at = time.perf_counter()

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return max((end.at - self.at) * 1e3, 1e-6)


class Library:
    """libsightline, whose calls a graph keeps instead of running them."""

    def __init__(self, library):
        self.library, self.graph = library, None

    def __getattr__(self, name):
        function = getattr(self.library, name)

        def call(*args):
            if self.graph is None:
                return function(*args)
            self.graph.append(functools.partial(function, *args))
            return sl.OK

        return call


class Graph:
    def __init__(self):
        self.calls = []

    def replay(self):
        for call in self.calls:
            sl.check(call())


@contextlib.contextmanager
def capture(graph, stream=None):
    sl.LIB.graph = graph.calls
    try:
        yield
    finally:
        sl.LIB.graph = None


class OnCpu(torch.overrides.TorchFunctionMode):
    """What is asked for on "cuda" is made on the CPU."""

    def __torch_function__(self, function, kinds, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if str(kwargs.get("device", "")).startswith("cuda"):
            kwargs["device"] = "cpu"
        return function(*args, **kwargs)


def pretend():
    device, generator, autocast = sl.Device, torch.Generator, torch.autocast
    sl.Device = lambda kind, index: device(1, 0)
    sl.LIB = Library(sl.LIB)
    sl.capabilities = lambda: types.SimpleNamespace(available=1)
    sl._DTYPES[torch.float16] = sl._DTYPES[torch.bfloat16]
    torch.Generator = lambda kind: generator("cpu")
    torch.autocast = lambda kind, dtype: autocast("cpu", dtype)
    nothing = Everything()
    for name in ("synchronize", "_sleep", "empty_cache", "reset_peak_memory_stats",
                 "memory_allocated", "max_memory_allocated"):
        setattr(torch.cuda, name, getattr(nothing, name))
    torch.cuda.mem_get_info = lambda: (0, 0)
    torch.cuda.current_stream = torch.cuda.Stream = lambda: nothing
    torch.cuda.get_device_properties = lambda index: nothing
    torch.cuda.stream = lambda stream: contextlib.nullcontext()
    torch.cuda.CUDAGraph, torch.cuda.graph, torch.cuda.Event = Graph, capture, Event


def run(module, *arguments):
    """main() of a script; its exit code."""
    sys.argv = [module.__name__, *arguments]
    try:
        module.main()
    except SystemExit as end:
        return end.code
    return 0


def main():
    pretend()
    import bench
    import report
    import verify
    import verify_lora

    bench.D, bench.P, bench.Z = 64, 48, 32
    bench.ceilings = functools.partial(bench.ceilings, 64, 2 ** 12)
    bench.adamw = functools.partial(bench.adamw, 8, 10007)
    alignment, lora = bench.alignment, bench.lora
    bench.alignment = lambda m, compile_too: alignment(m // 8, False)
    bench.lora = lambda compile_too: lora(False, 96, 8, ((64, 48), (48, 64)))
    with tempfile.TemporaryDirectory() as folder, OnCpu():
        assert run(verify, "--small", "--out", f"{folder}/verify.json") == 0, "verify.py"
        assert run(bench, "--quick", "--out", f"{folder}/bench.json") == 0, "bench.py"
        results = json.load(open(f"{folder}/bench.json"))
        for stage in ("alignment", "lora", "adamw"):
            assert isinstance(results[stage], list), results[stage]
        report.main(folder)
        text = open(f"{folder}/report.md").read()
        for part in (" cases, 0 failed", "six GEMMs", "LoRA linear", "AdamW", "paper's code"):
            assert part in text, f"report.md lacks {part!r}"
        loss = verify.reference
        verify.reference = lambda *args, **kwargs: (1.1 * loss(*args, **kwargs)[0],
                                                    *loss(*args, **kwargs)[1:])
        verify.RESULTS.clear()
        assert run(verify, "--small") == 1, "verify.py passes a wrong loss"
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
