#!/usr/bin/env python3
"""A GGUF file with a tensor of every type Forge reads, and what its numbers are, both by llama.cpp's own Python package.

    pip install gguf safetensors numpy      (made with gguf 0.19)
    python3 Tests/Fixtures/gguf/make.py

Blocks hold random bytes, their half-precision scales random numbers: every bit of a block is used. The expected numbers are those of
gguf.quants.dequantize, in float32.
"""
import pathlib
import numpy as np
import gguf
from gguf import GGMLQuantizationType as T, GGUFWriter
from gguf.quants import dequantize
from safetensors.numpy import save_file

here = pathlib.Path(__file__).parent
random = np.random.default_rng(20261125)
# Where the half-precision numbers of a block stand.
halves = {
    T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0],
}
kinds = (
    T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_K, T.Q5_K, T.Q6_K, T.Q4_1, T.Q5_0, T.Q5_1, T.Q2_K, T.Q3_K, T.IQ4_NL, T.IQ4_XS, T.MXFP4, T.NVFP4,
)
writer, expected = GGUFWriter(here / "types.gguf", "mistral"), {}
writer.add_uint32("mistral.context_length", 512)
writer.add_float32("mistral.rope.freq_base", 10000.0)
writer.add_bool("mistral.tied", True)
writer.add_array("tokenizer.ggml.tokens", ["<s>", "Grüße", ""])
writer.add_array("tokenizer.ggml.scores", [0.5, -1.0])
writer.add_int64("mistral.negative", -(2**40))
for kind in kinds:
    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    rows, blocks = 3, 5 if numbers == 1 else 2
    if kind == T.F32:
        raw = random.standard_normal((rows, blocks)).astype(np.float32)
        values = raw
    else:
        raw = random.integers(0, 256, (rows, blocks, size), dtype=np.uint8)
        for at in halves.get(kind, []):
            raw[:, :, at:at + 2] = random.standard_normal((rows, blocks)).astype(np.float16).view(np.uint8).reshape(rows, blocks, 2)
        if kind == T.F16:
            raw = random.standard_normal((rows, blocks)).astype(np.float16).view(np.uint8).reshape(rows, blocks, 2)
        if kind == T.BF16:
            raw[:, :, 1] = raw[:, :, 1] & 0x80 | 0x3f
        raw = raw.reshape(rows, blocks * size)
        values = raw.view(np.float16).astype(np.float32) if kind == T.F16 else dequantize(raw, kind).astype(np.float32)
    writer.add_tensor(f"{kind.name.lower()}.weight", raw, raw_dtype=kind)
    expected[f"{kind.name.lower()}.weight"] = np.ascontiguousarray(values)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(expected, here / "types.safetensors")
print(gguf.__name__, {k: v.shape for k, v in expected.items()})
