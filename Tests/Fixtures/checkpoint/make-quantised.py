#!/usr/bin/env python3
"""One layer of Mistral 4 in the forms that releases keep weights in, and what they stand for.

    pip install torch safetensors numpy      (made with torch 2.13.0, safetensors 0.8.0)
    python3 Tests/Fixtures/checkpoint/make-quantised.py

quantised-*.safetensors are whole checkpoints: `tensor` and `tiles` in Hugging Face's names with floats of eight bits and one scale a matrix, or one for
each 128 × 128; `native` the first in Mistral's names; `packed` with the experts as compressed-tensors packs NVFP4. expected-*.safetensors hold each matrix in
bfloat16, by the names of a model here: the stored number times its scale in float32, rounded once.
"""
import pathlib, torch
from safetensors.torch import save_file

here, E, H, I, heads, L, r, n, v, q = pathlib.Path(__file__).parent, 2, 144, 16, 3, 16, 16, 16, 20, 16
torch.manual_seed(20261127)
shapes = {"self_attn.q_a_proj": (q, H), "self_attn.q_b_proj": (heads * (n + r), q), "self_attn.kv_a_proj_with_mqa": (L + r, H), "self_attn.kv_b_proj": (heads * (n + v), L),
          "self_attn.o_proj": (H, heads * v), "mlp.shared_experts.gate_proj": (I, H), "mlp.shared_experts.up_proj": (I, H), "mlp.shared_experts.down_proj": (H, I)}
plain = {"model.embed_tokens.weight": torch.randn(29, H), "lm_head.weight": torch.randn(29, H), "model.norm.weight": torch.rand(H) + 0.5, "mlp.gate.weight": torch.randn(E, H),
         "input_layernorm.weight": torch.rand(H) + 0.5, "post_attention_layernorm.weight": torch.rand(H) + 0.5, "self_attn.q_a_layernorm.weight": torch.rand(q) + 0.5,
         "self_attn.kv_a_layernorm.weight": torch.rand(L) + 0.5}
full = lambda name: name if name.startswith(("model.", "lm_head")) else "model.layers.0." + name
plain = {full(k): t.bfloat16() for k, t in plain.items()}
matrices = {full(k): torch.randn(s) / s[1] ** 0.5 for k, s in shapes.items()}
gate_up, down = torch.randn(E, 2 * I, H) / 12, torch.randn(E, H, I) / 4
fp8 = torch.float8_e4m3fn

def eight(w):
    scale = w.abs().max() / 448
    code = (w / scale).to(fp8)
    return code, scale, (code.float() * scale).bfloat16()

def tiles(w):
    rows, columns = (w.shape[0] + 127) // 128, (w.shape[1] + 127) // 128
    scale, code = torch.zeros(rows, columns), torch.zeros(w.shape)
    for i in range(rows):
        for j in range(columns):
            part = w[128 * i:128 * i + 128, 128 * j:128 * j + 128]
            scale[i, j] = part.abs().max() / 448
            code[128 * i:128 * i + 128, 128 * j:128 * j + 128] = part / scale[i, j]
    code = code.to(fp8)
    wide = scale.repeat_interleave(128, 0)[:w.shape[0]].repeat_interleave(128, 1)[:, :w.shape[1]]
    return code, scale, (code.float() * wide).bfloat16()

levels = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6])
def four(w):
    top = 448 * 6 / w.abs().max()
    blocks = w.reshape(w.shape[0], -1, 16)
    scale = (blocks.abs().amax(-1) / 6 * top).to(fp8)
    step = (scale.float() / top)[..., None]
    code = (blocks.abs() / step.clamp(min=1e-30))[..., None].sub(levels).abs().argmin(-1)
    value = levels[code] * blocks.sign() * step
    nibble = (code | (blocks < 0).long() << 3).reshape(w.shape).to(torch.uint8)
    return (nibble[:, 0::2] | nibble[:, 1::2] << 4), scale, top, value.reshape(w.shape).bfloat16()

