"""Files that the `gguf` package writes read here as it reads them, whatever their type; files written here it reads as ours.

Run from the repository: python3 -m pytest Tests/Peers/test_gguf.py   (needs the packages of Tests/Peers/requirements.txt)
"""
import os, pathlib, subprocess, sys
import pytest

np = pytest.importorskip("numpy")
gguf = pytest.importorskip("gguf")
load_file = pytest.importorskip("safetensors.numpy").load_file
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests/Fixtures/gguf"))
from make_models import write  # noqa: E402

T = gguf.GGMLQuantizationType
# Where the half-precision numbers of a block stand.
HALVES = {
    T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0],
}
TYPES = [T.F32, T.F16, T.BF16, *HALVES, T.MXFP4, T.NVFP4]
CONFIG = dict(
    vocab_size=70, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=64, max_position_embeddings=64, rms_norm_eps=1e-5,
    rope_theta=10000.0, tie_word_embeddings=False,
)
PARTS = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "ffn_gate_inp": "block_sparse_moe.gate",
}
EXPERTS = {"ffn_gate_exps": "w1", "ffn_up_exps": "w3", "ffn_down_exps": "w2"}


def packer(kind, random):
    """Blocks of random bits under random scales: every code occurs."""
    numbers, size = gguf.GGML_QUANT_SIZES[kind]

    def pack(array):
        if kind in (T.F32, T.F16, T.BF16):
            return gguf.quants.quantize(array, kind), kind
        blocks = array.size // numbers
        raw = random.integers(0, 256, (blocks, size), dtype=np.uint8)
        for at in HALVES.get(kind, []):
            raw[:, at:at + 2] = random.standard_normal(blocks).astype(np.float16).view(np.uint8).reshape(blocks, 2)
        return raw.reshape(*array.shape[:-1], array.shape[-1] // numbers * size), kind

    return pack


def parameters(config, random):
    h, f, d = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, k = config["num_attention_heads"] * d, config["num_key_value_heads"] * d
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], h), "model.norm.weight": (h,), "lm_head.weight": (config["vocab_size"], h)}
    for n in range(config["num_hidden_layers"]):
        layer = f"model.layers.{n}."
        shapes |= {layer + "input_layernorm.weight": (h,), layer + "post_attention_layernorm.weight": (h,)}
        for part, shape in (("q", (q, h)), ("k", (k, h)), ("v", (k, h)), ("o", (h, q))):
            shapes[f"{layer}self_attn.{part}_proj.weight"] = shape
        experts = config.get("num_local_experts")
        if not experts:
            shapes |= {layer + "mlp.gate_proj.weight": (f, h), layer + "mlp.up_proj.weight": (f, h), layer + "mlp.down_proj.weight": (h, f)}
            continue
        shapes[layer + "block_sparse_moe.gate.weight"] = (experts, h)
        for e in range(experts):
            shapes |= {f"{layer}block_sparse_moe.experts.{e}.{part}.weight": shape for part, shape in (("w1", (f, h)), ("w3", (f, h)), ("w2", (h, f)))}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def value(reader, key):
    field = reader.fields.get(key)
    return field and field.contents()


def ours(path):
    """What a file holds, by our names, in float32, as the package decodes it."""
    reader, out = gguf.GGUFReader(path), {}
    arch = value(reader, "general.architecture")
    heads = {part: value(reader, f"{arch}.attention.{key}") for part, key in (("attn_q", "head_count"), ("attn_k", "head_count_kv"))}
    for tensor in reader.tensors:
        shape = [int(extent) for extent in reversed(tensor.shape)]
        numbers = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        whole = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}.get(tensor.name)
        if whole:
            out[whole] = numbers
            continue
        _, layer, part, _ = tensor.name.split(".")
        if part in EXPERTS:
            for expert in range(shape[0]):
                out[f"model.layers.{layer}.block_sparse_moe.experts.{expert}.{EXPERTS[part]}.weight"] = numbers[expert]
            continue
        if part in heads:  # neighbours become rows (i, i + d/2) of a head
            d = shape[0] // heads[part]
            numbers = numbers.reshape(heads[part], d // 2, 2, -1).swapaxes(1, 2).reshape(shape)
        out[f"model.layers.{layer}.{PARTS[part]}.weight"] = numbers
    return reader, out


def bits(array):
    """All that are no numbers alike: what a NaN carries is nobody's promise."""
    return np.where(np.isnan(array), np.float32(np.nan), array).view(np.uint32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    for kind in TYPES:
        random = np.random.default_rng(int(kind) + 5)
        for name, config in (("dense", CONFIG), ("mixture", CONFIG | dict(num_local_experts=3, num_experts_per_tok=2))):
            write(folder / f"{kind.name}-{name}.gguf", parameters(config, random), config, "llama", pack=packer(kind, random), tokens=False)
    subprocess.run([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ForgeGGUFTests.PeerTests"], cwd=os.environ.get("FORGE_PACKAGE", ROOT), check=True,
                   env={**os.environ, "FORGE_PEERS_GGUF": str(folder)})
    return folder


@pytest.mark.parametrize("name", ["dense", "mixture"])
@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_every_type_reads_the_same(folder, kind, name):
    _, wanted = ours(folder / f"{kind.name}-{name}.gguf")
    got = load_file(folder / f"{kind.name}-{name}.safetensors")
    assert got.keys() == wanted.keys()
    for key, numbers in got.items():
        assert (bits(numbers) == bits(wanted[key])).all(), key


@pytest.mark.parametrize("matrices", ["bf16", "q8_0", "q4_0"])
@pytest.mark.parametrize("family", ["dense", "tied", "yarn", "ministral3", "mixtral"])
def test_our_export_reads_as_the_model(folder, family, matrices):
    reader, got = ours(folder / f"export-{family}-{matrices}.gguf")
    wanted = load_file(folder / f"export-{family}.safetensors")
    assert got.keys() == wanted.keys()
    types = {tensor.name: tensor.tensor_type for tensor in reader.tensors}
    assert set(types.values()) == {T.F32, T[matrices.upper()]} | ({T.Q8_0} if matrices == "q4_0" else set())
    for key, numbers in wanted.items():
        if numbers.ndim == 1 or key.endswith("moe.gate.weight"):
            assert (got[key] == numbers).all()
            continue
        kind = T.Q8_0 if matrices == "q4_0" and key in ("model.embed_tokens.weight", "lm_head.weight") else T[matrices.upper()]
        encoded = gguf.quants.quantize(numbers, kind)
        assert (bits(got[key]) == bits(gguf.quants.dequantize(encoded, kind).astype(np.float32))).all(), key
    tokens, kinds = value(reader, "tokenizer.ggml.tokens"), value(reader, "tokenizer.ggml.token_type")
    assert len(tokens) == len(kinds) == wanted["model.embed_tokens.weight"].shape[0] and tokens[:3] == ["<unk>", "<s>", "</s>"]
    assert kinds[:20] == [3] * 20 and set(kinds[20:-5]) == {1} and kinds[-5:] == [5] * 5
    assert value(reader, "tokenizer.ggml.pre") == "tekken" and value(reader, "tokenizer.ggml.model") == "gpt2" and all(len(line.split(" ")) == 2 for line in value(reader, "tokenizer.ggml.merges"))
