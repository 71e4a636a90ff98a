"""Checkpoints that transformers wrote, read and written again by us, give transformers the same logits; our decoder gives them too.

Run from the repository, where `swift build` has made the programs: python3 -m pytest Tests/Peers/test_checkpoints.py
"""
import json, os, pathlib, runpy, subprocess
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
ROOT = pathlib.Path(__file__).resolve().parents[2]

BASE = dict(vocab_size=71, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16, max_position_embeddings=128, rms_norm_eps=1e-5)
STRETCH = dict(rope_type="yarn", rope_theta=1e6, factor=4.0, original_max_position_embeddings=32, beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1)
FAMILIES = {
    "mistral": ("Mistral", dict(sliding_window=None)),
    "mistral-tied": ("Mistral", dict(sliding_window=9, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1e6))),
    "ministral": ("Ministral", dict(sliding_window=7, layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "ministral3": ("Ministral3", dict(rope_parameters=STRETCH)),
    "mixtral": ("Mixtral", dict(num_local_experts=4, num_experts_per_tok=2, experts_implementation="eager")),
}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
IDS = [[(5 * i * i + 7 * n) % 71 for i in range(n)] for n in (43, 1, 90)]


def logits(folder):
    mixture = json.loads((folder / "config.json").read_text())["model_type"] == "mixtral"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **(dict(experts_implementation="eager") if mixture else {})).double().eval()
    with torch.no_grad():
        return torch.cat([model(torch.tensor([row])).logits[0] for row in IDS])


def test_logits_agree(tmp_path):
    theirs = {}
    for seed, (family, (kind, changes)) in enumerate(FAMILIES.items()):
        for dtype in DTYPES:
            for shards in (False, True):
                torch.manual_seed(seed)
                name = f"{family}-{dtype}" + ("-shards" if shards else "")
                folder = tmp_path / name / "theirs"
                model = getattr(transformers, f"{kind}ForCausalLM")(getattr(transformers, f"{kind}Config")(**{**BASE, **changes}))
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.copy_(torch.randn_like(parameter) * 0.2 + (parameter.dim() == 1))
                model.to(DTYPES[dtype]).save_pretrained(folder, max_shard_size="20KB" if shards else "1GB")
                assert (folder / "model.safetensors").exists() != shards
                (folder / "tokenizer.json").write_text("{}")
                (folder.parent / "ids.json").write_text(json.dumps(IDS))
                theirs[name] = logits(folder)
    subprocess.run([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ForgeCheckpointTests.PeerTests"], cwd=os.environ.get("FORGE_PACKAGE", ROOT), check=True,
                   env={**os.environ, "FORGE_PEERS_CHECKPOINTS": str(tmp_path)})
    for name, wanted in theirs.items():
        folder = tmp_path / name
        for way in ("ours", "shards"):
            assert torch.equal(logits(folder / way), wanted), f"{name} {way}"
        ours = torch.frombuffer(bytearray((folder / "ours.f32").read_bytes()), dtype=torch.float32).reshape(wanted.shape).double()
        off = ((ours - wanted).abs().max() / wanted.abs().max()).item()
        assert off <= 1e-5, f"{name} {off}"
        if (folder / "theirs" / "model.safetensors").exists() and "f16" not in name.split("-"):
            assert (folder / "ours" / "model.safetensors").read_bytes() == (folder / "theirs" / "model.safetensors").read_bytes(), name


def test_large4_is_understood(tmp_path):
    """Fresh weights of Mistral Large 4, of other sizes than the golden's, as transformers writes them: the plain pass names the same next tokens."""
    tools = runpy.run_path(str(ROOT / "Tests/Fixtures/checkpoint/make-large4.py"))
    program = pathlib.Path(os.environ.get("FORGE_PACKAGE", ROOT)) / ".build/debug/forge"
    shapes = [
        dict(),
        dict(hidden_size=40, num_attention_heads=5, num_key_value_heads=5, qk_nope_head_dim=8, v_head_dim=6, n_routed_experts=6, num_experts_per_tok=3, n_shared_experts=2, index_topk=40),
        # Nothing but the class's own rules for which layers turn, choose and have experts.
        dict(num_hidden_layers=5, no_rope_layers=None, kv_source_layers=None, indexer_types=None, rope_parameters=dict(rope_type="default", rope_theta=100.0), final_logit_softcapping=30.0),
    ]
    for seed, changes in enumerate(shapes):
        model = tools["make"](100 + seed, {**tools["TEXT"], **changes})
        folder = tmp_path / str(seed)
        model.save_pretrained(folder, max_shard_size="60KB" if seed else "1GB")
        for tokens in IDS[:2]:
            tokens = [token % 41 for token in tokens]
            said = subprocess.run([program, "model", "inspect", folder, "--tokens", ",".join(map(str, tokens)), "-o", "json"], capture_output=True, text=True, check=True)
            item = json.loads(said.stdout)["item"]
            inner = model.model.language_model
            assert item["is_whole"] and item["parameters"] == sum(p.numel() for p in [*inner.parameters(), inner.rotary_emb.alpha, *model.lm_head.parameters()])
            with torch.no_grad():
                wanted = model(torch.tensor([tokens])).logits[0, -1].double().log_softmax(-1)
            for given in item["next"]:
                assert abs(given["log_probability"] - wanted[given["token"]].item()) <= 2e-5, (seed, given)
            assert wanted.topk(5).values.min() - 2e-5 <= min(given["log_probability"] for given in item["next"])
