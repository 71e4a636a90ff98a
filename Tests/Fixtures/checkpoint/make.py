#!/usr/bin/env python3
"""The decoders of Tests/Fixtures/compute once more, as Mistral's own releases lay a model out.

    pip install numpy safetensors      (made with numpy 2.2.6, safetensors 0.8.0)
    python3 Tests/Fixtures/checkpoint/make.py

Names are those of mistral-inference. The conversion to Hugging Face's layout that transformers publishes turns the rows of queries and keys by
view(heads, d / 2, 2, in).transpose(1, 2); here it is undone: view(heads, 2, d / 2, in).transpose(1, 2). Weights of `mistral` lie in two files.
"""
import json, pathlib, re
import numpy
from safetensors import safe_open
from safetensors.numpy import save_file

here = pathlib.Path(__file__).parent
NAMES = {
    "model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output", "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1", "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2", "block_sparse_moe.gate": "feed_forward.gate",
    "self_attn.q_a_proj": "attention.wq_a", "self_attn.q_a_layernorm": "attention.q_a_norm", "self_attn.q_b_proj": "attention.wq_b", "self_attn.kv_a_proj_with_mqa": "attention.wkv_a_with_mqa",
    "self_attn.kv_a_layernorm": "attention.kv_a_norm", "self_attn.kv_b_proj": "attention.wkv_b", "mlp.gate": "gate", "mlp.shared_experts.gate_proj": "shared_experts.w1",
    "mlp.shared_experts.up_proj": "shared_experts.w3", "mlp.shared_experts.down_proj": "shared_experts.w2",
}


def native(name):
    found = re.fullmatch(r"model\.layers\.(\d+)\.(.*)\.weight", name)
    if not found:
        return NAMES[name.removesuffix(".weight")] + ".weight"
    layer, part = found.groups()
    return f"layers.{layer}.{NAMES.get(part) or part.replace('block_sparse_moe', 'feed_forward')}.weight"


def params(config):
    rope = config.get("rope_parameters") or {}
    out = {"dim": config["hidden_size"], "n_layers": config["num_hidden_layers"], "head_dim": config["head_dim"], "hidden_dim": config["intermediate_size"],
           "n_heads": config["num_attention_heads"], "n_kv_heads": config["num_key_value_heads"], "norm_eps": config["rms_norm_eps"], "vocab_size": config["vocab_size"],
           "rope_theta": rope.get("rope_theta", config.get("rope_theta")), "max_position_embeddings": config["max_position_embeddings"],
           "tied_embeddings": config["tie_word_embeddings"]}
    if rope.get("rope_type") == "yarn":
        out["yarn"] = {"factor": rope["factor"], "original_max_position_embeddings": rope["original_max_position_embeddings"], "beta": rope.get("beta_fast", 32.0), "alpha": rope.get("beta_slow", 1.0),
                       "apply_scale": rope.get("apply_scale", rope.get("mscale") != rope.get("mscale_all_dim") or not rope.get("mscale"))}
        out["llama_4_scaling"] = {"beta": rope["llama_4_scaling_beta"], "original_max_position_embeddings": rope["original_max_position_embeddings"]}
    if config["model_type"] == "ministral":
        out["sliding_window"] = [config["sliding_window"] if kind == "sliding_attention" else None for kind in config["layer_types"]]
    if config["model_type"] == "mixtral":
        out["moe"] = {"num_experts": config["num_local_experts"], "num_experts_per_tok": config["num_experts_per_tok"]}
    if config["model_type"] == "mistral4":
        out["moe"] = {"num_experts": config["n_routed_experts"], "num_experts_per_tok": config["num_experts_per_tok"], "num_shared_experts": config["n_shared_experts"],
                      "expert_hidden_dim": config["moe_intermediate_size"], "first_k_dense_replace": 0, "routed_scale": config["routed_scaling_factor"], "route_every_n": 1}
        for key in ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"):
            out[key] = config[key]
    return out


def split(key, weight):
    """Mistral 4 has the experts of a layer in two tensors here, and a file of its own kind each there."""
    found = re.fullmatch(r"model\.layers\.(\d+)\.mlp\.experts\.(\w+)_proj", key)
    if not found:
        return {native(key): weight}
    layer, which = found.groups()
    parts = {"w2": weight} if which == "down" else dict(zip(("w1", "w3"), numpy.split(weight, 2, axis=1)))
    return {f"layers.{layer}.experts.{expert}.{part}.weight": matrix for part, all in parts.items() for expert, matrix in enumerate(all)}


for name, golden in {"mistral": "decoder-plain", "ministral": "decoder-ministral", "ministral3": "decoder-ministral3", "mixtral": "mixtral-plain", "mistral4": "mistral4-raised"}.items():
    folder = here / name
    folder.mkdir(exist_ok=True)
    with safe_open(here.parent / "compute" / f"{golden}.safetensors", "numpy") as file:
        config = json.loads(file.metadata()["config"])
        tensors = {}
        for key in file.keys():
            if not key.startswith("param."):
                continue
            weight, key = file.get_tensor(key), key.removeprefix("param.")
            if key.endswith(("q_proj.weight", "k_proj.weight")) and name != "mistral4":
                d = config["head_dim"]
                weight = weight.reshape(-1, 2, d // 2, weight.shape[1]).transpose(0, 2, 1, 3).reshape(weight.shape)
            tensors |= {key: numpy.ascontiguousarray(weight) for key, weight in split(key, weight).items()}
    names = sorted(tensors)
    halves = [names] if name != "mistral" else [names[:len(names) // 2], names[len(names) // 2:]]
    for number, part in enumerate(halves):
        file = "consolidated.safetensors" if len(halves) == 1 else f"consolidated-{number + 1:05}-of-{len(halves):05}.safetensors"
        save_file({key: tensors[key] for key in part}, folder / file)
    (folder / "params.json").write_text(json.dumps(params(config), indent=2) + "\n")
    print(name, len(tensors), "tensors")
