#!/usr/bin/env python3
"""Training speed of PyTorch on a decoder of Mistral's shape: what Forge's training is held against.

    torch_training.py SHAPE MODE THREADS|cuda [SECONDS]

SHAPE is one of the rows below; MODE is `f32`, `autocast`, `bf16` (weights and all), each with `+compile` if wished. Prints one JSON object: tokens/s
of the median step, loss of the last, peak memory (resident, or the GPU's). The model is what a careful user writes: fused scaled_dot_product_attention, fused AdamW,
cross-entropy over all rows, tied embeddings; no data loading, random tokens.
"""
import json, resource, sys, time
import torch
from torch import nn
from torch.nn import functional as F

# width, layers, query heads, kv heads, feed-forward, vocabulary, sequence, batch: the same rows as `forge-bench training`.
SHAPES = {
    "1M": (128, 4, 4, 2, 344, 1024, 256, 32),
    "12M": (320, 8, 5, 5, 864, 4096, 256, 16),
    "30M": (512, 8, 8, 8, 1376, 8192, 512, 8),
    "110M": (768, 12, 12, 12, 2048, 32000, 512, 4),
    "124M": (768, 12, 12, 12, 2048, 50304, 1024, 32),
    "1.5B": (2048, 28, 16, 16, 5504, 50304, 2048, 4),
}


class Attention(nn.Module):
    def __init__(self, width, heads, kv_heads):
        super().__init__()
        self.heads, self.kv_heads, self.d = heads, kv_heads, width // heads
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * self.d, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, self.heads + 2 * self.kv_heads, self.d).transpose(1, 2).split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        turn = lambda y: y * cos + torch.cat((-y[..., self.d // 2:], y[..., :self.d // 2]), -1) * sin
        y = F.scaled_dot_product_attention(turn(q).type_as(v), turn(k).type_as(v), v, is_causal=True, enable_gqa=self.heads != self.kv_heads)
        return self.out(y.transpose(1, 2).reshape(b, t, -1))


class Block(nn.Module):
    def __init__(self, width, heads, kv_heads, feed_forward):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.attention = Attention(width, heads, kv_heads)
        self.gate_up, self.down = nn.Linear(width, 2 * feed_forward, bias=False), nn.Linear(feed_forward, width, bias=False)

    def forward(self, x, cos, sin):
        x = x + self.attention(self.norm1(x), cos, sin)
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, width, layers, heads, kv_heads, feed_forward, vocabulary, sequence):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads, kv_heads, feed_forward) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=1e-5)
        d = width // heads
        angle = torch.outer(torch.arange(sequence).float(), 10000.0 ** (-torch.arange(0, d, 2).float() / d)).repeat(1, 2)
        self.register_buffer("cos", angle.cos()), self.register_buffer("sin", angle.sin())

    def forward(self, ids, targets):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return F.cross_entropy(F.linear(self.norm(x), self.embed.weight).flatten(0, 1).float(), targets.flatten())


def main():
    shape, mode = sys.argv[1:3]
    device, threads = ("cuda", 1) if sys.argv[3] == "cuda" else ("cpu", int(sys.argv[3]))
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 10.0
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    *sizes, batch = SHAPES[shape]
    model = Decoder(*sizes).to(device)
    precision, _, compiled = mode.partition("+")
    if precision == "bf16":
        model = model.to(torch.bfloat16)
    step_model = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    vocabulary, sequence = sizes[5], sizes[6]
    ids = torch.randint(vocabulary, (batch, sequence + 1), device=device)
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def step():
        with torch.autocast(device, torch.bfloat16, enabled=precision == "autocast"):
            loss = step_model(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()
        return loss

    for _ in range(2):
        step()
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end or len(times) < 3:
        began = time.monotonic()
        loss = step()
        times.append(time.monotonic() - began)
    times.sort()
    print(json.dumps({
        "shape": shape, "mode": mode, "threads": threads, "parameters": sum(p.numel() for p in model.parameters()), "steps": len(times),
        "tokens_per_second": batch * sequence / times[len(times) // 2], "loss": loss.item(),
        "peak_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "peer": f"torch {torch.__version__}",
    }))


main()
