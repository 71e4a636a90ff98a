#!/usr/bin/env python3
"""Decoders of Tests/Fixtures/compute as llama.cpp's converter lays them out, written by its own Python package.

    pip install gguf safetensors numpy      (made with gguf 0.19)
    python3 Tests/Fixtures/gguf/make_models.py

Tensors, keys and the order of query and key rows are those of llama.cpp's conversion of LlamaForCausalLM, Mistral3 (ministral3) and Mixtral. What they are
compared with is in the files they come from: transformers' logits. The one tokenizer is a SentencePiece vocabulary of six pieces.
"""
import json, pathlib
import numpy as np
import gguf
from safetensors import safe_open

here = pathlib.Path(__file__).parent


def paired(weight, heads):
    """Rows (i, i + d/2) of a head become neighbours."""
    d = weight.shape[0] // heads
    return weight.reshape(heads, 2, d // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def decoder(golden):
    with safe_open(here.parent / f"compute/{golden}.safetensors", "np") as file:
        tensors = {key[6:]: file.get_tensor(key) for key in file.keys() if key.startswith("param.")}
        return tensors, json.loads(file.metadata()["config"])


def write(path, tensors, config, arch, pack=None, tokens=True):
    rope = config.get("rope_parameters") or {}
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type("model")
    writer.add_name(path.stem)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(rope.get("rope_theta", config.get("rope_theta")))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    if rope.get("rope_type") == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(rope.get("beta_fast") or 32.0)
        writer.add_rope_scaling_yarn_beta_slow(rope.get("beta_slow") or 1.0)
        if rope.get("mscale_all_dim"):
            writer.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"])
    if arch == "mistral3" and rope.get("llama_4_scaling_beta"):
        writer.add_attn_temperature_scale(rope["llama_4_scaling_beta"])
    experts = config.get("num_local_experts")
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if tokens == "sentence-pieces":
        writer.add_tokenizer_model("llama")
        writer.add_token_list(["<unk>", "<s>", "</s>", "\u2581a", "\u2581", "a", "b", "ab"])
        writer.add_token_scores([0.0, 0.0, 0.0, -1.5, -3.0, -3.5, -4.0, -2.25])
        writer.add_token_types([2, 3, 3, 1, 1, 1, 1, 1])
    if tokens:
        writer.add_bos_token_id(config["bos_token_id"])
        writer.add_eos_token_id(config["eos_token_id"])

    def add(name, array):
        array = np.ascontiguousarray(array, np.float32)
        if pack is None or array.ndim < 2:
            writer.add_tensor(name, array)
        else:
            data, kind = pack(array)
            writer.add_tensor(name, data, raw_dtype=kind)

    def take(name):
        return tensors.pop(name)

    add("token_embd.weight", take("model.embed_tokens.weight"))
    for n in range(config["num_hidden_layers"]):
        layer = f"model.layers.{n}."
        add(f"blk.{n}.attn_norm.weight", take(layer + "input_layernorm.weight"))
        add(f"blk.{n}.attn_q.weight", paired(take(layer + "self_attn.q_proj.weight"), config["num_attention_heads"]))
        add(f"blk.{n}.attn_k.weight", paired(take(layer + "self_attn.k_proj.weight"), config["num_key_value_heads"]))
        add(f"blk.{n}.attn_v.weight", take(layer + "self_attn.v_proj.weight"))
        add(f"blk.{n}.attn_output.weight", take(layer + "self_attn.o_proj.weight"))
        add(f"blk.{n}.ffn_norm.weight", take(layer + "post_attention_layernorm.weight"))
        if experts:
            add(f"blk.{n}.ffn_gate_inp.weight", take(layer + "block_sparse_moe.gate.weight"))
            for ours, theirs in (("w1", "ffn_gate_exps"), ("w3", "ffn_up_exps"), ("w2", "ffn_down_exps")):
                add(f"blk.{n}.{theirs}.weight", np.stack([take(f"{layer}block_sparse_moe.experts.{e}.{ours}.weight") for e in range(experts)]))
        else:
            for ours, theirs in (("gate", "ffn_gate"), ("up", "ffn_up"), ("down", "ffn_down")):
                add(f"blk.{n}.{theirs}.weight", take(layer + f"mlp.{ours}_proj.weight"))
    add("output_norm.weight", take("model.norm.weight"))
    if not config["tie_word_embeddings"]:
        add("output.weight", take("lm_head.weight"))
    assert not {k for k in tensors if k != "lm_head.weight"}, tensors.keys()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    for golden, name, arch, tokens in (
        ("decoder-plain", "llama", "llama", "sentence-pieces"), ("decoder-tied", "tied", "llama", True), ("decoder-yarn", "yarn", "llama", True),
        ("decoder-ministral3", "mistral3", "mistral3", True), ("mixtral-plain", "mixtral", "llama", True),
    ):
        write(here / f"{name}.gguf", *decoder(golden), arch, tokens=tokens)
