"""The operators against compositions of torch's own in fp64, gradcheck, opcheck; what they refuse."""

import copy
import os
import subprocess
import sys
import unittest

from harness import TOLERANCE, close, everywhere, main, make_projector, refused
import sightline
import torch
import torch.nn.functional as F

ops = torch.ops.sightline


def textbook(module, hidden, teacher, weight):
    z = module(hidden)
    cosine = (F.normalize(z, dim=-1, eps=1e-12) * F.normalize(teacher, dim=-1, eps=1e-12)).sum(-1)
    return -(cosine.mean() if weight is None else (cosine * weight).sum() / weight.sum())


def lora_inputs(shape, device, dtype):
    """x, frozen weight and bias, fp32 adapter: N, K, r = 16, 31, 4."""
    x = torch.randn(shape, device=device, dtype=dtype, requires_grad=True)
    weight = torch.randn(16, 31, device=device, dtype=dtype) / 6
    bias = torch.randn(16, device=device, dtype=dtype)
    a = (torch.randn(4, 31, device=device) / 6).requires_grad_()
    return x, weight, bias, a, torch.randn(16, 4, device=device, requires_grad=True)


class Values(unittest.TestCase):
    @everywhere
    def test_alignment(self, device, dtype):
        for trainable in (False, True):
            module = make_projector(device, dtype).requires_grad_(trainable)
            projector = sightline.Projector.from_module(module, trainable=trainable)
            for weighted in (False, True):
                hidden = torch.randn(3, 11, 65, device=device, dtype=dtype, requires_grad=True)
                teacher = torch.randn(3, 7, 16, device=device, dtype=dtype)
                weight = torch.rand(3, 7, device=device) if weighted else None
                loss = sightline.alignment_loss(projector, hidden, teacher, weight, first_token=2)
                module.zero_grad()
                (0.2 * loss).backward()
                wide = hidden.detach().double().requires_grad_()
                reference = copy.deepcopy(module).double()
                expected = textbook(reference, wide[:, 2:9], teacher.double(),
                                    weight.double() if weighted else None)
                reference.zero_grad()
                (0.2 * expected).backward()
                self.assertLessEqual(abs(loss.item() - expected.item()), TOLERANCE[dtype])
                # bf16: the scaled gradient is rounded once more, to 2^-9.
                rounding = 2e-3 * (dtype != torch.float32)
                close("dh", hidden.grad, wide.grad, TOLERANCE[dtype] + rounding)
                if trainable:
                    for (name, p), q in zip(module.named_parameters(), reference.parameters()):
                        close(name, p.grad, q.grad, 2 * TOLERANCE[dtype])
            with torch.no_grad():
                again = sightline.alignment_loss(projector, hidden, teacher, weight, first_token=2)
            self.assertEqual(again, loss)

    @everywhere
    def test_projectors(self, device, dtype):
        if device == "cuda":
            self.skipTest("the CUDA backend has BlindVLA's projector alone")
        nn = torch.nn
        for module in (
                # REPA's build_mlp; VIRAL's is the same with other widths.
                nn.Sequential(nn.Linear(65, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(),
                              nn.Linear(48, 16)),
                nn.Linear(65, 16, bias=False),
                nn.Sequential(nn.RMSNorm(65), nn.Linear(65, 32), nn.GELU("tanh"),
                              nn.Linear(32, 16)),
                nn.Sequential(nn.LayerNorm(65, elementwise_affine=False), nn.Linear(65, 40),
                              nn.GELU(), nn.Linear(40, 24), nn.GELU(), nn.Linear(24, 32),
                              nn.GELU(), nn.Linear(32, 16, bias=False))):
            module = module.to(device, dtype)
            hidden = torch.randn(3, 7, 65, device=device, dtype=dtype, requires_grad=True)
            teacher = torch.randn(3, 7, 16, device=device, dtype=dtype)
            projector = sightline.Projector.from_module(module, trainable=True)
            loss = sightline.alignment_loss(projector, hidden, teacher)
            loss.backward()
            wide = hidden.detach().double().requires_grad_()
            reference = copy.deepcopy(module).double()
            reference.zero_grad()
            expected = textbook(reference, wide, teacher.double(), None)
            expected.backward()
            # Narrow layers: twelve roundings to bf16 do not average as they do over wide ones.
            bound = 10 / 256 if dtype == torch.bfloat16 else 1e-5
            self.assertLessEqual(abs(loss.item() - expected.item()), bound)
            close("dh", hidden.grad, wide.grad, bound)
            for (name, p), q in zip(module.named_parameters(), reference.parameters()):
                close(name, p.grad, q.grad, bound)
            frozen = sightline.Projector.from_module(module)
            self.assertEqual(sightline.alignment_loss(frozen, hidden.detach(), teacher), loss)

    @everywhere
    def test_losses(self, device, dtype):
        if device == "cuda":
            self.skipTest("the CUDA backend has the cosine alone")

        def unit(x):
            return F.normalize(x, dim=-1, eps=1e-12)

        def spatial(t):
            return (t - t.mean(1, keepdim=True)) / (t.std(1, keepdim=True) + 1e-6)

        def infonce(z, t, allowed):
            scores = unit(z).flatten(0, 1) @ unit(t).flatten(0, 1).T / 0.2
            own = torch.eye(len(scores), dtype=torch.bool)
            scores = scores.masked_fill(~(allowed | own), -torch.inf)
            return F.cross_entropy(scores, torch.arange(len(scores)))

        image = torch.arange(3 * 7) // 7
        same = image[:, None] == image[None, :]
        cases = [
            (dict(loss="l2"), lambda z, t: F.mse_loss(z, t)),
            (dict(loss="l2", normalize=True), lambda z, t: F.mse_loss(unit(z), unit(t))),
            (dict(loss="smooth_l1", beta=0.5), lambda z, t: F.smooth_l1_loss(z, t, beta=0.5)),
            (dict(loss="smooth_l1", beta=0.1, normalize=True),
             lambda z, t: F.smooth_l1_loss(unit(z), unit(t), beta=0.1)),
            (dict(teacher_norm="spatial"), lambda z, t: -(unit(z) * unit(spatial(t))).sum(-1).mean()),
            (dict(loss="infonce", temperature=0.2), lambda z, t: infonce(z, t, same | ~same)),
            (dict(loss="infonce", temperature=0.2, negatives="image"),
             lambda z, t: infonce(z, t, same)),
            (dict(loss="infonce", temperature=0.2, negatives="others"),
             lambda z, t: infonce(z, t, ~same)),
            (dict(loss="infonce", temperature=0.2, false_negatives=0.3),
             lambda z, t: infonce(z, t, (lambda u: u @ u.T <= 0.3)(unit(t).flatten(0, 1))))]
        for trainable in (False, True):
            module = make_projector(device, dtype).requires_grad_(trainable)
            projector = sightline.Projector.from_module(module, trainable=trainable)
            for options, textbook_of in cases:
                hidden = torch.randn(3, 7, 65, device=device, dtype=dtype, requires_grad=True)
                teacher = torch.randn(3, 7, 16, device=device, dtype=dtype)
                module.zero_grad()
                loss = sightline.alignment_loss(projector, hidden, teacher, **options)
                loss.backward()
                wide = hidden.detach().double().requires_grad_()
                reference = copy.deepcopy(module).double()
                reference.zero_grad()
                expected = textbook_of(reference(wide), teacher.double())
                expected.backward()
                bound = 1e-5 if dtype == torch.float32 else 20 / 256  # narrow layers
                self.assertLessEqual(abs(loss.item() - expected.item()),
                                     bound * max(1, abs(expected.item())))
                close(f"dh of {options}", hidden.grad, wide.grad, bound)
                if trainable:
                    for (name, p), q in zip(module.named_parameters(), reference.parameters()):
                        close(f"{name} of {options}", p.grad, q.grad, bound)

    @everywhere
    def test_lora(self, device, dtype):
        for shape in ((5, 31), (31,), (2, 5, 31), (2, 3, 5, 31)):
            x, w, bias, a, b = lora_inputs(shape, device, dtype)
            x64, a64, b64 = (t.detach().double().requires_grad_() for t in (x, a, b))
            expected = x64 @ w.double().T + bias.double() + 1.5 * (x64 @ a64.T) @ b64.T
            dy = torch.randn(shape[:-1] + (16,), device=device, dtype=dtype)
            expected.backward(dy.double())
            for name, call in (
                    ("linear", lambda: sightline.lora_linear(x, w, bias, a, b, 1.5)),
                    ("delta", lambda: sightline.lora_delta(x @ w.T + bias, x, a, b, 1.5)),
                    ("linears", lambda: sightline.lora_linears(
                        x, [w, w], [bias, None], [a, a], [b, b], [1.5, 1.5])[0])):
                x.grad = a.grad = b.grad = None
                y = call()
                self.assertEqual(y.shape, shape[:-1] + (16,))
                close(f"y of {name}", y, expected, 2 * TOLERANCE[dtype])
                y.backward(dy)
                for t, t64, what in ((x, x64, "dx"), (a, a64, "da"), (b, b64, "db")):
                    close(f"{what} of {name}", t.grad, t64.grad, 2 * TOLERANCE[dtype])

    @everywhere
    def test_layouts(self, device, dtype):
        x, w, bias, a, b = lora_inputs((6, 31), device, dtype)
        plain = sightline.lora_linear(x, w, bias, a, b, 1.5)
        turned = x.detach().T.contiguous().T.requires_grad_()  # no contiguous rows
        y = sightline.lora_linear(turned, w, bias, a, b, 1.5)
        self.assertTrue(torch.equal(y, plain))
        plain.sum().backward()  # an expanded gradient
        y.sum().backward()
        self.assertTrue(torch.equal(turned.grad, x.grad))
        nothing = sightline.lora_linear(x[:0], w, bias, a, b, 1.5)
        self.assertEqual(nothing.shape, (0, 16))
        nothing.sum().backward()

    @everywhere
    def test_writes_are_counted(self, device, dtype):
        # What backward needs and somebody has overwritten since is an error, not a wrong gradient.
        x, w, _, a, b = (t.detach() for t in lora_inputs((5, 31), device, dtype))
        y = torch.zeros(5, 16, device=device, dtype=dtype)
        p = torch.nn.Parameter(a.clone())
        optimizer = sightline.AdamW([p])
        p.grad = torch.ones_like(p)
        for written, call in (
                (y, lambda: torch.ops.sightline.lora_delta_(y, x, a, b, 0.5)),
                (w, lambda: torch.ops.sightline.lora_merge_(w, a, b, 0.5)),
                (w, lambda: torch.ops.sightline.lora_unmerge_(w, a, b, 0.5, False, 0)),
                (p, optimizer.step)):
            before, product = written._version, torch.ones((), requires_grad=True) * written
            call()
            self.assertEqual(written._version, before + 1)
            with self.assertRaisesRegex(RuntimeError, "modified by an inplace operation"):
                product.sum().backward()

    def test_follows_tf32_of_torch(self):
        matmul, given = torch.backends.cuda.matmul, []
        before, library = matmul.fp32_precision, sightline._library.library
        sightline._library.library = type("", (), {"sl_torch_set_fp32_precision": given.append})
        try:
            for precision in ("tf32", "ieee"):
                matmul.fp32_precision = precision
                sightline.lora_linear(*lora_inputs((2, 31), "cpu", torch.float32), 1.5)
        finally:
            sightline._library.library, matmul.fp32_precision = library, before
        self.assertEqual(given, [1, 0])


class Dropout(unittest.TestCase):
    @everywhere
    def test_mask(self, device, dtype):
        # x of ones through identities shows the mask, and its gradient has to be the same one.
        x = torch.ones(64, 64, device=device, dtype=dtype, requires_grad=True)
        one, zero = torch.eye(64, device=device), torch.zeros(64, 64, device=device, dtype=dtype)
        for call in (lambda p: sightline.lora_linear(x, zero, None, one, one, 1.0, p),
                     lambda p: sightline.lora_delta(zero, x, one, one, 1.0, p),
                     lambda p: sightline.lora_linears(x, [zero], [None], [one], [one], [1.0], p)[0]):
            torch.manual_seed(3)
            y = call(0.25)
            kept = y != 0
            self.assertTrue(torch.equal(y[kept], torch.full_like(y[kept], 1 / 0.75)))
            # 4096 draws: 5 standard deviations are 0.034
            self.assertLess(abs(kept.double().mean().item() - 0.75), 0.034)
            x.grad = None
            y.sum().backward()
            self.assertTrue(torch.equal(x.grad, y))
            self.assertFalse(torch.equal(call(0.25), y))
            torch.manual_seed(3)
            self.assertTrue(torch.equal(call(0.25), y))
        masks = sightline.lora_linears(x, [zero] * 2, [None] * 2, [one] * 2, [one] * 2, [1.0] * 2,
                                       0.25)
        self.assertFalse(torch.equal(*masks), "q, k and v share a mask")

    def test_projector(self):
        module = make_projector(dropout=0.3)
        hidden, teacher = torch.randn(2, 3, 65), torch.randn(2, 3, 16)
        projector = sightline.Projector.from_module(module, trainable=True)

        def losses():
            torch.manual_seed(3)
            return [sightline.alignment_loss(projector, hidden, teacher).item() for _ in range(2)]

        first, second = losses()
        self.assertNotEqual(first, second)
        self.assertEqual(losses(), [first, second])
        projector.training = False
        first, second = losses()
        self.assertEqual(first, second)
        self.assertAlmostEqual(first, textbook(module.eval(), hidden, teacher, None).item(), 5)


class Checks(unittest.TestCase):
    def test_gradcheck(self):
        # In fp32, which the kernels compute in; gradcheck asks for fp64 for the sake of small steps.
        # LoRA is linear in each input: central differences are exact for any step, so that one of
        # 0.1 leaves 1e-6 of rounding alone. The loss is smooth: one of 0.01 leaves 1e-4 of both.
        torch.manual_seed(7)
        x, w, bias, a, b = lora_inputs((6, 31), "cpu", torch.float32)
        w, bias = w.requires_grad_(), bias.requires_grad_()
        y = torch.randn(6, 16, requires_grad=True)
        one, two = torch.tensor(5), torch.tensor([5, 6])
        frozen = w.detach()
        for call, inputs in (
                (lambda *t: sightline.lora_linear(*t, 0.5), (x, w, bias, a, b)),
                (lambda *t: ops.lora_linear.tensor_seed(*t, 0.5, 0.3, one)[0], (x, w, bias, a, b)),
                (lambda *t: sightline.lora_delta(*t, 0.5), (y, x, a, b)),
                (lambda *t: ops.lora_delta.tensor_seed(*t, 0.5, 0.3, one)[0], (y, x, a, b)),
                (lambda x, a, b: tuple(ops.lora_linears.tensor_seed(
                    x, [frozen, 2 * frozen], [None, None], [a, 2 * a], [b, -b], [0.5, 0.7], 0.3,
                    two)[0]), (x, a, b))):
            torch.autograd.gradcheck(call, inputs, eps=0.1, atol=1e-4, rtol=1e-4)
        module = make_projector(dropout=0.3)
        hidden, teacher = torch.randn(2, 2, 65, requires_grad=True), torch.randn(2, 2, 16)
        projector = sightline.Projector.from_module(module)
        torch.autograd.gradcheck(lambda h: 10 * sightline.alignment_loss(projector, h, teacher),
                                 (hidden,), eps=1e-2, atol=1e-3, rtol=1e-3)
        trained = sightline.Projector.from_module(module, trainable=True)
        torch.autograd.gradcheck(
            lambda h, *parameters: 10 * ops.alignment_loss_trainable.tensor_seed(
                trained.handle, h, teacher, None, parameters, True, one)[0],
            (hidden, *trained.parameters), eps=1e-2, atol=1e-3, rtol=1e-3)

    @everywhere
    def test_opcheck(self, device, dtype):
        x, w, bias, a, b = lora_inputs((5, 31), device, dtype)
        y = torch.randn(5, 16, device=device, dtype=dtype, requires_grad=True)
        hidden = torch.randn(2, 3, 65, device=device, dtype=dtype, requires_grad=True)
        teacher = torch.randn(2, 3, 16, device=device, dtype=dtype)
        module = make_projector(device, dtype, 0.3)
        frozen = sightline.Projector.from_module(module)
        trained = sightline.Projector.from_module(module, trainable=True)
        flat = [t.detach() for t in (y, x, w, a, b)]
        s = ops.lora_linear(x, w, None, a, b, 0.5)[1]
        lists = [[w, w], [bias, None], [a, a], [b, b], [0.5, 0.7]]
        calls = [
            (ops.lora_delta_.default, (*flat[:2], *flat[3:], 0.5, 0.0, 0)),
            (ops.lora_merge_.default, (flat[2], flat[3], flat[4], 0.5, False, 0)),
            (ops.lora_unmerge_.default, (flat[2], flat[3], flat[4], 0.5, False, 0)),
            (ops.alignment_loss.default, (frozen.handle, hidden, teacher, None, True)),
            (ops.alignment_loss.default, (frozen.handle, flat[0].new_zeros(2, 3, 65), teacher,
                                          torch.rand(2, 3, device=device), False))]
        for seed, seeds, kind in ((3, [3, 4], "default"),
                                  (torch.tensor(3), torch.tensor([3, 4]), "tensor_seed")):
            calls += [(getattr(op, kind), arguments) for op, arguments in (
                (ops.lora_linear, (x, w, None, a, b, 0.5, 0.3, seed)),
                (ops.lora_delta, (y, x, a, b, 0.5, 0.3, seed)),
                (ops.lora_linears, (x, *lists, 0.3, seeds)),
                (ops.lora_linears, (x, lists[0], [bias, bias], *lists[2:], 0.3, seeds)),
                (ops.lora_linear_backward, (*flat, s, 0.5, 0.3, seed, True, False)),
                (ops.lora_linear_backward, (*flat, s, 0.5, 0.3, seed, False, True)),
                (ops.lora_linears_backward, ([flat[0]], flat[1], [flat[2]], [flat[3]], [flat[4]],
                                             [s], [0.5], 0.3, seeds[:1], True, True)),
                (ops.alignment_loss_trainable, (trained.handle, hidden, teacher, None,
                                                trained.parameters, True, seed)))]
        for op, arguments in calls:
            torch.library.opcheck(op, arguments)

    @everywhere
    def test_bad_input(self, device, dtype):
        x, w, _, a, b = lora_inputs((5, 31), device, dtype)
        linear = sightline.lora_linear
        refused("linears[0].a", lambda: linear(x, w, None, a[:, :30], b, 1.0))
        refused("linears[0].a", lambda: linear(x, w, None, a.double(), b, 1.0))
        refused("dropout", lambda: linear(x, w, None, a, b, 1.0, 1.5))
        refused("expected frozen", lambda: sightline.lora_linears(x, [a], [None], [a], [b], [1.0]))
        for seed, part in ((torch.tensor(1.5), "seed: 0 dimensions, torch's dtype 6"),
                           (torch.tensor([[1]]), "seed: 2 dimensions"),
                           (torch.tensor([1, 2]), "seed: 2 elements, expected 1")):
            refused(part, lambda: ops.lora_linear.tensor_seed(x, w, None, a, b, 1.0, 0.5, seed))
        if device == "cuda":
            refused("seed: a tensor on cuda", lambda: ops.lora_linear.tensor_seed(
                x, w, None, a, b, 1.0, 0.5, torch.tensor(3, device=device)))
        refused("seed: 2 items, expected 1", lambda: ops.lora_linears.tensor_seed(
            x, [w], [None], [a], [b], [1.0], 0.5, torch.tensor([1, 2])))
        projector = sightline.Projector.from_module(make_projector(device, dtype))
        h = torch.randn(1, 4, 65, device=device, requires_grad=True)
        t = torch.randn(1, 2, 16, device=device)
        loss = sightline.alignment_loss
        refused("first_token: 3, expected 0 to 2", lambda: loss(projector, h, t, None, 3))
        refused("2 and 3 dimensions", lambda: loss(projector, h[0], t))
        refused("loss: 'l3', expected one of ['cosine',", lambda: loss(projector, h, t, loss="l3"))
        refused("loss_desc.temperature: 0, expected",
                lambda: loss(projector, h, t, loss="infonce", temperature=0.0))
        refused("expected at least 2 (SL_LOSS_INFONCE)", lambda: loss(
            projector, h[:1], t[:1], loss="infonce", negatives="others"))
        refused("live handle", lambda: ops.alignment_loss(12345, h, t[:, :, :], None, True))
        refused("gradient=False", lambda: ops.alignment_loss(
            projector.handle, h[:, :2], t, None, False)[0].backward(), RuntimeError)
        y = linear(x, w, None, a, b, 1.0)
        for value in (y.float().sum(), loss(projector, h, t)):
            refused("no second derivatives", lambda: torch.autograd.grad(
                value, a if value.grad_fn.name().startswith("Sum") else h, create_graph=True),
                RuntimeError)


class Example(unittest.TestCase):
    def test_loss_falls(self):
        here = os.path.dirname(os.path.abspath(__file__))
        script = os.path.join(here, "..", "..", "examples", "python", "align_torch.py")
        run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
        losses = [float(line.split()[-1]) for line in run.stdout.splitlines()]
        self.assertEqual(len(losses), 50)
        self.assertLess(losses[-1], losses[0] - 0.01)


if __name__ == "__main__":
    main()
