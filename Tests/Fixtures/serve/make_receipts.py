#!/usr/bin/env python3
"""Writes receipt.json from docs/formats/receipt-commitment.md alone, with the standard library."""
import hashlib
import json
import pathlib
import struct


def jcs(value):
    # Keys here are ASCII, and there are no floats, so sorting by code point is sorting by UTF-16.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def commitment(label, salt, value):
    return "sha256:" + hashlib.sha256(b"forge.receipt.v1." + label.encode() + b"\0" + salt + jcs(value)).hexdigest()


def bits(number):
    return struct.pack(">d", number).hex()


def case(name, endpoint, body, request, choices, salt):
    answer = {"v": 1, "choices": choices}
    return {
        "name": name, "endpoint": endpoint, "body": body, "salt": salt.hex(), "choices": choices,
        "request_commitment": commitment("request", salt, request), "answer_commitment": commitment("answer", salt, answer),
    }


base = {"v": 1, "n": 1, "temperature": bits(1), "top_p": bits(1), "top_k": 0, "stop": []}
cases = [
    case(
        "everything left to its default", "completions", {"model": "policies", "prompt": "Hello"},
        {**base, "endpoint": "completions", "model": "policies", "prompt": "Hello"},
        [{"index": 0, "finish": "length", "text": " world", "tokens": [5, 6, 7]}], bytes(range(32))),
    case(
        "every parameter", "completions",
        {"model": "policies@3", "prompt": [1, 2, 3], "max_tokens": 7, "temperature": 0.7, "top_p": 0.95, "top_k": 40, "n": 2, "stop": "END", "seed": -5, "logprobs": 3,
         "stream": True, "stream_options": {"include_usage": True}, "user": "someone"},
        {**base, "endpoint": "completions", "model": "policies@3", "prompt": [1, 2, 3], "max_tokens": 7, "temperature": bits(0.7), "top_p": bits(0.95), "top_k": 40, "n": 2,
         "stop": ["END"], "seed": "-5", "logprobs": 3},
        [{"index": 0, "finish": "stop", "text": "a\n\"é🙂", "tokens": [1]}, {"index": 1, "finish": "stop", "text": "", "tokens": [2]}], bytes([255] * 32)),
    case(
        "a conversation", "chat.completions",
        {"model": "policies", "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Who "}, {"type": "text", "text": "am I?"}]}],
         "max_completion_tokens": 9, "logprobs": True, "top_logprobs": 2, "seed": 12},
        {**base, "endpoint": "chat.completions", "model": "policies", "max_tokens": 9, "logprobs": 2, "seed": "12",
         "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who am I?"}]},
        [{"index": 0, "finish": "stop", "text": "You.", "tokens": [9, 2]}], bytes([7] * 32)),
    case(
        "an echo", "completions", {"model": "m", "prompt": "x", "echo": True, "temperature": 0, "logprobs": None},
        {**base, "endpoint": "completions", "model": "m", "prompt": "x", "echo": True, "temperature": bits(0)},
        [{"index": 0, "finish": "cut", "text": "y", "tokens": [3]}], bytes(32)),
]
path = pathlib.Path(__file__).with_name("receipt.json")
path.write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n")
