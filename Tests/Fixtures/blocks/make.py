#!/usr/bin/env python3
"""Golden vectors of the codecs in ForgeBlocks: what `gguf` makes of numbers, what torch makes of small floats.

    pip install gguf safetensors numpy torch      (made with gguf 0.19, torch 2.15)
    python3 Tests/Fixtures/blocks/make.py

encode.safetensors   `values`, and the blocks of each format (U8). Among the values: a block of zeros, ties, both signs of the extreme, numbers below the normal ones.
small.safetensors    `<format>.decoded`: all 256 codes. `values`, `<format>.codes`: to nearest even, bounded by the largest. `tiles.*`: a matrix with a scale for each
                     128×128 of it. `nvfp4.*`: codes, scales, the scale that divides, and e2m1 · (scale / global) in float32.
"""
import pathlib
import numpy as np
import torch
from gguf import GGMLQuantizationType as T
from gguf.quants import quantize
from safetensors.numpy import save_file

here, random = pathlib.Path(__file__).parent, np.random.default_rng(20261127)

values = (random.standard_normal((24, 32)) * np.exp(random.uniform(-12, 6, (24, 1)))).astype(np.float32)
values[0] = 0
values[1] = np.arange(32) - 16  # ties of Q4_0, the extreme first
values[2] = np.linspace(-127, 127, 32)
values[3, :] = [127] + [i + 0.5 for i in range(31)]  # ties of Q8_0
values[4] = random.standard_normal(32) * 1e-6
values[5] = -np.abs(values[5])
values[6] = np.where(np.arange(32) % 2, 8.0, -8.0)
values[7] = random.standard_normal(32) * 30000
encoded = {"values": values}
for kind in (T.Q8_0, T.Q4_0):
    encoded[kind.name] = quantize(values, kind)
encoded["BF16"] = quantize(values, T.BF16)
encoded["F16"] = np.ascontiguousarray(quantize(values, T.F16)).view(np.uint8)
save_file({k: np.ascontiguousarray(v) for k, v in encoded.items()}, here / "encode.safetensors")

small = {}
codes = torch.arange(256, dtype=torch.uint8)
whole = np.concatenate([
    random.standard_normal(600) * np.exp(random.uniform(-14, 12, 600)), [0.0, -0.0, 448, 449, 464, 465, 480, 1e9, -1e9, 57344, 61440, 3e38, np.inf, -np.inf, 2.0**-9, 2.0**-10, 3 * 2.0**-10, 2.0**-17, 3 * 2.0**-17, 1e-40],
    np.arange(16, 32) * 2.0**-3 / 2, np.arange(1, 17) * 2.0**-10,
]).astype(np.float32)
small["values"] = whole
for name, kind, largest in (("F8_E4M3", torch.float8_e4m3fn, 448.0), ("F8_E5M2", torch.float8_e5m2, 57344.0)):
    small[name + ".decoded"] = codes.view(kind).to(torch.float32).numpy()
    small[name + ".codes"] = torch.from_numpy(whole).clamp(-largest, largest).to(kind).view(torch.uint8).numpy()
rows, columns = 150, 260
matrix = random.integers(0, 127, (rows, columns), dtype=np.uint8) | (random.integers(0, 2, (rows, columns), dtype=np.uint8) << 7)
scales = np.exp(random.uniform(-8, 0, (2, 3))).astype(np.float32)
spread = torch.from_numpy(scales).repeat_interleave(128, 0).repeat_interleave(128, 1)[:rows, :columns]
kept = [0, 127, 128, 149]
small["tiles.codes"], small["tiles.scales"] = matrix[kept], scales
small["tiles.decoded"] = (torch.from_numpy(matrix).view(torch.float8_e4m3fn).to(torch.float32) * spread).numpy()[kept]
packed = random.integers(0, 256, (6, 24), dtype=np.uint8)
group = random.integers(1, 127, (6, 3), dtype=np.uint8)
steps = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
numbers = steps[np.stack([packed & 15, packed >> 4], -1).reshape(6, 48)]
divisor = np.float32(448 * 6 / 3.17)
small["nvfp4.packed"], small["nvfp4.scales"], small["nvfp4.global"] = packed, group, np.array([divisor], np.float32)
small["nvfp4.decoded"] = numbers * np.repeat(torch.from_numpy(group).view(torch.float8_e4m3fn).to(torch.float32).numpy() / divisor, 16, axis=1)
# To four bits: a group's scale, then the nearest of the eight sizes, an even code on a middle. Middles are among the numbers, and a group of zeros.
numbers = (random.standard_normal((8, 32)) * np.exp(random.uniform(-4, 2, (8, 1)))).astype(np.float32)
numbers[1, 16:] = 0
numbers[2, :16] = np.array([6, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, -0.25, -0.75, -1.25, -1.75, -2.5, -3.5, -5, -6]) / 8
numbers[3, :16] = [448] + [1e-3] * 15
divisor = np.float32(448 * 6 / np.abs(numbers).max())
amax = np.abs(numbers.reshape(8, 2, 16)).max(-1)
codes = torch.from_numpy(amax / np.float32(6) * divisor).to(torch.float8_e4m3fn)
scale = codes.to(torch.float32).numpy() / divisor
with np.errstate(divide="ignore", invalid="ignore"):
    quotient = np.where(scale[..., None] == 0, np.float32(0), numbers.reshape(8, 2, 16) / scale[..., None]).reshape(8, 32)
distance = np.abs(np.abs(quotient)[..., None].astype(np.float64) - np.abs(steps[:8].astype(np.float64)))
nearest = distance == distance.min(-1, keepdims=True)
even = nearest & (np.arange(8) % 2 == 0)
code = np.where(even.any(-1), even.argmax(-1), nearest.argmax(-1)) | np.where(np.signbit(quotient), 8, 0)
small["fp4.values"], small["fp4.scales"], small["fp4.global"] = numbers, codes.view(torch.uint8).numpy(), np.array([divisor], np.float32)
small["fp4.packed"] = (code[:, 0::2] | code[:, 1::2] << 4).astype(np.uint8)
save_file({k: np.ascontiguousarray(v) for k, v in small.items()}, here / "small.safetensors")
print({k: (v.dtype.name, v.shape) for k, v in (encoded | small).items()})
