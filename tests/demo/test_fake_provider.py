"""What the fake provider does on the wire, below what an SDK shows."""

import json
import time

import brotli
import httpx
import pytest
import zstandard

from demo.fake_provider import FakeProvider
from demo.serving import serve

CHAT = "/v1/chat/completions"
ANTHROPIC = {"anthropic-version": "2023-06-01"}


def body(model: str, **fields: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}


def test_the_same_request_gets_the_same_bytes_and_headers(http: httpx.Client) -> None:
    for asked in (body("gpt-4o"), body("gpt-4o", stream=True), body("fail-429")):
        first, second = (http.post(CHAT, json=asked) for _ in range(2))
        assert first.content == second.content
        assert first.headers.raw == second.headers.raw
    assert http.post(CHAT, json=body("gpt-4o", seed=1)).content != (
        http.post(CHAT, json=body("gpt-4o", seed=2)).content
    )


def test_headers_are_those_of_each_provider(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=body("gpt-4o"))
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["openai-organization"]
    assert answer.headers["x-ratelimit-remaining-requests"]
    assert len(answer.headers.get_list("set-cookie")) == 2
    message = http.post("/v1/messages", json=body("claude-opus-4-6", max_tokens=9))
    assert message.headers["request-id"].startswith("req_")
    assert message.headers["anthropic-ratelimit-requests-remaining"]
    assert len(message.headers.get_list("set-cookie")) == 2


def test_a_whole_answer_says_its_length_and_a_stream_is_chunked(http: httpx.Client) -> None:
    assert "content-length" in http.post(CHAT, json=body("gpt-4o")).headers
    streamed = http.post(CHAT, json=body("gpt-4o", stream=True))
    assert streamed.headers["transfer-encoding"] == "chunked"
    assert streamed.text.endswith("data: [DONE]\n\n")


def test_the_models_listed_are_those_of_the_asking_dialect(http: httpx.Client) -> None:
    assert http.get("/v1/models").json()["object"] == "list"
    assert http.get("/v1/models", headers=ANTHROPIC).json()["has_more"] is False
    assert http.head("/v1/models").content == b""


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", CHAT, b"{not json", 400),
        ("POST", CHAT, b"[]", 400),
        ("POST", CHAT, b'{"messages":[]}', 400),
        ("GET", CHAT, b"", 405),
        ("POST", "/v1/nothing", b"{}", 404),
    ],
)
def test_what_it_cannot_read_is_refused_in_the_providers_shape(
    http: httpx.Client, method: str, path: str, content: bytes, status: int
) -> None:
    answer = http.request(method, path, content=content)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
    as_anthropic = http.request(method, path, content=content, headers=ANTHROPIC)
    assert as_anthropic.status_code == status
    assert as_anthropic.json()["type"] == "error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "identity"])
def test_compression_follows_accept_encoding(http: httpx.Client, coding: str, stream: bool) -> None:
    asked = body("stream-3-0+gzip", stream=stream)
    headers = {"accept-encoding": coding}
    with http.stream("POST", CHAT, json=asked, headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
        assert answer.headers.get("content-encoding", "identity") == coding
    if coding == "gzip":
        raw = httpx.Response(200, headers={"content-encoding": "gzip"}, content=raw).content
    elif coding == "br":
        raw = brotli.decompress(raw)
    elif coding == "zstd":
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    assert raw.startswith(b"data: {" if stream else b"{\n")
    assert raw.endswith(b"data: [DONE]\n\n" if stream else b"}\n")


@pytest.mark.parametrize("events", [0, 1, 3])
def test_a_broken_stream_ends_without_its_end(
    http: httpx.Client, provider: FakeProvider, events: int
) -> None:
    received: list[bytes] = []
    with http.stream("POST", CHAT, json=body(f"break-{events}", stream=True)) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(answer.iter_bytes())
    assert b"".join(received).count(b"\n\n") == events
    assert provider.seen[-1].wait() == "broken"


def test_a_broken_whole_answer_is_shorter_than_announced(http: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        http.post(CHAT, json=body("break-1"))


def test_slow_waits_before_the_head(http: httpx.Client) -> None:
    started = time.monotonic()
    http.post(CHAT, json=body("slow-120"))
    assert time.monotonic() - started >= 0.12


def test_a_client_that_leaves_is_noticed_at_once(
    http: httpx.Client, provider: FakeProvider
) -> None:
    with http.stream("POST", CHAT, json=body("stream-9-60000", stream=True)) as answer:
        next(answer.iter_bytes())
    assert provider.seen[-1].wait() == "left"


@pytest.mark.parametrize("stream", [False, True])
def test_no_usage_says_nothing_about_usage(http: httpx.Client, stream: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if stream else {}
    assert '"usage"' not in http.post(CHAT, json=body("no-usage", stream=stream, **options)).text
    message = body("no-usage", max_tokens=9, stream=stream)
    assert '"usage"' not in http.post("/v1/messages", json=message).text


def test_it_remembers_what_it_was_sent(http: httpx.Client, provider: FakeProvider) -> None:
    before = provider.requests
    http.post(CHAT + "?a=1&a=2", json=body("gpt-4o"), headers={"X-Custom": "yes"})
    seen = provider.seen[-1]
    assert (seen.method, seen.path, seen.query) == ("POST", CHAT, b"a=1&a=2")
    assert seen.header("x-custom") == "yes"
    assert json.loads(seen.body)["model"] == "gpt-4o"
    assert provider.requests == before + 1


def test_only_the_last_requests_are_remembered() -> None:
    provider = FakeProvider(remember=2)
    with serve(provider.app) as url, httpx.Client(base_url=url) as http:
        for _ in range(3):
            http.get("/v1/models")
    assert (provider.requests, len(provider.seen)) == (3, 2)


def test_a_header_asks_for_behaviour_and_leaves_the_model_alone(http: httpx.Client) -> None:
    headers = {"X-Fake-Provider": "cached+stream-3-0"}
    answer = http.post(CHAT, json=body("gpt-4o"), headers=headers).json()
    assert answer["model"] == "gpt-4o-2024-08-06"
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 1920
    assert answer["usage"]["completion_tokens"] == 3
