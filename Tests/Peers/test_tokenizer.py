"""Our tokenizer.json, loaded by Hugging Face `tokenizers`, gives our ids; its decoder gives the text back.

Run from the repository: python3 -m pytest Tests/Peers/test_tokenizer.py   (needs the packages of Tests/Peers/requirements.txt)
"""
import json, os, pathlib, random, subprocess, unicodedata
import pytest

tokenizers = pytest.importorskip("tokenizers")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def assigned(random_source):
    while True:
        c = chr(random_source.choice([random_source.randint(0, 0x17f), random_source.randint(0x300, 0x17ff), random_source.randint(0x2000, 0xd7ff), random_source.randint(0xe000, 0x1ffff)]))
        if unicodedata.category(c) not in ("Cn", "Cs", "Co"):
            return c


def test_ids_and_text_agree(tmp_path):
    source = random.Random(7)
    texts = ["".join(assigned(source) for _ in range(source.randint(0, 40))) for _ in range(2000)]
    texts += ["".join(source.choice(" \t\r\n aAbB19/.-é東\u0301ǅ") for _ in range(30)) for _ in range(2000)]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    subprocess.run([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ForgeTokenizerTests.GoldenTests"], cwd=os.environ.get("FORGE_PACKAGE", ROOT), check=True,
                   env={**os.environ, "FORGE_PEERS_TOKENIZER": str(tmp_path)})
    ours = json.loads((tmp_path / "ids.json").read_text())
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode("a").ids[0] == theirs.token_to_id("<s>")
    for text, ids in zip(texts, ours, strict=True):
        assert theirs.encode(text, add_special_tokens=False).ids == ids, ascii(text)
        assert theirs.decode(ids) == text, ascii(text)
