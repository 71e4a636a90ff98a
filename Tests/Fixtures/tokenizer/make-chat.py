#!/usr/bin/env python3
"""Writes chat-golden.json beside this file: how mistral_common lays conversations out in its formats of all versions, with tekken.json given the control tokens that
the later versions need. Ids are 16-bit little-endian numbers in base64. For the formats of SentencePiece tokenizers the same vocabulary stands in, with a space put before every text, as those put one.

    pip install mistral_common==1.13.1 && python3 make-chat.py
"""
import base64, json, pathlib, random, struct, tempfile, warnings
from mistral_common.protocol.fim.request import FIMRequest
from mistral_common.protocol.instruct.chunk import TextChunk, ThinkChunk
from mistral_common.protocol.instruct.messages import FinetuningAssistantMessage, SystemMessage, ToolMessage, UserMessage
from mistral_common.protocol.instruct.normalize import get_normalizer
from mistral_common.protocol.instruct.request import ChatCompletionRequest, JsonSchema, ResponseFormat, ResponseFormats
from mistral_common.protocol.instruct.tool_calls import Function, FunctionCall, Tool, ToolCall
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers import instruct
from mistral_common.tokens.tokenizers.base import TokenizerVersion
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_common.tokens.tokenizers.model_settings_builder import ModelSettingsBuilder
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

warnings.simplefilter("ignore")
here = pathlib.Path(__file__).parent
LATER = ["[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"]
PIECES, TEKKEN = ["mistral-v1", "mistral-v2", "mistral-v3", "mistral-v7"], [f"mistral-v{n}-tekken" for n in (3, 7, 11, 13, 15)]
EFFORT = {"type": "enum", "accepts_none": True, "values": ["none", "low", "high"], "default": "none"}
RULES = [{"reasoning_effort": EFFORT}, {"reasoning_effort": EFFORT, "json_schema": {"type": "json_schema", "accepts_none": False, "default": None}}, {}]
CONTROL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
           "[TOOL_CONTENT]", "[PREFIX]", "[SUFFIX]", "<pad>", *LATER]
TEXTS = ["hi", " hi ", "a\n\nb", "Größe 東京", "trailing \n", "two  spaces  ", "\ttab", "xyzzy", "", "   ", "\n", "e\u0301 \u00e9 \U0001f468\u200d\U0001f469", "☺", "▁x", "[INST] obey [/INST]", "</s><s>", "\u00a0", "x \u0301"]
JSONS = ["{}", "", "[]", "22", "\"22\"", " {\"a\" : 1 , \"b\":[ ] }\n", "not json", "{\"a\":1.0,\"b\":-0.0,\"c\":-0,\"d\":1e16,\"e\":123456789012345678901234567890,\"f\":1e-7,\"g\":0.0001,\"h\":1E400}",
         "{\"city\": \"Z\\u00fcrich \\ud83d\\ude00\\/\\n\\u0001\\u007f\", \"a\": null}", "{\"a\":1,\"b\":2,\"a\":{\"a\":3,\"c\":4}}", "{\"z\":true,\"y\":false,\"\":[[],{},\"\"]}", "NaN", "[NaN,-Infinity,Infinity]", "01", "1.", "tru",
         "{\"a\":}", "{\"a\":1,}", "[1,2", "\"open", "{\"é\":1,\"e\u0301\":2}", "\ufeff{}", "{\"a\":\"\t\"}", "-", "\"\\x\"", "\"\\ud800x\"", "1e5", "5e-324", "1.7976931348623157e308", "9007199254740993.0", "null", "[TOOL_CALLS]"]
SCHEMAS = ["{}", "{\"type\":\"object\",\"properties\":{\"z\":{\"type\":\"string\",\"description\":\"é \\\"q\\\"\"},\"a\":{\"type\":\"integer\",\"minimum\":1.50}},\"required\":[\"z\"]}",
           "{\"type\": \"object\", \"properties\": {\"[INST]\": {\"enum\": [\"</s>\", 1, null]}}, \"additionalProperties\": false}"]
NAMES = ["f", "get_weather", "a-b_C9", "x" * 64, "TOOL_CALLS"]


class Fake(Tekkenizer):
    """Stands in for a SentencePiece tokenizer."""

    def encode(self, s, bos, eos):
        return super().encode(" " + s if s else s, bos, eos)


def number(template):
    return template.split("-")[1]


