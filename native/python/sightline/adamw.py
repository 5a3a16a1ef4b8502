"""AdamW over any number of parameters in one call."""

import weakref

import torch

from ._library import ops

_MOMENTS, _COPIES = ("exp_avg", "exp_avg_sq"), {"master", "remainder"}


class AdamW(torch.optim.Optimizer):
    """torch.optim.AdamW over any number of parameters in one call, with clipping and checks inside.

    bfloat16 parameters get a float32 master copy. After step(), `report` holds on the device: norm of
    the gradients before clipping, clipping factor, non-finite elements, 1 if skipped.

    Args:
        params, lr, betas, eps, weight_decay: as torch.optim.AdamW's.
        max_grad_norm: clips the global norm as clip_grad_norm_; 0: no clipping.
        skip_nonfinite: change nothing in a step with a gradient that is not finite.
        remainder: in place of the master copies the 16 bits that each has more than its parameter, as
            int16: the same steps in half the memory.

    Raises:
        ValueError: of step(): what does not fit, by name.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2,
                 max_grad_norm=0.0, skip_nonfinite=False, remainder=False):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps,
                                  "weight_decay": weight_decay})
        self.max_grad_norm, self.skip_nonfinite = max_grad_norm, skip_nonfinite
        self.remainder = remainder
        self.report = self._release = None

    def _all(self):
        return [(i, p) for i, group in enumerate(self.param_groups) for p in group["params"]]

    def _prepare(self):
        """A handle on the parameters as they are now."""
        self._forget()
        groups, self._params = zip(*self._all())
        for p in self._params:
            state = self.state[p]
            state.setdefault("step", 0)
            for name in _MOMENTS:
                if name not in state:
                    state[name] = torch.zeros(p.shape, dtype=torch.float32, device=p.device)
            if p.dtype == torch.bfloat16 and not _COPIES & state.keys():
                if self.remainder:
                    state["remainder"] = torch.zeros(p.shape, dtype=torch.int16, device=p.device)
                else:
                    state["master"] = p.detach().float().contiguous()
        states = [self.state[p] for p in self._params]
        self._handle = ops.adamw_create(
            [p.detach() for p in self._params], *([s[name] for s in states] for name in _MOMENTS),
            *([s.get(name) for s in states] for name in sorted(_COPIES)), groups)
        self._memory = [p.data_ptr() for p in self._params]
        self._release = weakref.finalize(self, ops.adamw_destroy, self._handle)
        ops.adamw_set_steps(self._handle, [int(s["step"]) for s in states])

    def _read_steps(self):
        if self._release is not None:
            for p, step in zip(self._params, ops.adamw_get_steps(self._handle)):
                self.state[p]["step"] = step

    def _forget(self):
        if self._release is not None:
            self._read_steps()
            self._release()
            self._release = None

    @torch._disable_dynamo
    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        params = [p for _, p in self._all()]
        if self._release is None or [p.data_ptr() for p in params] != self._memory:
            self._prepare()
        with_grad = [i for i, p in enumerate(params) if p.grad is not None]
        rates = [[float(value) for value in (g["lr"], *g["betas"], g["eps"], g["weight_decay"])]
                 for g in self.param_groups]
        self.report = ops.adamw_step_(
            self._handle, params, [params[i].grad.contiguous() for i in with_grad], with_grad,
            *map(list, zip(*rates)), 1.0, self.max_grad_norm, self.skip_nonfinite, False)
        return loss

    def state_dict(self):
        self._read_steps()
        return super().state_dict()

    def load_state_dict(self, state_dict):
        """Of this class or of torch.optim.AdamW, which loads ours too."""
        for group in state_dict["param_groups"]:
            for flag in ("amsgrad", "maximize"):
                if group.get(flag):
                    raise ValueError(f"state_dict: {flag}, expected the plain algorithm")
        self._forget()
        super().load_state_dict(state_dict)
        # torch casts state to the dtype of its parameter; ours is what it is whatever that is.
        indices = [i for group in state_dict["param_groups"] for i in group["params"]]
        for index, (_, p) in zip(indices, self._all()):
            saved = state_dict["state"].get(index, {})
            for name in saved.keys() & {*_MOMENTS, *_COPIES}:
                dtype = torch.int16 if name == "remainder" else torch.float32
                self.state[p][name] = saved[name].to(p.device, dtype, copy=True)

    def __getstate__(self):  # copies and pickles prepare a handle of their own
        self._read_steps()
        own = ("max_grad_norm", "skip_nonfinite", "remainder")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own},
                "report": None, "_release": None}
