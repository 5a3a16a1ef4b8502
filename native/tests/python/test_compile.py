"""torch.compile without a graph break, gradient checkpointing, autocast, copies and pickles."""

import copy
import io
import pickle
import unittest

from harness import TOLERANCE, close, everywhere, main, make_projector, refused
import sightline
import torch
from torch.utils.checkpoint import checkpoint


def layer_and_projector(device, dtype, dropout=0.0, trainable=False):
    layer = sightline.LoraLinear(torch.nn.Linear(31, 65), 4, 8, dropout).to(device, dtype)
    torch.nn.init.normal_(layer.lora_B, std=0.3)
    module = make_projector(device, dtype, dropout)
    return layer, module, sightline.Projector.from_module(module, trainable=trainable)


def gradients(call, parameters):
    torch.manual_seed(3)
    loss = call()
    return [loss.detach(), *torch.autograd.grad(loss, parameters)]


def slope(call, parameter, direction):
    """Of call() along a direction, by central differences with the same random numbers."""
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter += sign * direction
        torch.manual_seed(3)
        values.append(call().item())
        with torch.no_grad():
            parameter -= sign * direction
    return (values[0] - values[1]) / 2


class Compile(unittest.TestCase):
    def setUp(self):
        torch.compiler.reset()

    @everywhere
    def test_step(self, device, dtype):
        for trainable in (False, True):
            layer, module, projector = layer_and_projector(device, dtype, trainable=trainable)
            x = torch.randn(2, 5, 31, device=device, dtype=dtype)
            teacher = torch.randn(2, 3, 16, device=device, dtype=dtype)

            def step():
                a, b = layer.lora_A, layer.lora_B
                q, k = sightline.lora_linears(x.sin(), [layer.base.weight] * 2, [None] * 2,
                                              [a, -a], [b, 2 * b], [0.5, 0.7])
                hidden = sightline.lora_delta(torch.tanh(layer(x) + q * k), x, a, b, 0.1)
                return 0.2 * sightline.alignment_loss(projector, hidden, teacher, None, 1)

            parameters = [layer.lora_A, layer.lora_B, *(module.parameters() if trainable else ())]
            compiled = gradients(torch.compile(step, fullgraph=True), parameters)
            for found, expected in zip(compiled, gradients(step, parameters)):
                close("compiled", found, expected, 4 * TOLERANCE[dtype])

    def test_shapes_may_change(self):
        layer = sightline.LoraLinear(torch.nn.Linear(31, 16), 4, 8, dropout=0.5).eval()
        torch.nn.init.normal_(layer.lora_B)
        compiled = torch.compile(lambda x: layer(x).tanh(), fullgraph=True, dynamic=True)
        for rows in (3, 8, 13):
            x = torch.randn(rows, 31)
            close("y", compiled(x), layer(x).tanh(), 1e-5)

    def test_dropout_stays_in_the_graph(self):
        torch.manual_seed(7)
        for recompute in (False, True):
            layer, _, projector = layer_and_projector("cpu", torch.float32, 0.4, trainable=True)
            x, teacher = torch.randn(2, 5, 31), torch.randn(2, 5, 16)

            def forward():
                return sightline.alignment_loss(projector, layer(x.sin()).tanh(), teacher)

            def step():
                return checkpoint(forward, use_reentrant=False) if recompute else forward()

            compiled = torch.compile(step, fullgraph=True)
            first, *found = gradients(compiled, [layer.lora_A, layer.lora_B])
            self.assertEqual(gradients(compiled, [layer.lora_A])[0], first)
            self.assertNotEqual(compiled().item(), first.item(), "the mask is always the same")
            for parameter, gradient in zip((layer.lora_A, layer.lora_B), found):
                # Backward has forward's masks, so that the difference quotients agree.
                direction = gradient * 1e-2 / gradient.norm()
                expected = slope(compiled, parameter, direction)
                close("slope", (gradient * direction).sum(), torch.tensor(expected), 1e-2)

    def test_optimizer_in_a_compiled_step(self):
        layer = sightline.LoraLinear(torch.nn.Linear(31, 16), 4, 8)
        optimizer = sightline.AdamW([layer.lora_A, layer.lora_B], lr=1e-2)
        x = torch.randn(4, 31)

        @torch.compile
        def step():
            loss = layer(x).pow(2).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss

        losses = [step().item() for _ in range(4)]
        self.assertEqual(losses, sorted(losses, reverse=True))


