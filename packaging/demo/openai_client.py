#!/usr/bin/env python3
"""openai_client.py SOCKET KEYFILE: the unmodified `openai` package against forge-serve. Only the transport says where the socket is."""
import pathlib
import sys

import httpx2 as httpx  # what openai 3 stands on; its earlier releases stood on httpx
import openai

socket, key = sys.argv[1], pathlib.Path(sys.argv[2]).read_text().strip()
client = openai.OpenAI(api_key=key, base_url="http://forge/v1", http_client=httpx.Client(transport=httpx.HTTPTransport(uds=socket)), max_retries=0)

print("models:", ", ".join(model.id for model in client.models.list()))
answer = client.completions.create(model="manuals", prompt="DESCRIPTION\n", max_tokens=24, seed=1, temperature=0)
print("completion:", repr(answer.choices[0].text), answer.usage.total_tokens, "tokens")
print("streamed:", end=" ")
for part in client.chat.completions.create(model="manuals", messages=[{"role": "user", "content": "How are files listed?"}], max_tokens=24, seed=1, stream=True):
    if part.choices and part.choices[0].delta.content:
        print(part.choices[0].delta.content, end="", flush=True)
print()
try:
    client.completions.create(model="nothing", prompt="x", max_tokens=1)
    sys.exit("a model that is not loaded answered")
except openai.NotFoundError as error:
    print("an unknown model:", error.body["message"] if isinstance(error.body, dict) else error)
