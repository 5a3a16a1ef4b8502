"""sightline.py against compositions of torch's own operators in fp64, on CPU and CUDA.

    PYTHONPATH=<folder of sightline.py and its library> python3 test_operators.py
    exit code 77: no PyTorch 2.10 here, skipped
"""

import os
import subprocess
import sys
import tempfile

SKIPPED = 77
try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("SKIPPED: no PyTorch here")
    sys.exit(SKIPPED)
if tuple(int(v) for v in torch.__version__.split(".")[:2]) < (2, 10):
    print(f"SKIPPED: torch {torch.__version__}, expected 2.10 or later")
    sys.exit(SKIPPED)

import sightline

ops = torch.ops.sightline
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 8e-3}
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


def close(name, found, expected, tolerance):
    expected = expected.double()
    error = ((found.double() - expected).norm() / expected.norm().clamp_min(1e-30)).item()
    assert error <= tolerance, f"{name}: relative error {error}, tolerance {tolerance}"


def refused(part, call):
    try:
        call()
    except (ValueError, RuntimeError) as error:
        assert part in str(error), f"{error} lacks {part!r}"
        return type(error)
    raise AssertionError(f"not refused: {part}")


def make_projector(device, dtype, trainable=False):
    module = torch.nn.Sequential(
        torch.nn.LayerNorm(65), torch.nn.Linear(65, 32), torch.nn.SiLU(), torch.nn.Linear(32, 32),
        torch.nn.SiLU(), torch.nn.Linear(32, 16)).to(device, dtype)
    return module.requires_grad_(trainable)


def textbook(module, hidden, teacher, weight):
    z = module(hidden)
    cosine = (F.normalize(z, dim=-1, eps=1e-12) * F.normalize(teacher, dim=-1, eps=1e-12)).sum(-1)
    return -(cosine.mean() if weight is None else (cosine * weight).sum() / weight.sum())


def double(module):
    import copy

    return copy.deepcopy(module).double()


def test_alignment(device, dtype):
    for trainable in (False, True):
        module = make_projector(device, dtype, trainable)
        projector = sightline.Projector.from_module(module, trainable=trainable)
        for weighted in (False, True):
            hidden = torch.randn(3, 11, 65, device=device, dtype=dtype, requires_grad=True)
            teacher = torch.randn(3, 7, 16, device=device, dtype=dtype)
            weight = torch.rand(3, 7, device=device) if weighted else None
            loss = sightline.alignment_loss(projector, hidden, teacher, weight, first_token=2)
            module.zero_grad()
            (0.2 * loss).backward()
            wide = hidden.detach().double().requires_grad_()
            reference = double(module)
            expected = textbook(reference, wide[:, 2:9], teacher.double(),
                                weight.double() if weighted else None)
            reference.zero_grad()
            (0.2 * expected).backward()
            assert abs(loss.item() - expected.item()) <= TOLERANCE[dtype], (loss, expected)
            # bf16: the scaled gradient is rounded once more, to 2^-9.
            close("dh", hidden.grad, wide.grad, TOLERANCE[dtype] + 2e-3 * (dtype != torch.float32))
            if trainable:
                for (name, p), q in zip(module.named_parameters(), reference.parameters()):
                    close(name, p.grad, q.grad, 2 * TOLERANCE[dtype])
    with torch.no_grad():
        sightline.alignment_loss(projector, hidden, teacher)


