"""A tokenizer.model gives our reader the ids and texts of `sentencepiece`, a tokenizer.json of pieces or of another expression those of `tokenizers`.

Run from the repository: python3 -m pytest Tests/Peers/test_sentencepiece.py   (needs the packages of Tests/Peers/requirements.txt)
"""
import base64, copy, io, json, os, pathlib, random, subprocess
import pytest

from test_tokenizer import assigned

tokenizers = pytest.importorskip("tokenizers")
sentencepiece = pytest.importorskip("sentencepiece")
mistral_common = pytest.importorskip("mistral_common")
from mistral_common.tokens.tokenizers.sentencepiece import SentencePieceTokenizer
from sentencepiece import sentencepiece_model_pb2 as proto
ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(mistral_common.__file__).parent / "data"
BLANK = "\u2581"
CONTROL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]"]
EXPRESSIONS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


def texts(source):
    out = ["", " ", "  ", "   ", BLANK, BLANK * 3, " " + BLANK, "[INST] hi [/INST]</s><s><unk>", "[REFERENCE_DOC_3]", "a[REFERENCE_DOC_3]b [REF]c[/REF] d", " [REF]", "[REFERENCE_DOC_12", "<0x41><0xE2>",
           "\0", "a\0b", "\ufeffx", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\n", "\r\n\t x", "e\u0301", "\u00e9", "it's IT'S '\u017f 'LL we'Re", "<tool> <tool>x  <tool>  [w][w] x[w] y\u00a0[w] \u2003z", "==>==>>"]
    out += ["".join(assigned(source) for _ in range(source.randint(0, 40))) for _ in range(2000)]
    out += ["".join(source.choice(" \t\r\n aAbB19/.-é東\u0301ǅ'sS") for _ in range(source.randint(1, 30))) for _ in range(1500)]
    out += ["".join(source.choice([" ", "  ", "    ", BLANK, "the", " the", "ing", "a", "aa", "ab", "[INST]", "[REFERENCE_DOC_1]", "[REF]", "<tool>", "[w]", "é", "東京", "1234", "\n", "=", "'ll", "\U0001f600"]) for _ in range(12)) for _ in range(1500)]
    out += [source.choice("a =-e\n ") * source.randint(1, 200) for _ in range(300)]
    out += [path.read_text() for path in sorted((ROOT / "docs/formats").glob("*.md"))] + ["a" * 50_000, "ab" * 30_000, " " * 5_000, "the " * 10_000]
    return out


def noise(source):
    """Bytes that are no UTF-8: sentencepiece replaces each, `tokenizers` never sees any."""
    return [bytes(source.choice([source.randint(0, 255), 0x61, 0x20, 0xe2, 0x96, 0x81, 0xf0, 0xed, 0xa0]) for _ in range(source.randint(1, 20))) for _ in range(1000)]


def lines(source):
    syllables = "per mit re cord au dit seal ing mod el to ken for ge the and of in spec tion ap prov al keep er Größe é 東京 日本 12 3 == a aa aaa  ".split()
    return ["".join(source.choice(syllables) + source.choice(["", "", " ", "  "]) for _ in range(source.randint(3, 30))) for _ in range(2000)]


def train(source, **more):
    settings = {"byte_fallback": True, "vocab_size": 900, "add_dummy_prefix": True, "model_type": "bpe", "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
                "allow_whitespace_only_pieces": True, "split_digits": True, "minloglevel": 2, **more}
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines(source)), model_writer=model, **settings)
    return model.getvalue()


def changed(model, change):
    parsed = proto.ModelProto()
    parsed.ParseFromString(model)
    change(parsed)
    return parsed.SerializeToString()


def models(source):
    plain = train(source, control_symbols=["[INST]", "[/INST]"], user_defined_symbols=["[REF]", "[REFERENCE_DOC_1]", "<tool>", "==>"])
    out = {path.name: path.read_bytes() for path in sorted(DATA.glob("*.model.v*"))}
    assert len(out) >= 4
    out["plain.model"] = plain
    out["without-prefix.model"] = train(source, add_dummy_prefix=False)
    out["without-bytes.model"] = train(source, byte_fallback=False, character_coverage=0.98, vocab_size=600)
    # Pieces of one score, and a character that stands inside pieces alone.
    out["ties.model"] = changed(plain, lambda m: [setattr(p, "score", float(-(i // 40))) for i, p in enumerate(m.pieces)])
    out["ghosts.model"] = changed(plain, lambda m: [setattr(p, "piece", f"zq{i}") for i, p in enumerate(m.pieces) if p.piece in ("e", "r", BLANK)])
    return out


def ours(tmp_path, files, texts, lists):
    (tmp_path / "texts.json").write_text(json.dumps([base64.b64encode(t).decode() for t in texts]))
    (tmp_path / "files.json").write_text(json.dumps(list(files)))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / f"{name}.lists").write_text(json.dumps(lists[name]))
    subprocess.run([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ForgeTokenizerTests.PeerTests"], cwd=os.environ.get("FORGE_PACKAGE", ROOT), check=True,
                   env={**os.environ, "FORGE_PEERS_PIECES": str(tmp_path)})
    return {name: (json.loads((tmp_path / f"{name}.ids").read_text()), [base64.b64decode(t).decode() for t in json.loads((tmp_path / f"{name}.texts").read_text())],
                   (tmp_path / f"{name}.kept").read_text()) for name in files}


def test_sentencepiece(tmp_path):
    source = random.Random(5)
    files, words = models(source), texts(source)
    given = [t.encode() for t in words] + noise(source)
    theirs = {name: sentencepiece.SentencePieceProcessor(model_proto=content) for name, content in files.items()}
    lists = {}
    for name, peer in theirs.items():
        size, begins = peer.get_piece_size(), [i for i in range(peer.get_piece_size()) if peer.id_to_piece(i).startswith(BLANK)]
        bytes_ = [i for i in range(size) if peer.is_byte(i)] or [0]
        lists[name] = [[source.choice([source.randrange(size), source.choice(begins), source.choice(bytes_), source.randrange(8)]) for _ in range(source.randint(0, 12))] for _ in range(2000)]
    found = ours(tmp_path, files, given, lists)
    for name, peer in theirs.items():
        ids, decoded, kept = found[name]
        for text, mine in zip(given, ids, strict=True):
            assert peer.encode(text) == mine, (name, ascii(text[:200]))
            assert not any(peer.is_control(i) for i in mine)
        for ids_, mine in zip(lists[name], decoded, strict=True):
            assert peer.decode(ids_) == mine, (name, ids_)
        if ".model.v" in name:
            version = SentencePieceTokenizer(tmp_path / name)
            for text, mine in zip(words[:1000], ids):
                assert version.encode(text, bos=False, eos=False) == mine and version.decode(mine) == text.replace(BLANK, " "), (name, ascii(text))
        # As it is kept, the library for tokenizer.json finds the same.
        if name == "ghosts.model":
            continue
        reader = tokenizers.Tokenizer.from_str(kept)
        reader.encode_special_tokens = True
        differ = [text for text, mine in zip(words, ids) if reader.encode(text, add_special_tokens=False).ids != mine]
        print(name, len(differ), "differ as tokenizer.json", [ascii(t[:60]) for t in differ[:5]])
        assert len(differ) <= (1 if peer.get_piece_size() else 0), name
