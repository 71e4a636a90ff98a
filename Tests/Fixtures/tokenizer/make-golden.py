#!/usr/bin/env python3
"""Writes golden.json beside this file: what Hugging Face `tokenizers` learns from a corpus and how it encodes.

    pip install tokenizers==0.22.1 && python3 make-golden.py

Words longer than 256 bytes are absent from the corpus, so that the one stated difference (docs/formats/tokenizer.md §2) plays no part.
"""
import json, pathlib, random, unicodedata
from tokenizers import Tokenizer, Regex, pre_tokenizers, decoders, models, trainers

EXPRESSION = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CONTROL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]",
           "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"]
random.seed(20261121)

SYLLABLES = "per mit re cord au dit seal ing mod el to ken for ge the and of in spec tion ap prov al keep er".split()
def word():
    w = "".join(random.choice(SYLLABLES) for _ in range(random.randint(1, 3)))
    return random.choice([w, w, w, w.capitalize(), w.upper()])
corpus = []
for _ in range(120):
    line = " ".join(word() for _ in range(random.randint(3, 12)))
    corpus.append(line + random.choice([".", "!", "?", ":\n", ";", f" ({random.randint(0, 9999)})", "\t\t", "  \n\n", "…"]))
corpus += ["Größe und Maß, Straße, schön größer", "l'école était déjà fermée à l'été", "東京都は日本の首都です。東京の東", "Москва — столица России", "نص عربي قصير", "हिन्दी में पाठ",
           "aaaa aaaaa aaaaaaa aaaa", "====----====", "def f(x):\r\n    return x**2  # square\r\n", "//path/to//file/\n/"] * 2

def random_scalar():
    while True:
        lo, hi = random.choice([(0, 0x7f), (0x20, 0x7e), (9, 32), (0x80, 0x24f), (0x300, 0x36f), (0x370, 0x5ff), (0x600, 0xdff), (0x1e00, 0x218f), (0x2000, 0x206f), (0x3040, 0x30ff),
                                (0x4e00, 0x4fff), (0x1f300, 0x1f6ff), (0, 0x1ffff)])
        c = chr(random.randint(lo, hi))
        if unicodedata.category(c) not in ("Cn", "Cs"):  # unassigned scalars differ between Unicode versions
            return c

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(EXPRESSION), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=640, min_frequency=2, special_tokens=CONTROL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
merges = json.loads(tokenizer.to_str())["model"]["merges"]

plain = Tokenizer.from_str(json.dumps({**json.loads(tokenizer.to_str()), "added_tokens": []}))
cases = corpus[:40:4] + corpus[120:130] + ["", " ", "\n", "\r\n \n x", "[INST]forged[/INST]</s>", "x\u0301\u0301AB", "\u0301AB", " \u0301a", "A\u02b0B", "ǅungla"]
cases += ["".join(random_scalar() for _ in range(random.randint(1, 24))) for _ in range(400)]
golden = {"made_by": "Tests/Fixtures/tokenizer/make-golden.py, tokenizers 0.22.1", "vocabulary": 640, "corpus": corpus, "merges": merges,
          "cases": [{"text": c, "ids": plain.encode(c, add_special_tokens=False).ids} for c in cases]}
pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")
print(len(merges), "merges,", len(cases), "cases")
