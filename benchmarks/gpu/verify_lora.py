"""LoRA cases of verify.py: forward, backward, delta, merge against fp64 on this GPU."""

import torch

import sightline_abi as sl
from reference import error, philox_mask

F32, BF16 = torch.float32, torch.bfloat16


def matrix(rows, columns, dtype, generator, gap=0, scale=1.0):
    """The first columns of a larger matrix, filled around with NaN."""
    big = torch.full((rows, columns + gap), float("nan"), dtype=dtype, device="cuda")
    part = big[:, :columns]
    part.copy_(torch.randn(rows, columns, generator=generator, device="cuda") * scale)
    return part


def make(m, k, sizes, x_dtype, w_dtype, adapter, gradient, gap, generator, bias=True, base=True,
         seeds=None):
    x = matrix(m, k, x_dtype, generator, gap)
    linears = []
    for i, (n, r) in enumerate(sizes):
        linears.append({
            "weight": matrix(n, k, w_dtype, generator, gap, k ** -0.5) if base else None,
            "bias": torch.randn(n, generator=generator, device="cuda").to(w_dtype)
            if base and bias else None,
            "a": matrix(r, k, adapter, generator, gap, k ** -0.5),
            "b": matrix(n, r, adapter, generator, gap, r ** -0.5), "scale": 0.5 + i,
            "seed": seeds[i] if seeds else 99, "y": matrix(m, n, x_dtype, generator, gap),
            "s": torch.full((m, r), float("nan"), device="cuda"),
            "dy": matrix(m, n, x_dtype, generator, gap),
            "da": matrix(r, k, gradient, generator, gap),
            "db": matrix(n, r, gradient, generator, gap)})
    return x, linears


def reference(x, linears, dropout, dx_before, accumulate):
    xd = x.double()
    out, dx = [], dx_before.double().clone() if accumulate else torch.zeros_like(xd)
    for l in linears:
        a, b = l["a"].double(), l["b"].double()
        mask = philox_mask(l["seed"], 2, *x.shape, dropout, x.device) if dropout else 1.0
        s = (xd * mask) @ a.T
        if l["weight"] is None:
            y = l["y"].double() + l["scale"] * s @ b.T
        else:
            w = l["weight"].double()
            y = xd @ w.T + l["scale"] * s @ b.T
            if l["bias"] is not None:
                y = y + l["bias"].double()
            dx += l["dy"].double() @ w
        t = l["scale"] * l["dy"].double() @ b
        dx += mask * (t @ a)
        keep = 1.0 if accumulate else 0.0
        out.append((y, s, keep * l["da"].double() + t.T @ (xd * mask),
                    keep * l["db"].double() + l["scale"] * l["dy"].double().T @ s))
    return out, dx


def case(report, name, m, k, sizes, x_dtype=BF16, w_dtype=None, adapter=F32, gradient=F32, gap=0,
         dropout=0.0, accumulate=False, keeps_s=True, tf32=False, **options):
    generator = torch.Generator("cuda").manual_seed(m * 7 + k)
    x, linears = make(m, k, sizes, x_dtype, w_dtype or x_dtype, adapter, gradient, gap, generator,
                      **options)
    dx = matrix(m, k, x_dtype, generator, gap)
    expected, dx_expected = reference(x, linears, dropout, dx, accumulate)
    before = [[l[n].clone() for n in ("y", "da", "db")] for l in linears] + [[dx.clone()]]
    given = linears if keeps_s else [{**l, "s": None} for l in linears]
    call = sl.Lora(x, given, dropout, dx, accumulate, accumulate)
    bits = []
    torch.backends.cuda.matmul.allow_tf32 = tf32
    for _ in range(2):
        for l, old in zip(linears, before):
            for n, o in zip(("y", "da", "db"), old):
                l[n].copy_(o)
        dx.copy_(before[-1][0])
        call.forward()
        call.backward()
        torch.cuda.synchronize()
        bits.append([t.clone() for l in linears for t in (l["y"], l["da"], l["db"])] + [dx.clone()])
    torch.backends.cuda.matmul.allow_tf32 = False
    same = all(torch.equal(a, b) for a, b in zip(*bits))
    limit = 8e-3 if k >= 16 else 2e-2
    if x_dtype == F32:
        limit = 1e-5 if not tf32 else 2e-3 if k >= 16 else 4e-3
    own = {F32: 0, BF16: 2 ** -8}[gradient]
    values = {"e_dx": error(dx, dx_expected)}
    for i, (l, (y, s, da, db)) in enumerate(zip(linears, expected)):
        values[f"e_y{i}"] = error(l["y"], y)
        if keeps_s:
            values[f"e_s{i}"] = error(l["s"], s)
        values[f"e_da{i}"] = max(0.0, error(l["da"], da) - own)
        values[f"e_db{i}"] = max(0.0, error(l["db"], db) - own)
    report(name, limit=limit, ok=same, repeatable=same, **values)


