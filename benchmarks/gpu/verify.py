"""Correctness of the CUDA entry points on this GPU against fp64, one line a case.

  verify.py [--small] [--out FILE]    --small: what the sanitizers run
"""

import argparse
import json
import sys

import torch

import sightline_abi as sl
import verify_adamw
import verify_lora
from reference import error, random_weights, reference

F32, BF16 = torch.float32, torch.bfloat16
RESULTS = []


def report(name, **values):
    limit = values.get("limit", 0)
    worst = max((v for k, v in values.items() if k.startswith("e_")), default=0)
    good = worst <= limit and values.get("ok", True)
    RESULTS.append({"case": name, "passed": bool(good), **values})
    shown = " ".join(f"{k[2:]}={v:.2e}" for k, v in values.items() if k.startswith("e_"))
    print(f"{'ok  ' if good else 'FAIL'} {name}  {shown}", flush=True)


def strided(shape, dtype, generator, gap, scale=1.0, mean=0.0):
    """The first columns and tokens of a larger tensor, filled around with NaN."""
    b, n, d = shape
    pad = gap * (8 if gap > 1 else 1)
    big = torch.full((b, n + gap, d + pad), float("nan"), dtype=dtype, device="cuda")
    part = big[:, :n, :d]
    part.copy_(torch.randn(b, n, d, generator=generator, device="cuda") * scale + mean)
    return part


def alignment_case(name, shape, compute, hidden_dtype=None, weight_dtype=F32, teacher_dtype=None,
                   gap=0, mask=False, trainable=False, dropout=0.0, accumulate=False,
                   edit=lambda h: None, grad_scale=None, tf32=False):
    b, n, d, p, z = shape
    generator = torch.Generator("cuda").manual_seed(hash(shape) % 1000)
    hidden_dtype = hidden_dtype or compute
    hidden = strided((b, n, d), hidden_dtype, generator, gap, 1.5, 0.3)
    edit(hidden)
    teacher = strided((b, n, z), teacher_dtype or hidden_dtype, generator, gap)
    weights = random_weights(d, p, z, weight_dtype, "cuda", generator)
    m = torch.rand(b, n, generator=generator, device="cuda") if mask else None
    if mask:
        m[0, 0] = 0
    scale = None if grad_scale is None else torch.tensor([grad_scale], device="cuda")
    grad = strided((b, n, d), hidden_dtype, generator, gap, 1e-3)
    start = grad.clone() if accumulate else torch.zeros_like(grad)
    loss = torch.full((1,), float("nan"), device="cuda")
    cosine = torch.full((b, n), float("nan"), device="cuda")
    grads = {k: torch.zeros_like(v, dtype=F32) for k, v in weights.items()} if trainable else None
    handle = sl.Alignment(weights, compute, trainable, dropout)
    run = handle.call(hidden, teacher, loss, cosine, grad, m, scale, grads,
                      accumulate_hidden=accumulate, training=dropout > 0, seed=77)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    run()
    torch.cuda.synchronize()
    expected = reference(hidden, teacher, weights, m, grad_scale or 1.0, dropout=dropout, seed=77)
    wide = min(d, p, z) >= 64
    limit = 8e-3 if wide else 4e-2
    if compute == F32:  # narrow layers through TF32: twelve roundings of 2^-11
        limit = 1e-5 if not tf32 else 2e-3 if wide else 12 * 2 ** -11
    rounding = {F32: 0, BF16: 2 ** -8}[hidden_dtype]
    values = {"e_loss": abs(float(loss) - float(expected[0])),
              "e_cosine": float((cosine.double() - expected[1]).abs().max()) if b * n else 0.0,
              "e_dh": max(0.0, error(grad, start.double() + expected[2]) - rounding)}
    for key in (grads or {}):
        values["e_" + key] = error(grads[key], expected[3][key])
    # The same bits again.
    first = [loss.clone(), cosine.clone(), grad.clone()]
    if accumulate:
        grad.copy_(start)
    run()
    torch.cuda.synchronize()
    torch.backends.cuda.matmul.allow_tf32 = False
    same = all(torch.equal(a, b) for a, b in zip(first, [loss, cosine, grad]))
    report(name, limit=limit, ok=same, repeatable=same, **values)
    handle.close()


