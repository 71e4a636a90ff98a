#!/usr/bin/env python3
"""Writes pieces.model and pieces.json beside this file, small and in the form of Mistral's releases, and pieces-golden.json: how sentencepiece and tokenizers encode and decode with them.

    pip install sentencepiece==0.2.3 tokenizers==0.22.1 && python3 make-pieces.py
"""
import base64, io, json, pathlib, random
import sentencepiece
from tokenizers import Tokenizer

here = pathlib.Path(__file__).parent
# The corpus and the random texts are those of make-golden.py, up to where it writes its own file.
source, names = (here / "make-golden.py").read_text(), {}
exec(source[:source.index("golden = ")], names)
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(names["corpus"] + ["aaaa aa   a", "x    y        z"] * 20), model_writer=model, model_type="bpe", vocab_size=620, normalization_rule_name="identity", remove_extra_whitespaces=False,
    add_dummy_prefix=True, byte_fallback=True, allow_whitespace_only_pieces=True, split_digits=True, character_coverage=0.995, control_symbols=["[INST]", "[/INST]", "[TOOL_CALLS]"],
    user_defined_symbols=["[REF]", "[/REF]", "==>"], minloglevel=2)
(here / "pieces.model").write_bytes(model.getvalue())
peer = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
size = peer.get_piece_size()

random.seed(9)
texts = ["", " ", "   ", "\u2581", " \u2581 ", "[INST] hi [/INST]</s><s>", "a[REF]b[/REF] [REF]", "==>x ==>", "<0x41>", "\0", "e\u0301 \u00e9", "a" * 300, " " * 70, "the keeper " * 20, "Größe\r\n\t x"]
texts += ["".join(names["random_scalar"]() for _ in range(random.randint(0, 24))) for _ in range(200)]
texts += ["".join(random.choice(["a", "aa", " ", "  ", "\u2581", "per", "mit", " the", "==>", "[REF]", "é", "東", "\n", "1"]) for _ in range(random.randint(1, 20))) for _ in range(200)]
given = [t.encode() for t in texts] + [bytes(random.choice([random.randint(0, 255), 0x61, 0x20, 0xe2, 0x96, 0x81, 0xf0, 0xed, 0xa0]) for _ in range(random.randint(1, 12))) for _ in range(100)]
lists = [[random.choice([random.randrange(size), random.randrange(12, 268), random.randrange(12)]) for _ in range(random.randint(0, 8))] for _ in range(300)]
begins = [i for i in range(size) if peer.id_to_piece(i).startswith("\u2581")]
lists += [[random.choice([1, 3]), random.choice(begins), random.choice(begins)] for _ in range(30)]

# As a conversion to tokenizer.json has it: the same pieces, `Metaspace` in place of the dummy prefix, and tokens added later.
pieces = [peer.id_to_piece(i) for i in range(size)]
known, merges = {p: i for i, p in enumerate(pieces)}, []
for piece in sorted((p for i, p in enumerate(pieces) if not (peer.is_control(i) or peer.is_byte(i) or peer.is_unknown(i))), key=lambda p: -peer.get_score(known[p])):
    merges += [[piece[:i], piece[i:]] for i in range(1, len(piece)) if piece[:i] in known and piece[i:] in known]
added = [(i, p, "", True) for i, p in enumerate(pieces) if peer.is_control(i) or peer.is_unknown(i)] + [(size, "<tool>", "", False), (size + 1, "[w]", "lr", False), (size + 2, "note:", "n", False)]
document = {
    "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
    "added_tokens": [{"id": i, "content": p, "single_word": False, "lstrip": "l" in f, "rstrip": "r" in f, "normalized": "n" in f, "special": s} for i, p, f, s in added],
    "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False},
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, "vocab": known, "merges": merges}}
(here / "pieces.json").write_text(json.dumps(document, separators=(",", ":")))
reader = Tokenizer.from_str(json.dumps(document))
reader.encode_special_tokens = True
later = texts + ["".join(random.choice(["<tool>", "[w]", " ", "  ", "note:", "a", "the", "\u2003", "\n", "[INST]"]) for _ in range(random.randint(1, 12))) for _ in range(200)]

golden = {"encode": [{"text": base64.b64encode(t).decode(), "ids": peer.encode(t)} for t in given], "decode": [{"ids": ids, "text": peer.decode(ids)} for ids in lists],
          "json": [{"text": t, "ids": (ids := reader.encode(t, add_special_tokens=False).ids), "back": reader.decode(ids)} for t in later]}
(here / "pieces-golden.json").write_text(json.dumps(golden, separators=(",", ":")))
print(size, "pieces,", len(merges), "merges,", len(given), "texts")