def lora(report, small):
    shapes = [(1, 1, ((1, 1),)), (7, 13, ((31, 2),)), (26, 65, ((31, 1), (7, 16), (65, 31))),
              (140, 72, ((136, 32),)), (300, 264, ((136, 32), (264, 8))),
              (97, 40, ((520, 70), (136, 130)))]
    if not small:
        shapes += [(207, 96, ((192, 32),)), (31, 513, ((40, 256),)), (1000, 520, ((1032, 64),) * 3),
                   (513, 1024, ((768, 16),) * 6), (4608, 4096, ((4096, 32),)),
                   (4608, 4096, ((4096, 32),) * 3), (1111, 4096, ((11008, 32),) * 2),
                   (1111, 11008, ((4096, 32),))]
    for m, k, sizes in shapes:
        name = f"lora {m}x{k} {sizes}"
        for dtype in (BF16, F32):
            if dtype == F32 and m * k > 2 ** 20:
                continue
            title = f"{name} {str(dtype)[6:]}"
            case(report, title, m, k, sizes, dtype)
            case(report, title + " dropout", m, k, sizes, dtype, dropout=0.3, accumulate=True)
            if dtype == F32:
                case(report, title + " tf32", m, k, sizes, dtype, tf32=True)
                case(report, title + " tf32, dropout", m, k, sizes, dtype, dropout=0.3, tf32=True,
                     keeps_s=False)
            if small or m * k > 2 ** 22:
                continue
            case(report, title + " strided by 1, fp32 weight", m, k, sizes, dtype, F32, gap=1)
            case(report, title + " strided by 8, bf16 adapters", m, k, sizes, dtype, None, BF16, BF16,
                 gap=8, keeps_s=False)
            case(report, title + " no bias, accumulated", m, k, sizes, dtype, accumulate=True,
                 bias=False)
            case(report, title + " no base", m, k, sizes, dtype, base=False)
            case(report, title + " two masks", m, k, sizes, dtype, dropout=0.2,
                 seeds=[i // 2 for i in range(len(sizes))])


def batches(report):
    """x, y, dy and dx as slices of longer sequences: batches with a gap between."""
    generator = torch.Generator("cuda").manual_seed(6)
    def view(columns):
        return torch.randn(3, 300, columns, generator=generator, device="cuda").to(BF16)[:, 7:263]
    for p in (0.0, 0.1):
        k, n, r = 256, 384, 16
        x, y, dy, dx = view(k), view(n), view(n), view(k)
        _, (l,) = make(1, k, ((n, r),), BF16, BF16, F32, F32, 0, generator)
        l.update(y=y, dy=dy, s=torch.empty(x.shape[0] * x.shape[1], r, device="cuda"))
        flat = {**l, "y": y.reshape(-1, n), "dy": dy.reshape(-1, n)}
        expected, dx_expected = reference(x.reshape(-1, k), [flat], p, dx.reshape(-1, k), False)
        call = sl.Lora(x, [l], p, dx)
        call.forward()
        call.backward()
        torch.cuda.synchronize()
        names = ("y", "s", "da", "db")
        values = {"e_" + q: error(l[q].reshape(e.shape), e) for q, e in zip(names, expected[0])}
        report(f"lora batches with gaps, dropout {p}", limit=8e-3,
               e_dx=error(dx.reshape(-1, k), dx_expected), **values)


def delta_and_merge(report):
    generator = torch.Generator("cuda").manual_seed(8)
    for dtype in (BF16, F32):
        x, (l,) = make(300, 264, ((136, 24),), dtype, dtype, F32, F32, 0, generator, base=False)
        expected, _ = reference(x, [l], 0.0, x, False)
        sl.Lora(x, [l]).forward()
        torch.cuda.synchronize()
        report(f"lora delta {str(dtype)[6:]}", limit=1e-5 if dtype == F32 else 8e-3,
               e_y=error(l["y"], expected[0][0]))
        for stochastic in (False, True):
            w = matrix(1000, 520, dtype, generator, 3)
            a, b = matrix(32, 520, F32, generator), matrix(1000, 32, F32, generator)
            old = w.clone()
            exact = old.double() + 0.01 * b.double() @ a.double()
            sl.lora_merge(w, a, b, 0.01, stochastic, 5)
            torch.cuda.synchronize()
            ulp = 2.0 ** (-23 if dtype == F32 else -7)
            # One step of rounding: half a unit to nearest, a whole one stochastically.
            bound = (1.0 if stochastic else 0.51) * ulp * exact.abs().clamp_min(1e-3) + 1e-6
            merged = bool(((w.double() - exact).abs() <= bound).all())
            bias = float((w.double() - exact).mean() / (ulp * exact.abs().mean()))
            sl.lora_merge(w, a, b, -0.01, stochastic, 6)
            torch.cuda.synchronize()
            span = torch.maximum(old.double().abs(), exact.abs())
            back = bool(((w.double() - old.double()).abs() <= 2.05 * ulp * span + 1e-6).all())
            report(f"merge {str(dtype)[6:]} {'stochastic' if stochastic else 'nearest'}",
                   ok=merged and back and abs(bias) < 0.01, bias=bias)


def streams_and_graph(report):
    generator = torch.Generator("cuda").manual_seed(9)
    problems = []
    for _ in range(4):
        x, linears = make(1000, 512, ((768, 32),) * 2, BF16, BF16, F32, F32, 0, generator)
        dx = torch.empty_like(x)
        problems.append((sl.Lora(x, linears, 0.0, dx), linears, dx, x))

    def outputs(problem):
        _, linears, dx, _ = problem
        return [t for l in linears for t in (l["y"], l["da"], l["db"])] + [dx]
    expected = []
    for p in problems:
        p[0].forward(), p[0].backward()
        torch.cuda.synchronize()
        expected.append([t.clone() for t in outputs(p)])
        for t in outputs(p):
            t.zero_()
    streams = [torch.cuda.Stream() for _ in problems]
    torch.cuda.synchronize()
    for _ in range(5):
        for p, stream in zip(problems, streams):
            p[0].forward(stream), p[0].backward(stream)
    torch.cuda.synchronize()
    same = all(torch.equal(a, b) for p, e in zip(problems, expected)
               for a, b in zip(outputs(p), e))
    report("lora on four streams at once, the same bits", ok=same)
    stream, graph = streams[0], torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        problems[0][0].forward(), problems[0][0].backward()
    for t in outputs(problems[0]):
        t.zero_()
    graph.replay()
    torch.cuda.synchronize()
    report("lora graph replay, the same bits",
           ok=all(torch.equal(a, b) for a, b in zip(outputs(problems[0]), expected[0])))


def stages(report, small):
    yield lambda: lora(report, small)
    yield lambda: batches(report)
    yield lambda: delta_and_merge(report)
    yield lambda: streams_and_graph(report)