def alignment(small):
    shapes = [(1, 1, 7, 13, 5), (2, 7, 13, 31, 7), (3, 5, 65, 33, 31), (2, 65, 64, 48, 96),
              (2, 130, 264, 136, 1000)]
    if not small:
        shapes += [(1, 31, 207, 65, 130), (3, 70, 64, 48, 80), (2, 256, 512, 256, 1024),
                   (1, 300, 1024, 512, 768), (8, 256, 4096, 2048, 1024),
                   (16, 256, 4096, 2048, 1024), (17, 256, 4096, 2048, 1024)]
    for shape in shapes:
        for compute in (BF16, F32):
            if compute == F32 and shape[0] * shape[1] * shape[2] > 2 ** 22:
                continue
            name = f"{shape} {str(compute)[6:]}"
            alignment_case(name, shape, compute)
            if compute == F32:
                alignment_case(name + " tf32", shape, compute, tf32=True)
                alignment_case(name + " tf32 trainable", shape, compute, trainable=True, tf32=True)
            if small or shape[2] >= 4096:
                continue
            alignment_case(name + " strided by 1, masked", shape, compute, gap=1, mask=True)
            alignment_case(name + " strided by 8", shape, compute, gap=2)
            alignment_case(name + " strided by 8, accumulated, scaled", shape, compute, gap=2,
                           accumulate=True, grad_scale=-0.37)
            alignment_case(name + " fp32 hidden, bf16 weights", shape, compute, F32, BF16, BF16)
            alignment_case(name + " trainable", shape, compute, F32, trainable=True, mask=True)
            alignment_case(name + " trainable, dropout", shape, compute, F32, trainable=True,
                           dropout=0.25)
    if small:
        alignment_case("trainable small", (2, 65, 64, 48, 96), BF16, F32, trainable=True,
                       dropout=0.1)
        return
    shape = (2, 256, 512, 256, 1024)

    def outliers(h):
        h[:, :, 5] *= 1000

    def means(h):
        h[0] += 500  # the first batch only: blocks of both kinds in one call

    def zero_rows(h):
        h[:, 3] = 0
    for compute in (BF16, F32):
        alignment_case(f"outlier channel {compute}", shape, compute, edit=outliers)
        alignment_case(f"large means {compute}", shape, compute, edit=means)
        alignment_case(f"zero rows {compute}", shape, compute, edit=zero_rows)


def special_values():
    generator = torch.Generator("cuda").manual_seed(3)
    weights = random_weights(64, 64, 64, F32, "cuda", generator)
    handle = sl.Alignment(weights, BF16)
    hidden = torch.randn(1, 5, 64, device="cuda")
    teacher = torch.randn(1, 5, 64, device="cuda")
    loss, cosine = torch.zeros(1, device="cuda"), torch.zeros(1, 5, device="cuda")
    grad = torch.full_like(hidden, float("nan"))
    handle.call(hidden, teacher, loss, cosine, grad, torch.zeros(1, 5, device="cuda"))()
    report("weights of zero", ok=float(loss) == 0 and bool((grad == 0).all()))
    empty = torch.zeros(0, 5, 64, device="cuda")
    handle.call(empty, empty, loss.fill_(7), grad_hidden=empty.clone())()
    report("empty batch", ok=float(loss) == 0)
    hidden[0, 1, 6] = float("nan")
    handle.call(hidden, teacher, loss, cosine, grad)()
    finite = torch.isfinite(cosine[0]).tolist()
    report("not a number stays in its row", ok=finite == [True, False, True, True, True]
           and not bool(torch.isfinite(loss)) and not bool(torch.isfinite(grad[0, 1]).any()))
    handle.close()


def update_and_workspace():
    generator = torch.Generator("cuda").manual_seed(5)
    old, new = (random_weights(128, 128, 128, F32, "cuda", generator) for _ in range(2))
    hidden = torch.randn(2, 64, 128, generator=generator, device="cuda")
    teacher = torch.randn(2, 64, 128, generator=generator, device="cuda")
    tensors = {"hidden": hidden, "teacher": teacher, "loss": torch.zeros(1, device="cuda"),
               "grad_hidden": torch.empty_like(hidden)}
    handle = sl.Alignment(old, BF16)
    bytes_needed = handle.workspace(**tensors)
    report(f"a query for workspace: {bytes_needed} bytes", ok=bytes_needed > 0
           and float(tensors["loss"]) == 0)
    # New weights come at the end of a long queue on this stream; so do update and loss.
    given = {name: w.clone() for name, w in old.items()}
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)
        for name, w in given.items():
            w.copy_(new[name])
        handle.update(given)
        handle.call(hidden, teacher, tensors["loss"], grad_hidden=tensors["grad_hidden"])()
        waited = stream.query()
    torch.cuda.synchronize()
    expected = reference(hidden, teacher, new, None, 1.0)
    report("update is work on the stream", limit=8e-3, ok=not waited,
           e_loss=abs(float(tensors["loss"]) - float(expected[0])),
           e_dh=error(tensors["grad_hidden"], expected[2]))
    handle.close()


