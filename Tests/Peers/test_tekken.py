"""A real release's tekken.json gives our reader mistral_common's ids; kept as tokenizer.json it gives Hugging Face `tokenizers` the same.

Run from the repository: python3 -m pytest Tests/Peers/test_tekken.py   (needs the packages of Tests/Peers/requirements.txt)
"""
import json, os, pathlib, random, shutil, subprocess
import pytest

from test_tokenizer import assigned

tokenizers = pytest.importorskip("tokenizers")
tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_ids_agree(tmp_path):
    source = random.Random(11)
    texts = ["".join(assigned(source) for _ in range(source.randint(0, 40))) for _ in range(3000)]
    texts += ["".join(source.choice(" \t\r\n aAbB19/.-é東\u0301ǅ") for _ in range(30)) for _ in range(2000)]
    texts += ["".join(source.choice(["[INST]", "</s>", "ab", "a", " the", "ing", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2003", "=", "1234", "zz"]) for _ in range(12)) for _ in range(1000)]
    texts += [path.read_text() for path in sorted((ROOT / "docs/formats").glob("*.md"))] + ["a" * 100_000, "ab" * 50_000, " " * 5_000]
    real = next((pathlib.Path(tekken.__file__).parents[2] / "data").glob("tekken_240911.json"))
    shutil.copy(real, tmp_path / "tekken.json")
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    subprocess.run([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ForgeTokenizerTests.TekkenTests"], cwd=os.environ.get("FORGE_PACKAGE", ROOT), check=True,
                   env={**os.environ, "FORGE_PEERS_TEKKEN": str(tmp_path)})
    ours = json.loads((tmp_path / "ids.json").read_text())
    theirs, kept = tekken.Tekkenizer.from_file(tmp_path / "tekken.json"), tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text, ids in zip(texts, ours, strict=True):
        assert theirs.encode(text, bos=False, eos=False) == ids, ascii(text[:200])
    # Names of control tokens apart, which that library looks for in any text.
    for text, ids in zip(texts, ours, strict=True):
        if "[INST]" not in text and "</s>" not in text and len(text) < 50_000:
            assert kept.encode(text, add_special_tokens=False).ids == ids, ascii(text[:200])
