"""Times on this GPU: the alignment loss, LoRA linears and AdamW beside their rivals and floors, the
GEMM core beside cuBLAS.

  bench.py [--seconds 150] [--quick] [--out FILE]

Contenders take turns in one process, in a new order every round; a time is the median of rounds,
between CUDA events. "hot" repeats on the same buffers, "rotated" walks over sets that together
exceed three times the L2. Inputs are normal random numbers, as zeros run faster than real data.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F

import sightline_abi as sl
from reference import random_weights

BF16 = torch.bfloat16
D, P, Z = 4096, 2048, 1024
DEADLINE = [float("inf")]


def smi():
    fields = "name,driver_version,clocks.sm,clocks.mem,power.draw,temperature.gpu"
    try:
        line = subprocess.run(["nvidia-smi", "--query-gpu=" + fields, "--format=csv,noheader"],
                              capture_output=True, text=True, timeout=20).stdout.splitlines()[0]
        return dict(zip(fields.split(","), (x.strip() for x in line.split(","))))
    except Exception as problem:
        return {"nvidia-smi": str(problem)}


def interleave(contenders, rounds=30, repeats=1, warmup=3):
    """{name: [function of the round's index]} -> {name: {ms, quartiles}}"""
    for function in contenders.values():
        for i in range(warmup):
            function(i)
    torch.cuda.synchronize()
    times = {name: [] for name in contenders}
    order = list(contenders)
    for i in range(rounds):
        random.shuffle(order)
        for name in order:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            for r in range(repeats):
                contenders[name](i * repeats + r)
            end.record()
            end.synchronize()
            times[name].append(begin.elapsed_time(end) / repeats)
        if time.monotonic() > DEADLINE[0]:
            break
    return {name: {"ms": statistics.median(t), "rounds": len(t),
                   "low": sorted(t)[len(t) // 4], "high": sorted(t)[3 * len(t) // 4]}
            for name, t in times.items()}


def sets_for(bytes_each):
    l2 = torch.cuda.get_device_properties(0).L2_cache_size
    return max(2, -(-3 * l2 // bytes_each))


def ceilings(n=8192, size=2 ** 30):
    """Highest matrix rate (cuBLAS, random bf16) and copy bandwidth seen on this device."""
    a, b = (torch.randn(n, n, device="cuda").to(BF16) for _ in range(2))
    big = torch.empty(size, dtype=torch.uint8, device="cuda")
    other = torch.empty_like(big)
    t = interleave({"mm": lambda i: a @ b, "copy": lambda i: other.copy_(big)}, rounds=10)
    return {"tflops": 2 * n ** 3 / t["mm"]["ms"] / 1e9,
            "copy_tb_s": 2 * size / t["copy"]["ms"] / 1e9}


class Projector(torch.nn.Module):
    """BlindVLA's projector, frozen and in eval mode."""

    def __init__(self, w):
        super().__init__()
        self.w = torch.nn.ParameterDict(
            {k: torch.nn.Parameter(v, requires_grad=False) for k, v in w.items()})

    def forward(self, x):
        w = self.w
        x = F.layer_norm(x, (x.shape[-1],), w["ln_weight"], w["ln_bias"])
        x = F.silu(F.linear(x, w["w1"], w["b1"]))
        x = F.silu(F.linear(x, w["w2"], w["b2"]))
        return F.linear(x, w["w3"], w["b3"])


def torch_loss(projector, h, t):
    z = F.normalize(projector(h), dim=-1)
    return -(F.normalize(t, dim=-1) * z).sum(-1).mean()


def alignment(m, compile_too):
    generator = torch.Generator("cuda").manual_seed(1)
    weights = random_weights(D, P, Z, torch.float32, "cuda", generator)
    n_sets = sets_for(m * (2 * D + Z) * 2)
    sets = []
    for _ in range(n_sets):
        h = torch.randn(m // 256, 256, D, generator=generator, device="cuda").to(BF16)
        t = torch.randn(m // 256, 256, Z, generator=generator, device="cuda").to(BF16)
        sets.append((h, t, torch.empty_like(h), torch.zeros(1, device="cuda")))
    free = torch.cuda.mem_get_info()[0]
    handle = sl.Alignment(weights, BF16)
    calls = [handle.call(h, t, loss, grad_hidden=g) for h, t, g, loss in sets]
    calls[0]()
    torch.cuda.synchronize()
    memory = {"ours, weights and scratch": free - torch.cuda.mem_get_info()[0],
              "ours, scratch": handle.workspace(hidden=sets[0][0], teacher=sets[0][1],
                                                loss=sets[0][3], grad_hidden=sets[0][2]),
              "u, v and z alone": 2 * m * (2 * P + Z)}
    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        calls[0]()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=side):
        calls[0]()

    low = Projector({k: v.to(BF16) for k, v in weights.items()})
    full = Projector(weights)

    def step(loss_of):
        def run(i):
            h, t, _, _ = sets[i % n_sets]
            h = h.detach().requires_grad_(True)
            loss_of(h, t).backward()
            return h.grad
        return run

    def paper(h, t):
        with torch.autocast("cuda", BF16):
            z = full(h)
        z, t = F.normalize(z.float(), dim=-1), F.normalize(t.float(), dim=-1)
        return -(t * z).sum(-1).mean()

    rivals = {"torch eager bf16": step(lambda h, t: torch_loss(low, h, t)),
              "paper's code (fp32 weights, bf16 autocast)": step(paper)}
    if compile_too:
        try:
            compiled = torch.compile(lambda h, t: torch_loss(low, h, t),
                                     mode="max-autotune-no-cudagraphs")
            function = step(compiled)
            function(0)
            rivals["torch.compile max-autotune"] = function
        except Exception as problem:
            print("torch.compile:", problem)
    for name, function in rivals.items():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function(0)
        memory[name] = torch.cuda.max_memory_allocated() - before

    x = torch.randn(m, D, device="cuda").to(BF16)
    y = torch.randn(m, P, device="cuda").to(BF16)
    z = torch.randn(m, Z, device="cuda").to(BF16)
    w1, w2, w3 = (low.w[k] for k in ("w1", "w2", "w3"))

    def six(i):
        x @ w1.T, y @ w2.T, y @ w3.T, z @ w3, y @ w2, y @ w1

    rotated = interleave({"ours": lambda i: calls[i % n_sets](), **rivals, "floor, six GEMMs": six})
    hot = interleave({"ours": lambda i: calls[0](), "ours, graph": lambda i: graph.replay(),
                      **{k: (lambda f: lambda i: f(0))(f) for k, f in rivals.items()},
                      "floor, six GEMMs": six}, repeats=4)
    handle.close()
    return {"m": m, "flop": 4 * m * (D * P + P * P + P * Z), "rotated": rotated, "hot": hot,
            "memory_bytes": memory}


def gemm_core(m):
    gemm = sl.probe_gemm()
    if gemm is None:
        return None
    rows = []
    for n, k in ((P, D), (P, P), (Z, P), (P, Z), (P, P), (D, P)):
        a = torch.randn(m, k, device="cuda").to(BF16)
        b = torch.randn(n, k, device="cuda").to(BF16)
        out = torch.empty(m, n, dtype=BF16, device="cuda")
        t = interleave({"ours": lambda i: gemm(a, b, out, m, n, k),
                        "ours 256": lambda i: gemm(a, b, out, m, n, k, tile=256),
                        "ours 128": lambda i: gemm(a, b, out, m, n, k, tile=128),
                        "ours by rows": lambda i: gemm(a, b, out, m, n, k, path="rowstore"),
                        "ours portable": lambda i: gemm(a, b, out, m, n, k, path="portable"),
                        "cuBLAS": lambda i: torch.mm(a, b.T, out=out)}, rounds=20, repeats=5)
        rows.append({"m": m, "n": n, "k": k, "times": t})
    return rows


def lora(compile_too, m=4608, r=32, shapes=((4096, 4096), (4096, 11008), (11008, 4096))):
    """Ours beside PEFT's composition in torch, bf16 base and fp32 adapters; floors: the bare base
    products, forward, and backward without the weight's gradient. Inputs rotate over three L2s."""
    rows = []
    for k, n in shapes:
        n_sets = sets_for(m * (k + n) * 2)
        xs = [torch.randn(m, k, device="cuda").to(BF16) for _ in range(n_sets)]
        dys = [torch.randn(m, n, device="cuda").to(BF16) for _ in range(n_sets)]
        w = (torch.randn(n, k, device="cuda") / k ** 0.5).to(BF16)
        a = (torch.randn(r, k, device="cuda") / k ** 0.5).requires_grad_(True)
        b = torch.randn(n, r, device="cuda").requires_grad_(True)
        y, dx = torch.empty(m, n, dtype=BF16, device="cuda"), torch.empty_like(xs[0])
        s, da, db = torch.empty(m, r, device="cuda"), torch.empty_like(a), torch.empty_like(b)
        sets = [{"x": x, "linear": {"weight": w, "a": a.detach(), "b": b.detach(), "scale": 0.5,
                                    "y": y, "s": s, "dy": dy, "da": da.detach(),
                                    "db": db.detach()}} for x, dy in zip(xs, dys)]
        calls = [sl.Lora(c["x"], [c["linear"]], 0.0, dx) for c in sets]
        source = torch.empty(n_sets, m * (k + n), dtype=torch.uint8, device="cuda")

        def peft(v):
            with torch.autocast("cuda", BF16):
                return F.linear(v, w) + 0.5 * F.linear(F.linear(v, a), b)

        variants = {"PEFT eager": peft}
        if compile_too:
            variants["PEFT torch.compile"] = torch.compile(peft)

        def both(function):
            def run(i):
                v = xs[i % n_sets].detach().requires_grad_(True)
                function(v).backward(dys[i % n_sets])
                a.grad = b.grad = None
            return run

        def ours(i):
            calls[i % n_sets].forward()
            calls[i % n_sets].backward()

        with torch.no_grad():
            forward = interleave({
                "ours": lambda i: calls[i % n_sets].forward(),
                **{name: (lambda f: lambda i: f(xs[i % n_sets]))(f)
                   for name, f in variants.items()},
                "floor, x W^T": lambda i: torch.mm(xs[i % n_sets], w.T, out=y)}, rounds=20)
            backward = interleave({
                "ours": lambda i: calls[i % n_sets].backward(),
                "floor, dY W": lambda i: torch.mm(dys[i % n_sets], w, out=dx)}, rounds=20)
        # A copy of n bytes moves as many as one read of 2 n.
        once = torch.empty(m * (k + n), dtype=torch.uint8, device="cuda")
        rank_calls = [sl.Lora(c["x"], [c["linear"]]) for c in sets]
        rank_products = interleave({
            "ours": lambda i: rank_calls[i % n_sets].backward(),
            "floor, one read of dY and x": lambda i: once.copy_(source[i % n_sets])}, rounds=20)
        whole = interleave({"ours": ours, **{name: both(f) for name, f in variants.items()}},
                           rounds=20)
        shape = {"m": m, "k": k, "n": n, "r": r}
        rows += [{**shape, "pass": "forward", "times": forward},
                 {**shape, "pass": "backward", "times": backward},
                 {**shape, "pass": "T, dB and dA alone", "times": rank_products},
                 {**shape, "pass": "forward and backward", "times": whole}]
        del calls, rank_calls, sets, source
    return rows


def adamw(count=878, parameters=110_828_288):
    """One step with clipping and zeroing, on both sides."""
    sizes = [parameters // count] * (count - 1)
    sizes.append(parameters - sum(sizes))
    tensors = [torch.randn(s, device="cuda").requires_grad_(True) for s in sizes]
    grads = [torch.randn_like(t) for t in tensors]
    own = [t.detach().clone() for t in tensors]
    m, v = ([torch.zeros_like(t) for t in own] for _ in range(2))
    handle = sl.AdamW([(p, a, b, None, 0) for p, a, b in zip(own, m, v)])
    group = [(5e-4, 0.9, 0.999, 1e-8, 1e-2)]
    clipped = handle.call(grads, group, max_grad_norm=1.0, zero_grads=True)
    plain = handle.call(grads, group, zero_grads=True)
    fused = torch.optim.AdamW(tensors, lr=5e-4, fused=True)
    foreach = torch.optim.AdamW(tensors, lr=5e-4, foreach=True)

    def step(optimizer, clip):
        def run(i):
            for t, g in zip(tensors, grads):
                t.grad = g
            if clip:
                torch.nn.utils.clip_grad_norm_(tensors, 1.0, foreach=True)
            optimizer.step()
            torch._foreach_zero_(grads)
        return run

    source = torch.empty(18 * parameters, dtype=torch.uint8, device="cuda")
    copy = torch.empty_like(source)
    half, target = source[:16 * parameters], copy[:16 * parameters]
    with_clip = interleave({"ours": lambda i: clipped(),
                            "torch fused": step(fused, True),
                            "torch foreach": step(foreach, True),
                            "floor, copy of 36 bytes a parameter":
                                lambda i: copy.copy_(source)}, rounds=10)
    without = interleave({"ours": lambda i: plain(),
                          "torch fused": step(fused, False),
                          "torch foreach": step(foreach, False),
                          "floor, copy of 32 bytes a parameter":
                              lambda i: target.copy_(half)}, rounds=10)
    handle.close()
    # bf16 parameters and gradients: with a remainder 14 + 14 bytes each, with a master 14 + 16.
    del own, fused, foreach
    narrow = [t.detach().to(BF16) for t in tensors]
    narrow_grads = [g.to(BF16) for g in grads]
    masters = [t.float() for t in narrow]
    rest = [torch.zeros(s, dtype=torch.int16, device="cuda") for s in sizes]
    kept = {}
    for name, extra in (("ours, remainder", rest), ("ours, fp32 master", masters)):
        kept[name] = sl.AdamW([(p, a, b, e, 0) for p, a, b, e in zip(narrow, m, v, extra)])
    runs = {name: (lambda f: lambda i: f())(h.call(narrow_grads, group, zero_grads=True))
            for name, h in kept.items()}
    mixed = interleave({**runs,
                        "floor, copy of 28 bytes a parameter":
                            lambda i: copy[:14 * parameters].copy_(source[:14 * parameters]),
                        "floor, copy of 30 bytes a parameter":
                            lambda i: copy[:15 * parameters].copy_(source[:15 * parameters])},
                       rounds=10)
    for handle in kept.values():
        handle.close()
    shape = {"parameters": parameters, "tensors": count}
    return [{**shape, "pass": "clip, step, zero", "times": with_clip},
            {**shape, "pass": "step, zero", "times": without},
            {**shape, "pass": "bf16: step, zero", "times": mixed}]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--quick", action="store_true", help="no torch.compile, no sweep")
    parser.add_argument("--out")
    args = parser.parse_args()
    DEADLINE[0] = time.monotonic() + args.seconds
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    result = {"gpu": smi(), "torch": torch.__version__, "cuda": torch.version.cuda,
              "commit": os.environ.get("SIGHTLINE_COMMIT", ""), "ceiling": ceilings()}
    stages = [("alignment", lambda: [alignment(m, not args.quick and m == 4096)
                                     for m in ((4096, 2048) if args.quick
                                               else (4096, 2048, 512, 1024, 8192))]),
              ("gemm", lambda: [r for m in (4096, 2048) for r in gemm_core(m) or []]),
              ("lora", lambda: lora(not args.quick)), ("adamw", adamw)]
    for name, stage in stages:
        if time.monotonic() > DEADLINE[0]:
            result[name] = {"skipped": "out of time"}
            continue
        try:
            result[name] = stage()
        except Exception as problem:
            result[name] = {"failed": f"{type(problem).__name__}: {problem}"}
        print(name, json.dumps(result[name])[:2000], flush=True)
        torch.cuda.empty_cache()
    result["gpu_after"] = smi()
    if args.out:
        with open(args.out, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
