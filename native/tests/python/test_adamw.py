"""sightline.AdamW beside torch.optim.AdamW: values, schedules, scaling, state, copies, refusals."""

import copy
import io
import pickle
import unittest

from harness import TOLERANCE, close, everywhere, main, refused
import sightline
import torch


def pair(device="cpu", dtype=torch.float32, **options):
    """Two parameters for ours, fp32 copies for theirs, both optimizers."""
    ours = [torch.randn(*shape, device=device).to(dtype).requires_grad_() for shape in ((31, 7), (5,))]
    theirs = [p.detach().float().clone().requires_grad_() for p in ours]
    return (ours, theirs, sightline.AdamW(ours, lr=1e-2, weight_decay=0.1, **options),
            torch.optim.AdamW(theirs, lr=1e-2, weight_decay=0.1))


def set_gradients(ours, *others):
    for i, p in enumerate(ours):
        p.grad = torch.randn_like(p)
        for other in others:
            other[i].grad = p.grad.to(other[i].dtype, copy=True)


def same(ours, theirs, tolerance=1e-6):
    for p, q in zip(ours, theirs):
        close("parameter", p, q, tolerance)


class AdamW(unittest.TestCase):
    @everywhere
    def test_steps(self, device, dtype):
        for remainder in (False, True):
            ours, theirs, mine, reference = pair(device, dtype, max_grad_norm=1.0,
                                                 remainder=remainder)
            for step in range(4):
                set_gradients(ours, theirs)
                norm = torch.nn.utils.clip_grad_norm_(theirs, 1.0)
                mine.step()
                reference.step()
                close("norm", mine.report[0], norm, 1e-5)
                if step == 1:  # through a file
                    file = io.BytesIO()
                    torch.save(mine.state_dict(), file)
                    file.seek(0)
                    mine = sightline.AdamW(ours, max_grad_norm=1.0, remainder=remainder)
                    mine.load_state_dict(torch.load(file))
                same(ours, theirs, TOLERANCE[dtype])
            state = mine.state_dict()["state"][0]
            self.assertEqual(state["step"], 4)
            half = dtype == torch.bfloat16
            self.assertEqual(("master" in state, "remainder" in state),
                             (half and not remainder, half and remainder))

    def test_schedules_and_scaling(self):
        ours, theirs, mine, reference = pair()
        schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda t: 1 / (t + 1))
                     for o in (mine, reference)]
        scalers = [torch.amp.GradScaler("cpu", init_scale=256.0) for _ in schedules]
        for step in range(5):
            x = torch.randn(31, 7)
            x[0, 0] += float("inf") if step == 2 else 0  # a step that both scalers skip
            for (p, q), optimizer, scaler, schedule in zip((ours, theirs), (mine, reference),
                                                           scalers, schedules):
                optimizer.zero_grad()
                scaler.scale((p * x).sum() + q.pow(2).sum()).backward()
                scaler.step(optimizer)
                scaler.update()
                schedule.step()
        same(ours, theirs)
        self.assertEqual(mine.state_dict()["state"][0]["step"], 4)

    def test_groups_and_late_parameters(self):
        ours, theirs, mine, reference = pair()
        set_gradients(ours, theirs)
        mine.step()
        reference.step()
        for parameters, optimizer in ((ours, mine), (theirs, reference)):
            torch.manual_seed(9)
            parameters.append(torch.randn(9, requires_grad=True))
            optimizer.add_param_group({"params": parameters[-1:], "lr": 1e-3, "weight_decay": 0.0})
        for step in range(3):
            set_gradients(ours, theirs)
            if step == 1:
                ours[0].grad = theirs[0].grad = None
            if step == 2:
                mine.param_groups[0]["lr"] = torch.tensor(2e-2)
                reference.param_groups[0]["lr"] = 2e-2
                ours[1].data = ours[1].data.clone()  # as model.to does
            mine.step()
            reference.step()
        same(ours, theirs)
        steps = [mine.state_dict()["state"][i]["step"] for i in range(3)]
        self.assertEqual(steps, [3, 4, 3])

    def test_state_of_torch_and_back(self):
        ours, theirs, mine, reference = pair()
        for _ in range(2):
            set_gradients(ours, theirs)
            mine.step()
            reference.step()
        swapped = sightline.AdamW(theirs), torch.optim.AdamW(ours)
        swapped[0].load_state_dict(reference.state_dict())
        swapped[1].load_state_dict(mine.state_dict())
        third = [p.detach().clone().requires_grad_() for p in theirs]
        straight = torch.optim.AdamW(third)
        straight.load_state_dict(copy.deepcopy(reference.state_dict()))
        set_gradients(ours, theirs, third)
        for optimizer in (*swapped, straight):
            optimizer.step()
        same(ours, third)
        same(theirs, third)
        # bfloat16 state of torch has neither master nor remainder: they start here.
        half = [p.detach().bfloat16().requires_grad_() for p in theirs]
        source = torch.optim.AdamW(half)
        set_gradients(half)
        source.step()
        loaded = sightline.AdamW(half)
        loaded.load_state_dict(source.state_dict())
        loaded.step()
        state = loaded.state_dict()["state"][0]
        self.assertEqual({state[n].dtype for n in ("exp_avg", "exp_avg_sq", "master")},
                         {torch.float32})
        amsgrad = torch.optim.AdamW(theirs, amsgrad=True)
        refused("amsgrad, expected", lambda: mine.load_state_dict(amsgrad.state_dict()))

    def test_copies(self):
        ours, theirs, mine, reference = pair(max_grad_norm=1e9)
        set_gradients(ours, theirs)
        mine.step()
        reference.step()
        copies = [copy.deepcopy((ours, mine)), pickle.loads(pickle.dumps((ours, mine)))]
        set_gradients(ours, theirs, *(parameters for parameters, _ in copies))
        reference.step()
        for parameters, optimizer in ((ours, mine), *copies):
            self.assertEqual(optimizer.max_grad_norm, 1e9)
            optimizer.step()
            self.assertEqual(optimizer.state_dict()["state"][0]["step"], 2)
            same(parameters, theirs)

    def test_not_finite(self):
        ours, _, mine, _ = pair(skip_nonfinite=True)
        before = [p.detach().clone() for p in ours]
        set_gradients(ours)
        ours[0].grad[0, :2] = float("nan")
        mine.step()
        self.assertTrue(all(map(torch.equal, ours, before)))
        self.assertEqual(mine.report[2:].tolist(), [2, 1])

    def test_closure(self):
        ours, _, mine, _ = pair()

        def closure():
            mine.zero_grad()
            loss = sum(p.pow(2).sum() for p in ours)
            loss.backward()
            return loss

        losses = [mine.step(closure).item() for _ in range(3)]
        self.assertEqual(losses, sorted(losses, reverse=True))
        self.assertNotEqual(losses[0], losses[2])

    def test_bad_input(self):
        def step(p, **options):
            p.grad = torch.ones_like(p)
            sightline.AdamW([p], **options).step()

        refused("params[0].param: dtype (code 2, bits 64",
                lambda: step(torch.randn(4, dtype=torch.float64, requires_grad=True)))
        refused("params[0].param: strides [1,4]",
                lambda: step(torch.randn(4, 4).t().requires_grad_()))
        for options, part in (({"lr": -1.0}, "lr: -1"), ({"betas": (1.5, 0.9)}, "beta1: 1.5"),
                              ({"eps": -1.0}, "eps: -1")):
            refused(part, lambda: step(torch.randn(4, requires_grad=True), **options))


if __name__ == "__main__":
    main()