def test_lora(device, dtype):
    for shape in ((5, 31), (2, 5, 31), (2, 3, 5, 31)):
        x = torch.randn(shape, device=device, dtype=dtype, requires_grad=True)
        w = torch.randn(16, 31, device=device, dtype=dtype) / 6
        bias = torch.randn(16, device=device, dtype=dtype)
        a = (torch.randn(4, 31, device=device) / 6).requires_grad_()
        b = torch.randn(16, 4, device=device).requires_grad_()
        x64, a64, b64 = (t.detach().double().requires_grad_() for t in (x, a, b))
        expected = x64 @ w.double().T + bias.double() + 1.5 * (x64 @ a64.T) @ b64.T
        dy = torch.randn(shape[:-1] + (16,), device=device, dtype=dtype)
        expected.backward(dy.double())
        base = (x.detach() @ w.T + bias).detach()
        for name, call in (("linear", lambda: sightline.lora_linear(x, w, bias, a, b, 1.5)),
                           ("delta", lambda: sightline.lora_delta(x @ w.T + bias, x, a, b, 1.5)),
                           ("linears", lambda: sightline.lora_linears(
                               x, [w, w], [bias, None], [a, a], [b, b], [1.5, 1.5])[0])):
            x.grad = a.grad = b.grad = None
            y = call()
            close(f"y of {name}", y, expected, 2 * TOLERANCE[dtype])
            y.backward(dy)
            for t, t64, what in ((x, x64, "dx"), (a, a64, "da"), (b, b64, "db")):
                close(f"{what} of {name}", t.grad, t64.grad, 2 * TOLERANCE[dtype])
        assert base.shape == y.shape
    y = sightline.lora_linear(x, w, bias, a, b, 1.5)
    x.grad = None
    y.sum().backward()  # an expanded gradient
    assert x.grad is not None
    torch.manual_seed(3)
    dropped = sightline.lora_linear(x, w, bias, a, b, 1.5, dropout=0.5)
    torch.manual_seed(3)
    assert torch.equal(dropped, sightline.lora_linear(x, w, bias, a, b, 1.5, dropout=0.5))
    assert not torch.equal(dropped, y)


def test_opcheck(device, dtype):
    x = torch.randn(5, 31, device=device, dtype=dtype, requires_grad=True)
    w = torch.randn(16, 31, device=device, dtype=dtype)
    a = torch.randn(4, 31, device=device, requires_grad=True)
    b = torch.randn(16, 4, device=device, requires_grad=True)
    torch.library.opcheck(ops.lora_linear.default, (x, w, None, a, b, 0.5, 0.0, 0))
    y = torch.randn(5, 16, device=device, dtype=dtype, requires_grad=True)
    torch.library.opcheck(ops.lora_delta.default, (y, x, a, b, 0.5, 0.0, 0))
    torch.library.opcheck(ops.lora_delta_.default, tuple(
        t.detach() for t in (y, x, a, b)) + (0.5, 0.0, 0))
    torch.library.opcheck(ops.lora_merge_.default, (
        w, a.detach().to(w.dtype), b.detach().to(w.dtype), 0.5, False, 0))
    projector = sightline.Projector.from_module(make_projector(device, dtype))
    hidden = torch.randn(2, 3, 65, device=device, dtype=dtype, requires_grad=True)
    teacher = torch.randn(2, 3, 16, device=device, dtype=dtype)
    torch.library.opcheck(ops.alignment_loss.default,
                          (projector.handle, hidden, teacher, None, True))


def test_compile(device, dtype):
    projector = sightline.Projector.from_module(make_projector(device, dtype))
    layer = sightline.LoraLinear(torch.nn.Linear(31, 65), 4, 8).to(device, dtype)
    torch.nn.init.normal_(layer.lora_B)
    x = torch.randn(2, 5, 31, device=device, dtype=dtype)
    teacher = torch.randn(2, 3, 16, device=device, dtype=dtype)

    def step(x):
        return 0.2 * sightline.alignment_loss(projector, torch.tanh(layer(x)), teacher, None, 1)

    grads = []
    for run in (step, torch.compile(step, fullgraph=True)):
        layer.zero_grad()
        run(x).backward()
        grads.append([layer.lora_A.grad.clone(), layer.lora_B.grad.clone()])
    for eager, compiled in zip(*grads):
        close("compiled gradient", compiled, eager, 2 * TOLERANCE[dtype])