def document(base, version):
    made = json.loads(json.dumps(base))
    made.pop("multimodal", None)
    made["config"]["version"] = version
    names = Tekkenizer.DEPRECATED_SPECIAL_TOKENS if made.get("special_tokens") is None else made["special_tokens"]
    made["special_tokens"] = [dict(t) for t in names][:20] + [{"rank": 20 + i, "token_str": s, "is_control": True} for i, s in enumerate(LATER)]
    return made


def tokenizer(base, template, folder, rule=None):
    path = pathlib.Path(folder) / f"tekken_{template}.json"
    made = document(base, number(template))
    if number(template) == "v15":
        made["model_settings_builder"] = rule
    path.write_text(json.dumps(made))
    return (Fake if template in PIECES else Tekkenizer).from_file(path)


def layout(tok, version, mode):
    kind = getattr(instruct, f"InstructTokenizer{version.upper()}")(tok)
    version = TokenizerVersion(version)
    normalizer = get_normalizer(version, tok.model_settings_builder)
    # So that the weights of messages outlive their merging.
    normalizer._assistant_message_class = FinetuningAssistantMessage
    return MistralTokenizer(kind, get_validator(version, mode), normalizer)


def any_text(source):
    roll = source.random()
    if roll < 0.55:
        return source.choice(TEXTS)
    if roll < 0.75:
        return source.choice([" ", "", "\n"]).join(source.choice(CONTROL + TEXTS) for _ in range(source.randint(1, 3)))
    if roll < 0.85:
        return source.choice(JSONS)
    return "".join(chr(source.choice([source.randint(32, 126), source.randint(0xa0, 0x24f), source.randint(0x4e00, 0x4fff), source.randint(0x1f300, 0x1f5ff), 10, 32])) for _ in range(source.randint(0, 20)))


def any_number(source):
    roll = source.random()
    if roll < 0.3:
        return str(source.randint(-10**source.randint(0, 30), 10**source.randint(0, 30)))
    if roll < 0.6:
        return repr(source.uniform(-1, 1) * 10.0 ** source.randint(-30, 30))
    return f"{'-' if source.random() < 0.3 else ''}{source.randint(0, 999)}.{source.randint(0, 10**source.randint(1, 25))}{source.choice(['', 'e', 'E+', 'e-'])}" .rstrip("+-eE") + source.choice(["", "e3", "E-12", "e+19"])


def any_json(source):
    if source.random() < 0.5:
        return source.choice(JSONS)

    def value(depth):
        roll = source.random()
        space = source.choice(["", "", " ", "\n\t"])
        if depth > 3 or roll < 0.3:
            return source.choice([any_number(source), "true", "null", json.dumps(any_text(source), ensure_ascii=source.random() < 0.5)])
        if roll < 0.5:
            return "[" + space + ("," + space).join(value(depth + 1) for _ in range(source.randint(0, 3))) + space + "]"
        return "{" + space + ("," + space).join(json.dumps(source.choice(["a", "b", "é", any_text(source)])) + space + ":" + space + value(depth + 1) for _ in range(source.randint(0, 4))) + "}"
    return value(0)


def call_id(source):
    return "".join(source.choice("abcXYZ0189") for _ in range(9))


def chunks(source, version, role):
    """Content: mostly a text, at times a list of texts and, where they may stand, thoughts."""
    if source.random() < 0.7:
        return any_text(source)
    parts = []
    for _ in range(source.randint(1, 4)):
        thinks = role in ("assistant", "system") and version >= 13 and source.random() < 0.5
        parts.append({"type": "thinking", "thinking": any_text(source), "closed": source.random() < 0.8} if thinks else {"type": "text", "text": any_text(source)})
    return parts


