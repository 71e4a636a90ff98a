"""Conversations in every format of Mistral's give mistral_common's ids, the spans its assistant's turns fill, and its refusals.

Formats of SentencePiece tokenizers are compared with the releases' own, the others with a release's `tekken.json`. FORGE_PEERS_CASES says how many of each format.

Run from the repository: python3 -m pytest Tests/Peers/test_chat.py   (needs the packages of Tests/Peers/requirements.txt)
"""
import json, os, pathlib, random, runpy, shutil, struct, subprocess
import pytest

tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken")
pytest.importorskip("sentencepiece")
ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(tekken.__file__).parents[2] / "data"
MODELS = {"mistral-v1": "tokenizer.model.v1", "mistral-v2": "mistral_instruct_tokenizer_240216.model.v2", "mistral-v3": "mistral_instruct_tokenizer_240323.model.v3",
          "mistral-v7": "mistral_instruct_tokenizer_241114.model.v7"}


def test_conversations_agree(tmp_path):
    from mistral_common.tokens.tokenizers.sentencepiece import SentencePieceTokenizer

    chat = runpy.run_path(str(ROOT / "Tests/Fixtures/tokenizer/make-chat.py"))
    base = json.loads((DATA / "tekken_240911.json").read_text())
    pieces = {template: SentencePieceTokenizer(DATA / name) for template, name in MODELS.items()}
    cases = list(chat["cases"](random.Random(12), base, tmp_path, int(os.environ.get("FORGE_PEERS_CASES", "400")), 0.25, pieces))
    (tmp_path / "cases.json").write_text(json.dumps([{k: v for k, v in case.items() if k not in ("ids", "spoken", "refused")} for case in cases]))
    for template, name in MODELS.items():
        shutil.copy(DATA / name, tmp_path / f"{template}.model")
    (tmp_path / "tekken.json").write_text(json.dumps(chat["document"](base, "v13")))
    subprocess.run([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ForgeTokenizerTests.ChatGoldenTests"], cwd=os.environ.get("FORGE_PACKAGE", ROOT), check=True,
                   env={**os.environ, "FORGE_PEERS_CHAT": str(tmp_path)})
    ours = json.loads((tmp_path / "out.json").read_text())
    assert len(cases) == len(ours)
    refused = 0
    for case, out in zip(cases, ours):
        said = json.dumps(case, ensure_ascii=True)[:4000]
        if "refused" in case:
            refused += 1
            assert "refused" in out, said
            continue
        # Releases of the second format have no marks for infilling, and the reference writes `<unk>` for them.
        if case["template"] == "mistral-v2" and case["purpose"] == "infilling":
            continue
        assert "refused" not in out, f"{out} {said}"
        assert out["ids"] == case["ids"], said
        assert out.get("spoken") == case.get("spoken", []), said
    print(len(cases), "cases,", refused, "refused")


def test_json_is_written_alike(tmp_path):
    chat = runpy.run_path(str(ROOT / "Tests/Fixtures/tokenizer/make-chat.py"))
    source = random.Random(13)
    texts = [chat["any_json"](source) for _ in range(4000)] + [chat["any_number"](source) for _ in range(6000)]
    texts += [repr(struct.unpack("<d", source.randbytes(8))[0]) for _ in range(6000)]
    for _ in range(4000):
        damaged = list(source.choice(texts[:4000]))
        for _ in range(source.randint(1, 3)):
            at = source.randint(0, len(damaged))
            damaged[at:at + source.randint(0, 2)] = source.choice(["", "{", "}", "[", "]", "\"", ",", ":", "\\", "\\u", "0", "e", "-", " ", "NaN", "\\ud83d", "é"])
        texts.append("".join(damaged))
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    subprocess.run([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ForgeTokenizerTests.PythonJSONTests"], cwd=os.environ.get("FORGE_PACKAGE", ROOT), check=True,
                   env={**os.environ, "FORGE_PEERS_JSON": str(tmp_path)})
    read = 0
    for text, ours in zip(texts, json.loads((tmp_path / "out.json").read_text()), strict=True):
        try:
            theirs = json.dumps(json.loads(text), ensure_ascii=False)
        except json.JSONDecodeError:
            theirs = None
        else:
            # Half a surrogate pair is no character: tokenizers put U+FFFD in its place.
            theirs = theirs.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            read += 1
        assert ours == theirs, ascii(text)
    print(len(texts), "texts,", read, "are JSON")
