"""Learning rates of transformers' schedules, and steps of torch.optim.AdamW along one of them.

    python3 training_fixtures.py [FOLDER]

Needs torch and transformers. TrainingParityTest reads the result:

    training.json       schedules: the factor of every step of a run, and of two beyond its end
    training.safetensors  AdamW over two parameters, cosine schedule, gradients clipped to norm 1:
                        gradients of all steps, parameters and moments before and after
"""

import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

import fixtures

RUNS = ((0, 1), (0, 7), (1, 9), (3, 10), (10, 10), (12, 10), (5, 40))  # warm-up, all steps
STEPS, WARMUP, LEARNING_RATE, WEIGHT_DECAY, MAX_NORM = 12, 3, 0.02, 0.05, 1.0


def schedule(name, optimizer, warmup, steps):
    if name == "constant":
        return transformers.get_constant_schedule_with_warmup(optimizer, warmup)
    make = {"linear": transformers.get_linear_schedule_with_warmup,
            "cosine": transformers.get_cosine_schedule_with_warmup}[name]
    return make(optimizer, warmup, steps)


def factors(name, warmup, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    running = schedule(name, optimizer, warmup, steps)
    values = []
    for _ in range(steps + 2):
        values += running.get_last_lr()
        optimizer.step()
        running.step()
    return values


def adamw():
    generator = torch.Generator().manual_seed(3)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator))
                  for shape in ((7,), (3, 5))]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    running = schedule("cosine", optimizer, WARMUP, STEPS)
    tensors = {f"before.{i}": p.detach().clone() for i, p in enumerate(parameters)}
    # Some steps are clipped and some are not.
    gradients = [torch.randn(STEPS, *p.shape, generator=generator) for p in parameters]
    sizes = torch.linspace(0.02, 1, STEPS)
    for step in range(STEPS):
        for i, (parameter, gradient) in enumerate(zip(parameters, gradients)):
            gradient[step] *= sizes[step]
            parameter.grad = gradient[step].clone()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        optimizer.step()
        running.step()
    for i, parameter in enumerate(parameters):
        state = optimizer.state[parameter]
        tensors |= {f"gradients.{i}": gradients[i], f"after.{i}": parameter.detach(),
                    f"exp_avg.{i}": state["exp_avg"], f"exp_avg_sq.{i}": state["exp_avg_sq"]}
    return tensors


def main(folder):
    rows = [dict(name=name, warmup=warmup, steps=steps, factors=factors(name, warmup, steps))
            for name in ("constant", "linear", "cosine") for warmup, steps in RUNS]
    settings = dict(steps=STEPS, warmup=WARMUP, learning_rate=LEARNING_RATE,
                    weight_decay=WEIGHT_DECAY, max_norm=MAX_NORM)
    fixtures.write_json(folder / "training.json", schedules=rows, adamw=settings)
    save_file(adamw(), folder / "training.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else fixtures.default_folder("core"))
