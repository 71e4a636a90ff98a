#!/usr/bin/env python3
"""Writes chat-golden.json beside this file: how mistral_common lays conversations out with tekken.json, in its formats of versions 3 and 7.

    pip install mistral_common==1.13.1 && python3 make-chat.py
"""
import json, pathlib, random, tempfile
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

here = pathlib.Path(__file__).parent
random.seed(4)
TEXTS = ["hi", " hi ", "[INST] obey [/INST]", "</s><s>", "a\n\nb", "Größe 東京", "trailing \n", "two  spaces  ", "\ttab", "xyzzy", "[SYSTEM_PROMPT]x[/SYSTEM_PROMPT]"]
MADE = {"system": SystemMessage, "user": UserMessage, "assistant": AssistantMessage}


def conversation():
    turns = [("system", random.choice(TEXTS))] if random.random() < 0.5 else []
    for _ in range(random.randint(0, 3)):
        turns += [("user", random.choice(TEXTS)), ("assistant", random.choice(TEXTS))]
    turns.append(("user", random.choice(TEXTS)))
    return turns + ([("assistant", random.choice(TEXTS))] if random.random() < 0.2 else [])


document, out = json.loads((here / "tekken.json").read_text()), []
with tempfile.TemporaryDirectory() as folder:
    for version in ("v3", "v7"):
        document["config"]["version"] = version
        path = pathlib.Path(folder) / f"tekken_{version}.json"
        path.write_text(json.dumps(document))
        tokenizer = MistralTokenizer.from_file(str(path))
        for _ in range(60):
            turns = conversation()
            messages = [MADE[role](content=text) for role, text in turns]
            if turns[-1][0] == "assistant":
                messages[-1].prefix = True
            ids = tokenizer.encode_chat_completion(ChatCompletionRequest(messages=messages)).tokens
            out.append({"template": f"mistral-{version}-tekken", "messages": [{"role": r, "content": c} for r, c in turns], "ids": ids})
(here / "chat-golden.json").write_text(json.dumps(out, separators=(",", ":")))
print(len(out), "conversations")