out, want, native = dict(plain), dict(plain), {}
names = {"model.embed_tokens.weight": "tok_embeddings.weight", "lm_head.weight": "output.weight", "model.norm.weight": "norm.weight"}
parts = {"input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate": "gate", "self_attn.q_a_proj": "attention.wq_a", "self_attn.q_a_layernorm": "attention.q_a_norm",
         "self_attn.q_b_proj": "attention.wq_b", "self_attn.kv_a_proj_with_mqa": "attention.wkv_a_with_mqa", "self_attn.kv_a_layernorm": "attention.kv_a_norm",
         "self_attn.kv_b_proj": "attention.wkv_b", "self_attn.o_proj": "attention.wo", "mlp.shared_experts.gate_proj": "shared_experts.w1", "mlp.shared_experts.up_proj": "shared_experts.w3",
         "mlp.shared_experts.down_proj": "shared_experts.w2"}
named = lambda key: "layers.0." + parts[key.removeprefix("model.layers.0.").removesuffix(".weight")]
for key, w in plain.items(): native[names.get(key) or named(key) + ".weight"] = w
for key, w in matrices.items():
    code, scale, value = eight(w)
    out |= {key + ".weight": code, key + ".weight_scale_inv": scale, key + ".activation_scale": torch.ones(())}
    native |= {named(key) + ".weight": code, named(key) + ".qscale_weight": scale, named(key) + ".qscale_act": torch.ones(())}
    want[key + ".weight"] = value
prefix = "model.layers.0.mlp.experts."
for name, w in (("gate_up_proj", gate_up), ("down_proj", down)):
    code, scale, value = zip(*(eight(one) for one in w))
    out |= {prefix + name: torch.stack(code), prefix + name + "_scale_inv": torch.stack(scale)[:, None, None], prefix + name + "_activation_scale": torch.ones(E)}
    want[prefix + name] = torch.stack(value)
    for e in range(E):
        for which, rows in ((("w1", slice(0, I)), ("w3", slice(I, 2 * I))) if name == "gate_up_proj" else (("w2", slice(None)),)):
            native |= {f"layers.0.experts.{e}.{which}.weight": code[e][rows].contiguous(), f"layers.0.experts.{e}.{which}.qscale_weight": scale[e].clone()}
save_file(out, here / "quantised-tensor.safetensors")
save_file(native, here / "quantised-native.safetensors")
save_file(want, here / "expected-tensor.safetensors")

out, want = dict(plain), dict(plain)
for key, w in matrices.items():
    code, scale, value = tiles(w)
    out |= {key + ".weight": code, key + ".weight_scale_inv": scale}
    want[key + ".weight"] = value
rest = {f"{prefix}{e}.{which}_proj": w for e in range(E) for which, w in (("gate", gate_up[e, :I]), ("up", gate_up[e, I:]), ("down", down[e]))}
for key, w in rest.items():
    code, scale, value = tiles(w)
    out |= {key + ".weight": code, key + ".weight_scale_inv": scale}
    want[key] = value
together = lambda: {prefix + "gate_up_proj": torch.stack([torch.cat([want.pop(f"{prefix}{e}.gate_proj"), want.pop(f"{prefix}{e}.up_proj")]) for e in range(E)]),
                    prefix + "down_proj": torch.stack([want.pop(f"{prefix}{e}.down_proj") for e in range(E)])}
want |= together()
save_file(out, here / "quantised-tiles.safetensors")
save_file(want, here / "expected-tiles.safetensors")

out, want = dict(plain), dict(plain)
for key, w in matrices.items():
    if "shared" in key: rest[key] = w
    else: out[key + ".weight"] = want[key + ".weight"] = w.bfloat16()
for key, w in rest.items():
    packed, scale, top, value = four(w)
    out |= {key + ".weight_packed": packed, key + ".weight_scale": scale, key + ".weight_global_scale": top[None], key + ".input_global_scale": torch.ones(1)}
    want[key + (".weight" if "shared" in key else "")] = value
want |= together()
save_file(out, here / "quantised-packed.safetensors")
save_file(want, here / "expected-packed.safetensors")
