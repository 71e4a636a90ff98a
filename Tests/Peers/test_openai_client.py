"""The unmodified `openai` client, over the Unix socket of a server with a small random model.

Run from the repository: python3 -m pytest Tests/Peers/test_openai_client.py   (needs the packages of Tests/Peers/requirements.txt)
"""
import json, math, os, pathlib, subprocess, time
import pytest

openai = pytest.importorskip("openai")
try:
    import httpx2 as httpx  # what openai 3 stands on
except ImportError:
    httpx = pytest.importorskip("httpx")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def client(socket, **options):
    transport = httpx.HTTPTransport(uds=socket)
    return openai.OpenAI(api_key="forge_app_crm", base_url="http://forge/v1", max_retries=0, http_client=openai.DefaultHttpxClient(transport=transport), **options)


@pytest.fixture(scope="module")
def sockets(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stand")
    process = subprocess.Popen([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ServeServiceTests.PeerStand"],
                               cwd=os.environ.get("FORGE_PACKAGE", ROOT), env={**os.environ, "FORGE_PEERS_SERVE": str(directory)},
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 500
    while not (directory / "plain").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(process.stdout.read().decode()[-3000:] if process.poll() is not None else "the server did not start")
        time.sleep(0.1)
    yield {name: (directory / name).read_text() for name in ("chat", "plain")}
    (directory / "done").touch()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out.decode()[-3000:]


@pytest.fixture
def api(sockets):
    return client(sockets["chat"])


MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who sat on the mat?"}]


def test_models(api):
    models = api.models.list().data
    assert [m.id for m in models] == ["policies"] and models[0].object == "model" and models[0].owned_by == "forge"
    assert api.models.retrieve("policies").id == "policies"
    with pytest.raises(openai.NotFoundError) as caught:
        api.models.retrieve("nothing")
    assert caught.value.code == "model_not_found"


def test_completion_whole_and_streamed(api):
    wanted = dict(model="policies", prompt="the cat", max_tokens=20, seed=42, temperature=0.9, top_p=0.95)
    whole = api.completions.create(**wanted)
    assert whole.object == "text_completion" and whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(api.completions.create(**wanted, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert len({c.id for c in chunks}) == 1
    assert chunks[-1].receipt["id"] in chunks[-1].id
    assert api.completions.create(**wanted).choices[0].text == whole.choices[0].text


def test_completion_of_token_numbers_with_logprobs(api):
    answer = api.completions.create(model="policies", prompt=[1, 30, 40, 50], max_tokens=5, logprobs=2, temperature=0)
    logprobs = answer.choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == len(logprobs.text_offset)
    for token, logprob, top in zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs):
        assert logprob <= 0 and math.isclose(max(top.values()), logprob)
    assert answer.usage.prompt_tokens == 4


def test_chat_whole_and_streamed(api):
    wanted = dict(model="policies", messages=MESSAGES, max_completion_tokens=25, seed=3, stop=["zzz"], logprobs=True, top_logprobs=3)
    whole = api.chat.completions.create(**wanted)
    message = whole.choices[0].message
    assert message.role == "assistant" and message.refusal is None
    for token in whole.choices[0].logprobs.content:
        assert len(token.top_logprobs) == 3 and bytes(token.bytes).decode(errors="replace") == token.token
    chunks = list(api.chat.completions.create(**wanted, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == message.content
    assert [c.choices[0].finish_reason for c in chunks][-1] == whole.choices[0].finish_reason
    assert all(c.choices[0].finish_reason is None for c in chunks[:-1])


def test_several_choices(api):
    answer = api.chat.completions.create(model="policies", messages=MESSAGES, max_tokens=12, n=3)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    texts = ["", "", ""]
    for chunk in api.chat.completions.create(model="policies", messages=MESSAGES, max_tokens=12, n=3, seed=1, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    again = api.chat.completions.create(model="policies", messages=MESSAGES, max_tokens=12, n=3, seed=1)
    assert texts == [c.message.content for c in again.choices]


def test_the_receipt_travels_in_header_and_body(api):
    raw = api.completions.with_raw_response.create(model="policies", prompt="x", max_tokens=2)
    receipt = raw.parse().receipt
    assert raw.headers["x-forge-receipt"] == receipt["id"] and len(receipt["salt"]) == 64 and int(receipt["seed"]) >= 0


@pytest.mark.parametrize("change, code, param", [
    ({"temperature": 3}, "invalid_value", "temperature"), ({"extra_body": {"min_p": 0.1}}, "unknown_parameter", "min_p"),
    ({"presence_penalty": 1}, "unsupported_parameter", "presence_penalty"), ({"n": 100}, "invalid_value", "n"),
    ({"max_tokens": 100_000}, "context_length_exceeded", "prompt"), ({"logit_bias": {"5": 1}}, "unsupported_parameter", "logit_bias"),
])
def test_bad_requests_say_which_parameter(api, change, code, param):
    with pytest.raises(openai.BadRequestError) as caught:
        api.completions.create(**{"model": "policies", "prompt": "x", **change})
    assert (caught.value.code, caught.value.param, caught.value.type) == (code, param, "invalid_request_error")
    assert f"`{param}`" in str(caught.value) or code == "context_length_exceeded"


def test_refusals_have_the_client_s_own_types(sockets):
    transport = httpx.HTTPTransport(uds=sockets["chat"])
    barred = openai.OpenAI(api_key="forge_app_barred", base_url="http://forge/v1", max_retries=0, http_client=openai.DefaultHttpxClient(transport=transport))
    with pytest.raises(openai.PermissionDeniedError) as caught:
        barred.completions.create(model="policies", prompt="x")
    assert caught.value.type == "permission_error" and "guard.barred" in str(caught.value)


def test_a_model_without_a_template_refuses_to_chat(sockets):
    with pytest.raises(openai.BadRequestError) as caught:
        client(sockets["plain"]).chat.completions.create(model="policies", messages=MESSAGES)
    assert caught.value.code == "model_no_chat" and "template" in str(caught.value)
    assert client(sockets["plain"]).completions.create(model="policies", prompt="x", max_tokens=3).choices[0].text is not None


def test_a_stream_may_be_left_early(api):
    with api.completions.create(model="policies", prompt="a", max_tokens=150, stream=True) as stream:
        next(iter(stream))
    assert api.completions.create(model="policies", prompt="a", max_tokens=2).choices


def test_many_at_once(sockets):
    import concurrent.futures
    api = client(sockets["chat"])
    ask = lambda seed: api.completions.create(model="policies", prompt="the dog", max_tokens=30, seed=seed % 4).choices[0].text
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(ask, range(32)))
    assert all(texts[i] == texts[i % 4] for i in range(32)) and len(set(texts[:4])) == 4
