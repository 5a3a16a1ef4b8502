"""The alignment loss in fp64 with torch autograd, and the inputs of the tests."""

import torch
import torch.nn.functional as F

from sightline_abi import PARAMETERS


def philox_mask(seed, stream, rows, columns, p, device):
    """Dropout factors (0 or 1/(1-p)) of native/src/common/philox.h."""
    m32 = 0xFFFFFFFF
    groups = (columns + 3) // 4
    group = torch.arange(groups, dtype=torch.int64, device=device).repeat(rows, 1)
    row = torch.arange(rows, dtype=torch.int64, device=device)[:, None].expand(rows, groups)
    x = [group.clone(), row & m32, row >> 32, torch.full_like(row, stream)]
    k0, k1 = seed & m32, (seed >> 32) & m32

    def multiply(a, b):  # 32 x 32 bits; int64 wraps, so the high word comes from halves
        low, high = (a & 0xFFFF) * b, (a >> 16) * b
        mid = (low >> 16) + (high & 0xFFFF)
        return (high >> 16) + (mid >> 16), ((mid & 0xFFFF) << 16) | (low & 0xFFFF)

    for _ in range(10):
        hi0, lo0 = multiply(x[0], 0xD2511F53)
        hi1, lo1 = multiply(x[2], 0xCD9E8D57)
        x = [hi1 ^ x[1] ^ k0, lo1, hi0 ^ x[3] ^ k1, lo0]
        k0, k1 = (k0 + 0x9E3779B9) & m32, (k1 + 0xBB67AE85) & m32
    words = torch.stack(x, dim=-1).reshape(rows, groups * 4)[:, :columns]
    return (words >= int(p * 4294967296.0)).double() / (1 - p)


def random_weights(d, p, z, dtype, device, generator):
    def normal(*shape, scale):
        x = torch.randn(*shape, generator=generator, device=device, dtype=torch.float64)
        return (x * scale).to(dtype)
    w = {"ln_weight": 1 + normal(d, scale=0.2), "ln_bias": normal(d, scale=0.2),
         "w1": normal(p, d, scale=1.7 * d ** -0.5), "b1": normal(p, scale=0.3),
         "w2": normal(p, p, scale=1.7 * p ** -0.5), "b2": normal(p, scale=0.3),
         "w3": normal(z, p, scale=1.7 * p ** -0.5), "b3": normal(z, scale=0.1)}
    return {k: v.to(dtype).contiguous() for k, v in w.items()}


def reference(hidden, teacher, weights, token_weight=None, grad_scale=1.0, eps=1e-5, dropout=0.0,
              seed=0):
    """loss, cosine [B,N], gradient of hidden, gradients of the weights; all fp64."""
    b, n, d = hidden.shape
    h = hidden.detach().double().reshape(-1, d).clone().requires_grad_(True)
    w = {k: v.detach().double().clone().requires_grad_(True) for k, v in weights.items()}
    t = teacher.double().reshape(h.shape[0], -1)
    m = torch.ones(b, n, device=h.device) if token_weight is None else token_weight
    m = m.double().reshape(-1)

    def dropped(x, stream):
        if dropout == 0:
            return x
        return x * philox_mask(seed, stream, x.shape[0], x.shape[1], dropout, x.device)

    x = F.layer_norm(h, (d,), w["ln_weight"], w["ln_bias"], eps)
    x = dropped(F.silu(x @ w["w1"].T + w["b1"]), 0)
    x = dropped(F.silu(x @ w["w2"].T + w["b2"]), 1)
    z = x @ w["w3"].T + w["b3"]
    cosine = (F.normalize(z, dim=-1, eps=1e-12) * F.normalize(t, dim=-1, eps=1e-12)).sum(-1)
    total = m.sum()
    loss = -(m * cosine).sum() / total if float(total) != 0 else (0 * cosine).sum()
    (loss * grad_scale).backward()
    return (loss.detach(), cosine.detach().reshape(b, n), h.grad.reshape(b, n, d),
            {k: w[k].grad for k in PARAMETERS})


def error(out, expected):
    """||out - expected|| / ||expected||; infinite where out is not finite."""
    out, expected = out.double(), expected.double()
    if not bool(torch.isfinite(out).all()):
        return float("inf")
    norm = float(expected.norm())
    difference = float((out - expected).norm())
    return difference / norm if norm > 0 else difference