def test_adamw(device, dtype, remainder=False):
    ours = [torch.randn(31, 7, device=device, dtype=dtype), torch.randn(5, device=device,
                                                                      dtype=dtype)]
    theirs = [p.float().clone().requires_grad_() for p in ours]
    ours = [p.clone().requires_grad_() for p in ours]
    mine = sightline.AdamW(ours, lr=1e-2, weight_decay=0.1, max_grad_norm=1.0,
                           remainder=remainder)
    reference = torch.optim.AdamW(theirs, lr=1e-2, weight_decay=0.1)
    for step in range(4):
        for p, q in zip(ours, theirs):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.float()
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        mine.step()
        reference.step()
        if step == 1:  # through a checkpoint
            state = mine.state_dict()
            mine = sightline.AdamW(ours, lr=1e-2, weight_decay=0.1, max_grad_norm=1.0,
                                   remainder=remainder)
            mine.load_state_dict(state)
        for p, q in zip(ours, theirs):
            close("parameter", p.detach(), q.detach(), TOLERANCE[dtype])
    state = mine.state_dict()["state"][0]
    assert state["step"] == 4
    if dtype == torch.bfloat16:
        assert ("remainder" in state) == remainder and ("master" in state) != remainder


def test_adamw_remainder(device, dtype):
    test_adamw(device, dtype, remainder=True)


def test_bad_input(device, dtype):
    x = torch.randn(5, 31, device=device, dtype=dtype)
    w = torch.randn(16, 31, device=device, dtype=dtype)
    a, b = torch.randn(4, 30, device=device), torch.randn(16, 4, device=device)
    kind = refused("linears[0].a", lambda: sightline.lora_linear(x, w, None, a, b, 1.0))
    assert kind is ValueError, kind
    refused("linears[0].a", lambda: sightline.lora_linear(
        x, w, None, torch.randn(4, 31, device=device).half(), b, 1.0))
    projector = sightline.Projector.from_module(make_projector(device, dtype))
    h, t = torch.randn(1, 4, 65, device=device), torch.randn(1, 2, 16, device=device)
    refused("first_token: 3, expected 0 to 2",
            lambda: sightline.alignment_loss(projector, h, t, None, 3))
    refused("live handle", lambda: ops.alignment_loss(12345, h, t[:, :, :], None, True))
    refused("expected a LayerNorm", lambda: sightline.Projector.from_module(torch.nn.Linear(2, 2)))


def test_peft(device, dtype):
    try:
        import peft
    except ImportError:
        print("  skipped: no PEFT here")
        return
    torch.manual_seed(5)
    model = torch.nn.Sequential(torch.nn.Linear(31, 24), torch.nn.SiLU(), torch.nn.Linear(24, 16))
    model = peft.get_peft_model(model.to(device, dtype), peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["0", "2"]))
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    x = torch.randn(5, 31, device=device, dtype=dtype)
    names = list(model.state_dict())
    before = model(x)
    before.float().pow(2).sum().backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    assert sightline.apply_lora(model) == 2 and sightline.apply_lora(model) == 2
    calls = []
    linear, sightline.lora_linear = sightline.lora_linear, lambda *args: (
        calls.append(1), linear(*args))[1]
    after = model(x)
    sightline.lora_linear = linear
    assert len(calls) == 2, "PEFT's layers do not call our operator"
    close("peft y", after, before.detach(), 3 * TOLERANCE[dtype])
    after.float().pow(2).sum().backward()
    for name, p in model.named_parameters():
        if name in grads:
            close(name, p.grad, grads[name], 4 * TOLERANCE[dtype])
    assert list(model.state_dict()) == names
    with model.disable_adapter():
        model(x)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        assert os.path.exists(os.path.join(folder, "adapter_model.safetensors"))
    merged = model.merge_and_unload()
    close("merged", merged(x), after.detach(), 4 * TOLERANCE[dtype])


def test_example(device, dtype):
    if device != "cpu" or dtype != torch.float32:
        return
    here = os.path.dirname(os.path.abspath(__file__))
    script = os.path.join(here, "..", "..", "examples", "python", "align_torch.py")
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    losses = [float(line.split()[-1]) for line in run.stdout.splitlines()]
    assert len(losses) == 50 and losses[-1] < losses[0] - 0.01, losses


def main():
    failed = 0
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    for device in DEVICES:
        for dtype in TOLERANCE:
            for name, test in tests:
                torch.manual_seed(7)
                try:
                    test(device, dtype)
                    print(f"ok   {name} {device} {dtype}")
                except Exception as error:  # noqa: BLE001: all are reported, then counted
                    failed += 1
                    print(f"FAIL {name} {device} {dtype}: {type(error).__name__}: {error}")
    print(f"torch {torch.__version__}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
