"""PEFT's adapters give our decoder PEFT's logits; ours give PEFT our logits; merged ones give transformers the unmerged logits.

Run from the repository: python3 -m pytest Tests/Peers/test_peft.py
"""
import json, os, pathlib, subprocess
import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
ROOT = pathlib.Path(__file__).resolve().parents[2]

DENSE = dict(vocab_size=67, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=128)
CASES = {
    "all-linear": (DENSE, torch.float32, dict(r=4, lora_alpha=8, target_modules="all-linear")),
    "attention": (DENSE, torch.float32, dict(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj"], lora_dropout=0.1)),
    "rslora-tied": ({**DENSE, "tie_word_embeddings": True, "sliding_window": 7}, torch.float32, dict(r=9, lora_alpha=5, use_rslora=True, target_modules=["self_attn.k_proj", "mlp.down_proj"])),
    "half": (DENSE, torch.float16, dict(r=4, lora_alpha=8, init_lora_weights="gaussian", target_modules=["o_proj", "up_proj", "gate_proj"])),
    "bfloat": (DENSE, torch.bfloat16, dict(r=40, lora_alpha=1, target_modules=["q_proj", "o_proj", "down_proj"])),
}


def logits(model, ids):
    with torch.no_grad():
        return torch.cat([model.double().eval()(torch.tensor([row])).logits[0] for row in ids])


def off(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def stored(path, vocabulary):
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32).reshape(-1, vocabulary).double()


def test_logits_and_files_agree(tmp_path):
    ids = [[(7 * i * i + 3 * n) % 67 for i in range(n)] for n in (41, 1, 18)]
    models = {}
    for seed, (name, (config, dtype, adapter)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        folder = tmp_path / name
        model = transformers.MistralForCausalLM(transformers.MistralConfig(**config))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.2 + (parameter.dim() == 1))
        model.save_pretrained(folder / "base")
        (folder / "base" / "tokenizer.json").write_text("{}")
        model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **adapter), autocast_adapter_dtype=False)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_" in key:
                    parameter.data = (torch.randn_like(parameter) * 0.3).to(dtype)
        model.save_pretrained(folder / "theirs")
        (folder / "ids.json").write_text(json.dumps(ids))
        models[name] = logits(model, ids)
    subprocess.run([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ForgeCheckpointTests.PeerTests"], cwd=os.environ.get("FORGE_PACKAGE", ROOT), check=True,
                   env={**os.environ, "FORGE_PEERS_PEFT": str(tmp_path)})
    for name, theirs in models.items():
        folder, vocabulary = tmp_path / name, theirs.shape[1]

        def load(adapter):
            base = transformers.MistralForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
            return base if adapter is None else peft.PeftModel.from_pretrained(base, folder / adapter)

        plain = logits(load(None), ids)
        assert off(plain, theirs) > 1e-2, name
        assert off(stored(folder / "theirs.f32", vocabulary), theirs) <= 1e-5, name
        assert (folder / "kept" / "adapter_model.safetensors").read_bytes() == (folder / "theirs" / "adapter_model.safetensors").read_bytes(), name
        assert off(logits(load("kept"), ids), theirs) <= 1e-12, name
        ours = logits(load("ours"), ids)
        assert off(ours, plain) > 1e-2 and off(stored(folder / "ours.f32", vocabulary), ours) <= 1e-5, name
        peft.PeftModel.from_pretrained(load(None), folder / "ours").save_pretrained(folder / "again")
        assert (folder / "again" / "adapter_model.safetensors").read_bytes() == (folder / "ours" / "adapter_model.safetensors").read_bytes(), name
        merged = transformers.AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32)
        assert off(logits(merged, ids), theirs) <= 1e-5, name
