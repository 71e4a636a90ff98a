#!/usr/bin/env python3
"""torch_cuda.py: what PyTorch reaches on this GPU at the shapes of Sources/CUDA/check/bench.c, and the machine's limits as it sees them.

One line a row: name, milliseconds, TFLOP/s or GB/s. Random operands (tiles of zeroes run faster), CUDA events, the median of several rounds;
products of few rows take turns over more matrices than a cache holds.
"""
import statistics

import torch
import torch.nn.functional as F

torch.manual_seed(1)
device = torch.device("cuda")


def timed(body, rounds=7, seconds=0.02):
    body(0)
    torch.cuda.synchronize()
    turns, times, turn = 1, [], 0
    while len(times) < rounds:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(turns):
            body(turn)
            turn += 1
        end.record()
        torch.cuda.synchronize()
        took = start.elapsed_time(end) / 1e3
        if took < seconds and turns < 1 << 14:
            turns *= 2
            continue
        times.append(took / turns)
    return statistics.median(times)


def say(name, seconds, amount, unit):
    print(f"{name:32} {seconds * 1e3:10.4f} ms {amount / seconds / 1e12 if unit == 'TFLOP/s' else amount / seconds / 1e9:10.1f} {unit}", flush=True)


print(torch.cuda.get_device_name(), torch.__version__)
a = torch.empty(1 << 28, dtype=torch.float32, device=device).normal_()
b = torch.empty_like(a)
say("copy, read and written", timed(lambda _: b.copy_(a)), 8.0 * a.numel(), "GB/s")
say("sum, read", timed(lambda _: a.sum()), 4.0 * a.numel(), "GB/s")
del a, b

for m in (1, 16, 64, 512, 4096, 8192):
    for k, n in ((4096, 4096), (4096, 14336)):
        weights = [torch.randn(n, k, device=device, dtype=torch.bfloat16) for _ in range(1 + (256 << 20) // (2 * k * n) if m <= 64 else 1)]
        x = torch.randn(m, k, device=device, dtype=torch.bfloat16)
        t = timed(lambda turn: F.linear(x, weights[turn % len(weights)]))
        say(f"bf16 {m}x{k}x{n}", t, 2.0 * m * k * n, "TFLOP/s") if m > 64 else say(f"bf16 {m}x{k}x{n}, weights", t, 2.0 * k * n, "GB/s")
torch.backends.cuda.matmul.allow_tf32 = False
x, w = torch.randn(2048, 2048, device=device), torch.randn(2048, 2048, device=device)
say("f32 2048x2048x2048", timed(lambda _: x @ w), 2.0 * 2048**3, "TFLOP/s")

for dtype in (torch.bfloat16, torch.float32):
    q = torch.randn(4, 32, 4096, 128, device=device, dtype=dtype, requires_grad=True)
    k, v = (torch.randn(4, 32, 4096, 128, device=device, dtype=dtype, requires_grad=True) for _ in range(2))
    flops = 4.0 * 128 * 4096 * 4096 / 2 * 4 * 32
    say(f"attention {dtype}".replace("torch.", ""), timed(lambda _: F.scaled_dot_product_attention(q.detach(), k.detach(), v.detach(), is_causal=True)), flops, "TFLOP/s")
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    up = torch.randn_like(out)
    say(f"attention backward {dtype}".replace("torch.", ""), timed(lambda _: torch.autograd.grad(out, (q, k, v), up, retain_graph=True), rounds=3), 2.5 * flops, "TFLOP/s")
    del q, k, v, out, up