def graphs_and_streams():
    generator = torch.Generator("cuda").manual_seed(4)
    weights = random_weights(512, 256, 1024, F32, "cuda", generator)
    handle = sl.Alignment(weights, BF16)

    def problem(i):
        hidden = torch.randn(2, 256, 512, generator=generator, device="cuda").to(BF16)
        teacher = torch.randn(2, 256, 1024, generator=generator, device="cuda").to(BF16)
        return hidden, teacher, torch.zeros(1, device="cuda"), torch.empty_like(hidden)

    problems = [problem(i) for i in range(4)]
    expected = []
    for h, t, loss, grad in problems:
        handle.call(h, t, loss, grad_hidden=grad)()
        torch.cuda.synchronize()
        expected.append((loss.clone(), grad.clone()))
        loss.zero_(), grad.zero_()
    streams = [torch.cuda.Stream() for _ in problems]
    torch.cuda.synchronize()
    for _ in range(5):
        for (h, t, loss, grad), stream in zip(problems, streams):
            handle.call(h, t, loss, grad_hidden=grad, stream=stream)()
    torch.cuda.synchronize()
    same = all(torch.equal(l, e[0]) and torch.equal(g, e[1])
               for (_, _, l, g), e in zip(problems, expected))
    report("four streams at once, the same bits", ok=same)

    h, t, loss, grad = problems[0]
    stream = torch.cuda.Stream()
    run = handle.call(h, t, loss, grad_hidden=grad)
    with torch.cuda.stream(stream):
        run()  # warm-up: scratch memory of this stream
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        run()
    h.copy_(problems[1][0]), t.copy_(problems[1][1]), loss.zero_(), grad.zero_()
    graph.replay()
    torch.cuda.synchronize()
    report("graph replay on new inputs, the same bits",
           ok=torch.equal(loss, expected[1][0]) and torch.equal(grad, expected[1][1]))
    handle.close()


def gemm_core(small):
    gemm = sl.probe_gemm()
    if gemm is None:
        print("skip the GEMM core: its probe library was not built")
        return
    sizes = [(128, 256, 64), (128, 128, 64), (128, 256, 64 * 13), (1, 8, 8), (207, 136, 200),
             (300, 520, 584)]
    sizes += [] if small else [(4096, 2048, 4096), (2048, 1024, 2048), (1111, 4096, 2048)]
    for dtype in (BF16, F32):
        # fp32: plain and, in place of Hopper's, through TF32. On Hopper results of 16 bits leave as
        # tiles, fp32 by rows.
        cases = [("portable", 0, F32)]
        cases += [("tf32", 0, F32)] if dtype == F32 else [
            ("", tile, out_dtype) for tile in (256, 128) for out_dtype in (F32, dtype)]
        for path, tile, out_dtype in cases:
            for a_mn, b_mn in ((False, False), (False, True), (True, True)):
                for m, n, k in sizes:
                    if dtype == F32 and m * n * k > 2 ** 31:
                        continue
                    m8, k8 = -(-m // 8) * 8, -(-k // 8) * 8
                    # Small integers: products and sums are exact.
                    a = torch.randint(-3, 4, (k, m8) if a_mn else (m, k8), device="cuda")
                    b = torch.randint(-3, 4, (k, n) if b_mn else (n, k8), device="cuda")
                    a, b = a.to(dtype), b.to(dtype)
                    out = torch.full((m, n), float("nan"), dtype=out_dtype, device="cuda")
                    gemm(a, b, out, m, n, k, a_mn, b_mn, path, tile)
                    torch.cuda.synchronize()
                    ad = a[:, :m].T if a_mn else a[:, :k]
                    bd = b.T if b_mn else b[:, :k]
                    expected = ad.double() @ bd.double().T
                    wrong = int((out.double() != expected.to(out_dtype).double()).sum())
                    shown = path or f"hopper tile {tile} to {str(out_dtype)[6:]}"
                    report(f"gemm {str(dtype)[6:]} {shown} A {'km' if a_mn else 'mk'} "
                           f"B {'kn' if b_mn else 'nk'} {m}x{n}x{k}",
                           ok=wrong == 0, wrong=wrong)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out")
    args = parser.parse_args()
    capability = sl.capabilities()
    if not capability.available:
        raise SystemExit("CUDA backend unavailable: " + capability.unavailability_cause.decode())
    torch.backends.cuda.matmul.allow_tf32 = False
    for stage in (lambda: gemm_core(args.small), lambda: alignment(args.small), special_values,
                  update_and_workspace, graphs_and_streams, *verify_lora.stages(report, args.small),
                  *verify_adamw.stages(report, args.small)):
        try:
            stage()
        except Exception as problem:  # a stage that dies is a failure, not the end of the others
            report(f"stage: {type(problem).__name__}: {problem}", ok=False)
    failed = [r for r in RESULTS if not r["passed"]]
    print(f"{len(RESULTS)} cases, {len(failed)} failed")
    if args.out:
        with open(args.out, "w") as file:
            json.dump(RESULTS, file, indent=1)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