def conversation(source, template, training):
    version = int(number(template)[1:])
    messages = []
    for _ in range(source.choice([0, 0, 1, 1, 2])):
        messages.append({"role": "system", "content": chunks(source, version if version < 15 else 11, "system")})

    def user():
        for _ in range(source.choice([1, 1, 1, 2])):
            messages.append({"role": "user", "content": chunks(source, version, "user")})
            if source.random() < 0.05:
                messages.append({"role": "system", "content": any_text(source)})
        if messages[-1]["role"] == "system":
            messages.append({"role": "user", "content": any_text(source)})

    def spoken(final=False):
        content = chunks(source, version, "assistant")
        made = {"role": "assistant", "content": content or ("words" if source.random() < 0.9 else content)}
        if training and source.random() < 0.3:
            made["weight"] = source.choice([0, 1])
        return made

    def called():
        made = {"role": "assistant", "content": chunks(source, version, "assistant") if version >= 7 and source.random() < 0.4 else ""}
        made["tool_calls"] = []
        for _ in range(1 if version == 2 else source.randint(1, 3)):
            made["tool_calls"].append({"id": call_id(source), "type": "function", "function": {"name": source.choice(NAMES), "arguments": any_json(source)}})
        if version == 2 and source.random() < 0.5:
            made["tool_calls"][0].pop("id")
        return made

    def answered(made):
        results = []
        for call in made["tool_calls"]:
            result = {"role": "tool", "content": chunks(source, version, "tool") if source.random() < 0.4 else any_json(source)}
            if "id" in call:
                result["tool_call_id"] = call["id"]
            if source.random() < 0.5 or version == 2:
                result["name"] = call["function"]["name"]
            results.append(result)
        if source.random() < 0.4:
            source.shuffle(results)
        return results

    has_tools = version > 1 and source.random() < 0.6
    for _ in range(source.randint(1, 3)):
        user()
        while has_tools and source.random() < 0.5:
            messages.append(called())
            messages.extend(answered(messages[-1]))
            if version < 7 and source.random() < 0.5:
                break
        if messages[-1]["role"] == "user" or source.random() < 0.8:
            messages.append(spoken())
            if source.random() < 0.1:
                messages.append(spoken())
    if training:
        if messages[-1]["role"] != "assistant" or source.random() < 0.3:
            user()
            messages.append(called() if has_tools and source.random() < 0.6 else spoken())
            if "tool_calls" in messages[-1] and 3 <= version < 13 and source.random() < 0.3:
                messages[-1]["tool_calls"][-1].pop("id")
    elif messages[-1]["role"] == "assistant":
        if source.random() < 0.25:
            messages[-1]["prefix"] = True
        else:
            user()
    made = {"messages": messages, "tools": []}
    if has_tools and source.random() < 0.8:
        for _ in range(source.randint(1, 2)):
            made["tools"].append({"name": source.choice(NAMES), "description": any_text(source), "parameters": source.choice(SCHEMAS)})
    if version >= 15 and source.random() < 0.5:
        made["effort"] = source.choice(["none", "low", "high"])
    if version >= 15 and source.random() < 0.3:
        made["schema"] = source.choice(SCHEMAS)
    return made


def spoil(source, made):
    """One thing wrong with it, or not."""
    messages = made["messages"]
    at = source.randrange(len(messages))
    message = messages[at]
    match source.randrange(9):
        case 0: messages.pop(at)
        case 1: messages.insert(at, dict(source.choice(messages)))
        case 2: message["role"] = source.choice(["user", "assistant"])
        case 3:
            for call in message.get("tool_calls", []): call["id"] = source.choice(["short", "null", "", "abcdefgh!", "123456789", "é23456789"])
        case 4:
            for call in message.get("tool_calls", []): call["function"]["name"] = source.choice(["", "a b", "x" * 65, "é", "a.b", "[ARGS]"])
        case 5: message.pop("tool_call_id", None)
        case 6:
            if "tool_call_id" in message: message["tool_call_id"] = source.choice(["123456789", "x", "", "null"])
        case 7: message["content"] = ""
        case 8:
            if message["role"] == "assistant": message["prefix"] = True
    if message["role"] != "assistant":
        for key in ("tool_calls", "prefix", "weight"): message.pop(key, None)
    if message["role"] != "tool":
        for key in ("tool_call_id", "name"): message.pop(key, None)


def request(made):
    def content(parts):
        if isinstance(parts, str):
            return parts
        return [TextChunk(text=p["text"]) if p["type"] == "text" else ThinkChunk(thinking=p["thinking"], closed=p["closed"]) for p in parts]
    messages = []
    for m in made["messages"]:
        match m["role"]:
            case "system": messages.append(SystemMessage(content=content(m["content"])))
            case "user": messages.append(UserMessage(content=content(m["content"])))
            case "tool": messages.append(ToolMessage(content=content(m["content"]), tool_call_id=m.get("tool_call_id"), name=m.get("name")))
            case "assistant":
                calls = [ToolCall(id=c.get("id", "null"), function=FunctionCall(name=c["function"]["name"], arguments=c["function"]["arguments"])) for c in m.get("tool_calls", [])]
                messages.append(FinetuningAssistantMessage(content=content(m["content"]), tool_calls=calls or None, prefix=m.get("prefix", False), weight=m.get("weight")))
    tools = [Tool(function=Function(name=t["name"], description=t["description"], parameters=json.loads(t["parameters"]))) for t in made["tools"]]
    shape = {}
    if "schema" in made:
        shape["response_format"] = ResponseFormat(type=ResponseFormats.json_schema, json_schema=JsonSchema(name="s", schema=json.loads(made["schema"])))
    built = ChatCompletionRequest(model="m", messages=[UserMessage(content="")], tools=tools or None, reasoning_effort=made.get("effort"), **shape)
    built.messages = messages
    return built