class Checkpointing(unittest.TestCase):
    @everywhere
    def test_same_masks(self, device, dtype):
        layer, _, _ = layer_and_projector(device, dtype, dropout=0.4)
        x = torch.randn(6, 31, device=device, dtype=dtype, requires_grad=True)
        parameters = [x, layer.lora_A, layer.lora_B]
        expected = gradients(lambda: layer(x).float().pow(2).sum(), parameters)
        found = gradients(lambda: checkpoint(layer, x, use_reentrant=False).float().pow(2).sum(),
                          parameters)
        for one, other in zip(found, expected):
            self.assertTrue(torch.equal(one, other))


class Modules(unittest.TestCase):
    def test_autocast(self):
        layer, _, projector = layer_and_projector("cpu", torch.float32)
        x, teacher = torch.randn(2, 3, 31), torch.randn(2, 3, 16)
        expected = layer(x)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
            several = sightline.lora_linears(x, [layer.base.weight], [layer.base.bias],
                                             [layer.lora_A], [layer.lora_B], [layer.scale])[0]
            delta = sightline.lora_delta(layer.base(x), x, layer.lora_A, layer.lora_B, layer.scale)
        for result in (y, several, delta):
            self.assertEqual(result.dtype, torch.bfloat16)
            close("y", result, expected, TOLERANCE[torch.bfloat16])
        (y.float().sum() + sightline.alignment_loss(projector, y, teacher)).backward()
        self.assertEqual(layer.lora_A.grad.dtype, torch.float32)
        self.assertIsNone(layer.base.weight.grad)

    def test_lora_linear_is_peft_s(self):
        base = torch.nn.Linear(31, 16)
        layer = sightline.LoraLinear(base, 4, 8, dtype=torch.bfloat16)
        self.assertEqual((layer.scale, layer.lora_A.dtype), (2.0, torch.bfloat16))
        x = torch.randn(3, 31)
        close("at the start", layer(x), base(x), 1e-6)
        refused("rank: 0, expected at least 1", lambda: sightline.LoraLinear(base, 0, 8))
        refused("a ReLU, expected", lambda: sightline.LoraLinear(torch.nn.ReLU(), 4, 8))
        copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
        for other in copies:
            self.assertTrue(torch.equal(other(x), layer(x)))

    def test_projector_copies_live_on(self):
        module = make_projector()
        projector = sightline.Projector.from_module(module, trainable=True)
        projector.training = False
        hidden, teacher = torch.randn(2, 3, 65), torch.randn(2, 3, 16)
        loss = sightline.alignment_loss(projector, hidden, teacher)
        other, twin = copy.deepcopy((module, projector))
        file = io.BytesIO()
        torch.save(projector, file)
        file.seek(0)
        loaded = torch.load(file, weights_only=False)
        self.assertIs(twin.parameters[0], other[0].weight)
        old = projector.handle
        del projector  # frees its handle
        refused("live handle", lambda: torch.ops.sightline.alignment_loss(
            old, hidden, teacher, None, False))
        for one in (twin, loaded):
            self.assertFalse(one.training)
            self.assertEqual(sightline.alignment_loss(one, hidden, teacher), loss)

    def test_modules_that_are_no_projector(self):
        nn = torch.nn
        layers = list(make_projector())
        of = sightline.Projector.from_module
        refused("'LayerNorm', 'Linear', 'Tanh'",
                lambda: of(nn.Sequential(*layers[:2], nn.Tanh(), *layers[3:])))
        refused("'LayerNorm', 'Linear', 'Linear'", lambda: of(nn.Sequential(*layers[:2], layers[4])))
        refused("to four Linear", lambda: of(nn.Sequential(*[nn.Linear(2, 2), nn.ReLU()] * 4,
                                                           nn.Linear(2, 2))))
        refused("activations ['relu', 'silu']",
                lambda: of(nn.Sequential(*layers[:2], nn.ReLU(), *layers[3:])))
        refused("norm: 'batch', expected one of [None, 'layer', 'rms']",
                lambda: sightline.Projector([torch.ones(2, 2)], norm="batch"))
        half = nn.Sequential(*layers[:3], nn.Dropout(0.5), *layers[4:])
        refused("Dropout after each", lambda: of(half, trainable=True))
        uneven = nn.Sequential(*layers[:3], nn.Dropout(0.5), *layers[4:6], nn.Dropout(0.25),
                               layers[7])
        refused("dropout [0.25, 0.5]", lambda: of(uneven, trainable=True))
        self.assertEqual(of(uneven).dropout, 0.0)  # frozen: none
        for dtype in TOLERANCE:
            self.assertEqual(of(make_projector(dtype=dtype))._arguments[1],
                             dtype == torch.bfloat16)


if __name__ == "__main__":
    main()
