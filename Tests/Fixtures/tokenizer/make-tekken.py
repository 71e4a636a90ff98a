#!/usr/bin/env python3
"""Writes tekken.json beside this file, small and in the form of Mistral's releases, and tekken-golden.json: how mistral_common encodes with it.

    pip install tokenizers==0.23.3 mistral_common==1.13.1 && python3 make-tekken.py
"""
import base64, json, pathlib, random
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

here = pathlib.Path(__file__).parent
# The corpus and the random texts are those of make-golden.py, up to where it writes its own file.
source, names = (here / "make-golden.py").read_text(), {}
exec(source[:source.index("golden = ")], names)
learnt = json.loads(names["tokenizer"].to_str())["model"]["merges"]
alphabet = {}
spare = 0
for byte in range(256):
    if 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255:
        alphabet[chr(byte)] = byte
    else:
        alphabet[chr(256 + spare)] = byte
        spare += 1
tokens = [bytes([b]) for b in range(256)]
for left, right in (m if isinstance(m, list) else m.split(" ") for m in learnt):
    tokens.append(bytes(alphabet[c] for c in left + right))
tokens = list(dict.fromkeys(tokens))
# A word that no merge reaches and that is a token all the same, and several ways to the same token.
tokens += [t for t in ("xyzzy".encode(), "東京都は".encode(), b"aa", b"aaa", b"aaaa", b"aba", b"ababa", b"zzzzzzz", b" qqq") if t not in tokens]
special = [{"rank": i, "token_str": s, "is_control": True} for i, s in enumerate(names["CONTROL"])]
kept = len(tokens) - 3
document = {"config": {"pattern": names["EXPRESSION"], "num_vocab_tokens": len(tokens), "default_vocab_size": 32 + kept, "default_num_special_tokens": 32, "version": "v7"},
            "vocab": [{"rank": i, "token_bytes": base64.b64encode(t).decode(), "token_str": None} for i, t in enumerate(tokens)], "special_tokens": special}
(here / "tekken.json").write_text(json.dumps(document, separators=(",", ":")))

tekken = Tekkenizer.from_file(here / "tekken.json")
random.seed(8)
texts = ["", "xyzzy", " xyzzy", "xyzzyx", "東京都は日本", "aaaaaaaaaaa", "ababababa", "abaaba", "zzzzzzz", " qqq", "<s>[INST] hi [/INST]</s>", "a" * 300, "ab" * 200, "Größe\r\n\t x"]
texts += ["".join(names["random_scalar"]() for _ in range(random.randint(0, 24))) for _ in range(150)]
texts += ["".join(random.choice("abq xyz\nA1.") for _ in range(random.randint(1, 40))) for _ in range(150)]
golden = [{"text": t, "ids": tekken.encode(t, bos=False, eos=False)} for t in texts]
(here / "tekken-golden.json").write_text(json.dumps(golden, separators=(",", ":")))
print(len(tokens), "tokens,", kept, "kept,", len(golden), "texts")