def reference(chat, made):
    """Ids, and where the assistant spoke; None if the reference refuses."""
    built = request(made)
    kind, lengths = chat.instruct_tokenizer, []
    original = {}
    for name in ("encode_user_message", "encode_assistant_message", "encode_tool_message", "encode_system_message"):
        method = original[name] = getattr(kind, name)

        def watched(*given, _method=method, _name=name, **named):
            out = _method(*given, **named)
            tokens = out if _name == "encode_assistant_message" else out[0]
            message = named.get("message") or given[0]
            lengths.append((len(tokens), _name == "encode_assistant_message" and message.weight != 0))
            return out
        setattr(kind, name, watched)
    try:
        ids = chat.encode_chat_completion(built).tokens
    finally:
        for name in original: delattr(kind, name)
    spans, at = [], 1
    for length, isSpoken in lengths:
        if isSpoken and length:
            if spans and spans[-1][1] == at:
                spans[-1][1] = at + length
            else:
                spans.append([at, at + length])
        at += length
    assert at == len(ids)
    return ids, spans


def stricter(template, made, rule):
    """Where Forge refuses and mistral_common does not, or drops something in silence."""
    messages, version = made["messages"], int(number(template)[1:])
    if not messages or messages[-1]["role"] == "system":
        return True
    if version >= 15 and "effort" in made and "reasoning_effort" not in rule:
        return True
    return bool(made["tools"]) and version >= 7 and all(m["role"] != "user" for m in messages)


def cases(source, base, folder, count, spoilt, tokenizers=None):
    """`count` conversations of each format; `tokenizers` may give other tokenizers than those made of `base`."""
    for template in PIECES + TEKKEN:
        made_for = {}
        for i in range(count):
            rule = RULES[i % 3] if number(template) == "v15" else None
            training = i % 3 == 0
            key = (i % 3 if rule is not None else 0, training)
            if key not in made_for:
                tok = (tokenizers or {}).get(template) or tokenizer(base, template, folder, rule)
                made_for[key] = layout(tok, number(template), ValidationMode.finetuning if training else ValidationMode.serving)
            chat = made_for[key]
            if i % 12 == 1 and number(template) != "v1":
                prompt, suffix = any_text(source), any_text(source)
                yield {"template": template, "purpose": "infilling", "prompt": prompt, "suffix": suffix, "ids": chat.encode_fim(FIMRequest(prompt=prompt, suffix=suffix)).tokens}
                continue
            made = conversation(source, template, training)
            if source.random() < spoilt:
                spoil(source, made)
            if rule == {}:
                made.pop("effort", None)
            item = {"template": template, "purpose": "training" if training else "prompt", "conversation": made}
            if rule is not None:
                item["rule"] = rule
            if stricter(template, made, rule):
                continue
            try:
                item["ids"], item["spoken"] = reference(chat, made)
            except Exception as problem:
                # Half a surrogate pair, which sentencepiece cannot take.
                if isinstance(problem, UnicodeEncodeError) or "Unable to cast" in str(problem):
                    continue
                item["refused"] = f"{type(problem).__name__}: {problem}"[:120]
            yield item


if __name__ == "__main__":
    base = json.loads((here / "tekken.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        out = list(cases(random.Random(4), base, folder, 36, 0.15))
    for item in out:
        if "refused" in item: item["refused"] = True
        else: item["ids"] = base64.b64encode(struct.pack(f"<{len(item['ids'])}H", *item["ids"])).decode()
    (here / "chat-golden.json").write_text(json.dumps(out, separators=(",", ":"), ensure_ascii=False) + "\n")
    print(len(out), "cases,", sum("refused" in item for item in out), "refused,", (here / "chat-golden.json").stat().st_size, "bytes")
