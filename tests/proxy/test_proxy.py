"""The proxy between a raw client and a raw upstream: bytes, headers, rows, and broken ends."""

import asyncio
import gzip
import json
from functools import partial

import httpx
import pytest

from tests.fakes import STREAM_HEAD, answer, chunked, raw_upstream
from tests.proxy import streams
from tests.proxy.serving import running
from tests.proxy.test_tap import COMPLETION

CHAT = "/openai/v1/chat/completions"
MESSAGES = "/anthropic/v1/messages"
CHAT_BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello, world"}]}


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=10) as made:
        yield made


def replying(*parts):
    async def script(connection):
        while True:
            await connection.request()
            await connection.send(*parts)

    return script


JSON_ANSWER = answer(
    json.dumps(COMPLETION).encode(),
    b"content-type: application/json",
    b"x-request-id: req_1",
    b"set-cookie: a=1",
    b"set-cookie: b=2",
)


async def test_a_chat_answer_passes_and_is_accounted(client, tmp_path):
    async with raw_upstream(replying(JSON_ANSWER)) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            response = await client.post(
                proxy.url + CHAT + "?a=%20b",
                json=CHAT_BODY,
                headers={
                    "X-TokenWatch-App": "shop",
                    "X-TokenWatch-Session": "s-1",
                    "X-TokenWatch-Tag": "search",
                    "Authorization": "Bearer sk-1",
                    "OpenAI-Organization": "org-1",
                },
            )
            row = await proxy.ledger.one()
    assert response.status_code == 200
    assert response.json() == COMPLETION
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert response.headers["x-request-id"] == "req_1"
    assert response.headers["x-tokenwatch-request-id"] == row.request_id
    assert response.headers["x-tokenwatch-upstream"] == "default"
    assert response.headers["x-tokenwatch-attempts"] == "1"
    # 60 full-price at 0.15, 40 cached at 0.075, 9 out at 0.60 dollars a million
    assert row.cost == response.headers["x-tokenwatch-cost"] == "0.0000174000"
    assert response.headers["x-tokenwatch-input-tokens"] == "60"
    assert response.headers["x-tokenwatch-output-tokens"] == "9"

    sent = upstream.requests[0]
    assert sent.line == b"POST /v1/chat/completions?a=%20b HTTP/1.1"
    assert json.loads(sent.body) == CHAT_BODY
    assert sent.values(b"authorization") == [b"Bearer sk-1"]
    assert sent.values(b"openai-organization") == [b"org-1"]
    assert not [name for name, _ in sent.headers if name.startswith(b"x-tokenwatch")]

    assert (row.source_app, row.session_id, row.feature_tag) == ("shop", "s-1", "search")
    assert (row.model_requested, row.model_used) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert (row.input_tokens, row.cache_read_tokens, row.output_tokens) == (60, 40, 9)
    assert (row.status_code, row.stream, row.usage_estimated) == (200, False, False)
    assert (row.endpoint, row.api_type, row.upstream) == (
        "v1/chat/completions",
        "openai",
        "default",
    )
    assert (row.finish_reason, row.reasoning_tokens, row.ttft_ms) == ("stop", 3, None)


async def test_bodies_pass_byte_for_byte(client, tmp_path):
    body = b'{"messages" :[], "model":"\\u0067pt-4o-mini" , "seed": 1.0e2, "model":"gpt-4o-mini"}'
    async with raw_upstream(replying(JSON_ANSWER)) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            await client.post(proxy.url + CHAT, content=body)
    assert upstream.requests[0].body == body


@pytest.mark.parametrize("inject", [True, False])
async def test_a_stream_without_usage_is_asked_for_it_unless_told_not_to(client, tmp_path, inject):
    events = streams.OPENAI if inject else streams.OPENAI_UNASKED
    script = replying(STREAM_HEAD, *[chunked(event, end=False) for event in events], b"0\r\n\r\n")
    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path, inject_usage=inject) as proxy:
            response = await client.post(proxy.url + CHAT, json={**CHAT_BODY, "stream": True})
            row = await proxy.ledger.one()
    assert response.content == b"".join(streams.OPENAI_UNASKED)
    sent = json.loads(upstream.requests[0].body)
    if inject:
        assert sent["stream_options"] == {"include_usage": True}
        assert (row.input_tokens, row.output_tokens, row.usage_estimated) == (60, 9, False)
        assert row.cost == "0.0000174000"
    else:
        assert "stream_options" not in sent
        assert row.usage_estimated
        assert row.input_tokens > 0
        assert row.output_tokens > 0
    assert row.stream
    assert row.ttft_ms is not None
    assert "x-tokenwatch-cost" not in response.headers


async def test_a_client_that_asks_for_usage_gets_it(client, tmp_path):
    script = replying(STREAM_HEAD, chunked(*streams.OPENAI))
    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            response = await client.post(
                proxy.url + CHAT,
                json={**CHAT_BODY, "stream": True, "stream_options": {"include_usage": True}},
            )
    assert response.content == b"".join(streams.OPENAI)


async def test_compressed_answers_stay_compressed_and_are_accounted(client, tmp_path):
    packed = gzip.compress(json.dumps(COMPLETION).encode())
    script = replying(answer(packed, b"content-type: application/json", b"content-encoding: gzip"))
    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            async with client.stream("POST", proxy.url + CHAT, json=CHAT_BODY) as response:
                raw = b"".join([part async for part in response.aiter_raw()])
            row = await proxy.ledger.one()
    assert raw == packed
    assert response.headers["content-encoding"] == "gzip"
    assert row.cost == "0.0000174000"
    # what the client accepts is what the upstream was offered
    assert upstream.requests[0].values(b"accept-encoding") == [
        client.headers["accept-encoding"].encode()
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            CHAT,
            {"error": {"type": "invalid_request_error", "code": "x", "message": "m"}},
        ),
        (MESSAGES, {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}),
    ],
)
async def test_errors_pass_as_they_are_and_cost_nothing(client, tmp_path, path, expected):
    script = replying(
        answer(
            json.dumps(expected).encode(),
            b"content-type: application/json",
            b"retry-after: 3",
            status=b"529 Overloaded",
        )
    )
    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            response = await client.post(proxy.url + path, json={"model": "m"})
            row = await proxy.ledger.one()
    assert (response.status_code, response.json()) == (529, expected)
    assert response.headers["retry-after"] == "3"
    assert (row.status_code, row.error_type) == (529, expected["error"]["type"])
    assert (row.cost, row.input_tokens, row.usage_estimated) == ("0.0000000000", 0, False)


async def test_no_upstream_is_a_502_in_the_providers_shape(client, tmp_path):
    async with raw_upstream(None) as upstream:
        url = upstream.url
    async with running(url, tmp_path) as proxy:
        openai = await client.post(proxy.url + CHAT, json=CHAT_BODY)
        anthropic = await client.post(proxy.url + MESSAGES, json=CHAT_BODY)
        rows = proxy.ledger.rows
    assert (openai.status_code, anthropic.status_code) == (502, 502)
    assert openai.json()["error"]["code"] == "upstream_connect"
    assert anthropic.json()["type"] == "error"
    assert [row.error_type for row in rows] == ["upstream_connect"] * 2
    assert [row.cost for row in rows] == ["0.0000000000"] * 2


async def test_a_silent_upstream_is_a_504(client, tmp_path):
    async def script(connection):
        await connection.request()
        await connection.until_gone()

    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path, overall_timeout=0.3) as proxy:
            response = await client.post(proxy.url + CHAT, json=CHAT_BODY)
            row = await proxy.ledger.one()
        await asyncio.wait_for(upstream.left.wait(), 5)
    assert response.status_code == 504
    assert (row.status_code, row.error_type) == (504, "upstream_timeout")


async def test_a_json_answer_that_breaks_off_is_a_502_and_estimated(client, tmp_path):
    async def script(connection):
        await connection.request()
        await connection.send(JSON_ANSWER[:-20])

    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            response = await client.post(proxy.url + CHAT, json=CHAT_BODY)
            row = await proxy.ledger.one()
    assert response.status_code == 502
    assert (row.status_code, row.error_type) == (502, "upstream_broken")
    assert row.usage_estimated
    assert row.input_tokens > 0


STREAM_CASES = [
    (CHAT, streams.OPENAI, {"stream": True, "stream_options": {"include_usage": True}}),
    (CHAT, streams.OPENAI, {"stream": True}),
    (MESSAGES, streams.ANTHROPIC, {"stream": True}),
    ("/openai/v1/responses", streams.RESPONSES, {"stream": True}),
]
IDS = ["chat", "chat-usage-injected", "messages", "responses"]


def more_than(items: list, number: int) -> bool:
    return len(items) > number


def is_over(events, count):
    """Whether the dialect's own end is among the first events."""
    seen = b"".join(events[:count])
    ends = (b"[DONE]", b"message_stop", b'"type":"response.completed"')
    return any(end in seen for end in ends)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(("path", "events", "options"), STREAM_CASES, ids=IDS)
async def test_wherever_the_provider_breaks_off_the_client_sees_it_and_there_is_one_row(
    client, tmp_path, path, events, options, how
):
    cut = 0

    async def script(connection):
        while True:
            await connection.request()
            await connection.send(STREAM_HEAD, chunked(*events[:cut], end=False))
            if how == "reset":
                connection.reset()
            connection.writer.close()
            return

    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            for number in range(len(events) + 1):
                cut = number
                body = {**CHAT_BODY, **options}
                try:
                    async with client.stream("POST", proxy.url + path, json=body) as response:
                        if number == 0:
                            assert response.status_code == 502
                            await response.aread()
                        else:
                            with pytest.raises(httpx.RemoteProtocolError):
                                async for _ in response.aiter_raw():
                                    pass
                except httpx.ReadError:
                    assert how == "reset"
                row = await proxy.ledger.one(number + 1)
                if is_over(events, number):
                    assert (row.status_code, row.usage_estimated) == (200, False)
                else:
                    assert row.error_type == "upstream_broken"
                    final = bool(row.finish_reason) and row.input_tokens > 0
                    assert row.usage_estimated or final
                    assert row.input_tokens > 0


@pytest.mark.parametrize(("path", "events", "options"), STREAM_CASES, ids=IDS)
async def test_wherever_the_client_leaves_the_provider_is_told_and_there_is_one_row(
    tmp_path, path, events, options
):
    cut = 0

    async def script(connection):
        await connection.request()
        connection.upstream.left.clear()
        await connection.send(STREAM_HEAD, chunked(*events[:cut], end=False))
        await connection.until_gone()

    body = json.dumps({**CHAT_BODY, **options}).encode()
    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            for number in range(len(events) + 1):
                cut = number
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                if number:
                    await reader.readuntil(b"\r\n\r\n")
                else:
                    await upstream.until(partial(more_than, upstream.requests, number))
                writer.close()
                row = await proxy.ledger.one(number + 1)
                await asyncio.wait_for(upstream.left.wait(), 5)
                if is_over(events, number):
                    assert not row.usage_estimated
                    continue
                assert row.error_type == "client_disconnected"
                assert row.status_code == (200 if number else 499)
                assert row.input_tokens > 0
                assert row.usage_estimated or row.finish_reason


async def test_the_row_is_there_before_the_client_can_see_the_end(tmp_path):
    ledger_at_end = []

    async def script(connection):
        await connection.request()
        await connection.send(STREAM_HEAD, chunked(*streams.ANTHROPIC, end=False))
        await connection.until_gone()  # the stream itself never ends

    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            async with httpx.AsyncClient() as client:
                async with client.stream(
                    "POST", proxy.url + MESSAGES, json={**CHAT_BODY, "stream": True}
                ) as response:
                    async for line in response.aiter_lines():
                        if "message_stop" in line:
                            ledger_at_end = list(proxy.ledger.rows)
                            break
    assert [row.output_tokens for row in ledger_at_end] == [15]


async def test_a_large_upload_is_streamed_through(tmp_path):
    arrived = asyncio.Event()
    transcript = json.dumps({"text": "hi", "usage": {"type": "duration", "seconds": 60}}).encode()

    async def script(connection):
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head.lower()
        await connection.reader.readuntil(b"first part")
        arrived.set()  # while the client has not sent the rest
        await connection.reader.readuntil(b"0\r\n\r\n")
        await connection.send(answer(transcript, b"content-type: application/json"))

    async def parts():
        yield b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
        yield b"--b\r\nfirst part"
        await asyncio.wait_for(arrived.wait(), 5)
        yield b"the rest\r\n--b--\r\n"

    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path, max_body_bytes=10) as proxy:
            async with httpx.AsyncClient() as client:
                response = await client.post(
                    proxy.url + "/openai/v1/audio/transcriptions",
                    content=parts(),
                    headers={"content-type": "multipart/form-data; boundary=b"},
                )
            row = await proxy.ledger.one()
    assert response.json() == json.loads(transcript)
    assert row.model_requested == "whisper-1"
    assert row.cost == "0.0060000000"  # 0.36 dollars an hour


async def test_a_client_that_leaves_in_the_middle_of_an_upload(tmp_path):
    async def script(connection):
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.until_gone()

    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(
                b"POST /openai/v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\n"
                b"content-type: multipart/form-data; boundary=b\r\ncontent-length: 1000\r\n\r\n"
                b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b\r\n'
            )
            await upstream.until(lambda: upstream.connections > 0)
            writer.close()
            row = await proxy.ledger.one()
            await asyncio.wait_for(upstream.left.wait(), 5)
    assert (row.status_code, row.error_type) == (499, "client_disconnected")
    assert row.model_requested == "whisper-1"


async def test_a_client_that_leaves_at_the_start_of_an_upload(tmp_path):
    async with raw_upstream(replying(JSON_ANSWER)) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(
                b"POST /openai/v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\n"
                b"content-type: multipart/form-data; boundary=b\r\ncontent-length: 1000\r\n\r\nabc"
            )
            await writer.drain()
            writer.close()
            row = await proxy.ledger.one()
    assert (row.status_code, row.error_type, row.attempts) == (499, "client_disconnected", 0)
    assert upstream.connections == 0


async def test_a_body_past_the_limit_is_a_413(client, tmp_path):
    async with raw_upstream(replying(JSON_ANSWER)) as upstream:
        async with running(upstream.url, tmp_path, max_body_bytes=1000) as proxy:
            announced = await client.post(proxy.url + CHAT, content=b"x" * 1001)

            async def parts():
                for _ in range(20):
                    yield b"x" * 100

            unannounced = await client.post(proxy.url + MESSAGES, content=parts())
            fits = await client.post(proxy.url + CHAT, content=b"x" * 1000)
    assert (announced.status_code, unannounced.status_code) == (413, 413)
    assert announced.json()["error"]["code"] == "request_too_large"
    assert unannounced.json()["error"]["type"] == "request_too_large"
    assert fits.status_code == 200
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[1, 2]", b'"text"', b"{}", b'{"model": null}', b'{"model": 3}', b"\xff"],
)
async def test_odd_bodies_are_the_providers_to_judge(client, tmp_path, body):
    async with raw_upstream(replying(JSON_ANSWER)) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            response = await client.post(proxy.url + CHAT, content=body)
            row = await proxy.ledger.one()
    assert response.status_code == 200
    assert upstream.requests[0].body == body
    assert row.model_requested == ""


async def test_a_megabyte_of_headers_is_refused_clearly(tmp_path):
    async with raw_upstream(replying(JSON_ANSWER)) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"GET /openai/v1/models HTTP/1.1\r\nhost: x\r\nx-big: ")
            writer.write(b"a" * 1_000_000 + b"\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
            writer.close()
    assert head == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    assert upstream.requests == []


async def test_a_body_that_trickles_is_a_408(tmp_path):
    async with raw_upstream(replying(JSON_ANSWER)) as upstream:
        async with running(upstream.url, tmp_path, overall_timeout=0.3) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"POST /openai/v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            writer.close()
            row = await proxy.ledger.one()
    assert head.startswith(b"HTTP/1.1 408 ")
    assert (row.status_code, row.error_type) == (408, "request_timeout")
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["/", "/openai", "/v1/chat/completions", "/admin/", "//openai/x"])
async def test_other_paths_are_a_clear_404(client, tmp_path, path):
    async with running("http://127.0.0.1:9", tmp_path) as proxy:
        response = await client.get(proxy.url + path)
    assert response.status_code == 404
    assert "/openai/" in response.json()["error"]["message"]
    assert proxy.ledger.rows == []


async def test_any_method_and_path_pass(client, tmp_path):
    async with raw_upstream(replying(answer(b"[]", b"content-type: text/plain"))) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
                response = await client.request(method, proxy.url + "/openai/a%2Fb//c?x=%41&y")
                assert (response.status_code, response.content) == (200, b"[]")
    assert [request.line for request in upstream.requests] == [
        f"{method} /a%2Fb//c?x=%41&y HTTP/1.1".encode()
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS")
    ]


async def test_head_and_answers_without_body_pass(client, tmp_path):
    async def script(connection):
        while True:
            request = await connection.request()
            if request.line.startswith(b"HEAD"):
                await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
            elif b"/204" in request.line:
                await connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                await connection.send(b'HTTP/1.1 304 Not Modified\r\netag: "x"\r\n\r\n')

    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            head = await client.head(proxy.url + "/openai/v1/models")
            empty = await client.delete(proxy.url + "/openai/204")
            same = await client.get(proxy.url + "/openai/304")
            again = await client.get(proxy.url + "/openai/304")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "5", b"")
    assert (empty.status_code, empty.content) == (204, b"")
    assert (same.status_code, same.headers["etag"], again.status_code) == (304, '"x"', 304)
    assert upstream.connections == 1


async def test_expect_100_continue_is_answered_here(tmp_path):
    async with raw_upstream(replying(JSON_ANSWER)) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(
                b"POST /openai/v1/x HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
                b"content-length: 2\r\n\r\n"
            )
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"{}")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.close()
    assert upstream.requests[0].values(b"expect") == []


async def test_a_slow_json_answer_is_let_go_without_its_cost(client, tmp_path, monkeypatch):
    monkeypatch.setattr("proxy.relay.HELD_SECONDS", 0.05)
    body = json.dumps(COMPLETION).encode()
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    let_go = asyncio.Event()

    async def script(connection):
        await connection.request()
        await connection.send(head)
        while not let_go.is_set():  # white space to keep the connection open
            await connection.send(chunked(b"\n", end=False))
            await asyncio.sleep(0.02)
        await connection.send(chunked(body))

    async with raw_upstream(script) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            async with client.stream("POST", proxy.url + CHAT, json=CHAT_BODY) as response:
                let_go.set()
                received = await response.aread()
            row = await proxy.ledger.one()
    assert json.loads(received) == COMPLETION
    assert "x-tokenwatch-cost" not in response.headers
    assert row.cost == "0.0000174000"


async def test_health(client, tmp_path):
    async with running("http://127.0.0.1:9", tmp_path) as proxy:
        response = await client.get(proxy.url + "/health")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "ok", "spool_depth": 0}


async def test_an_upgrade_with_a_body_is_refused_and_its_body_is_no_request(tmp_path):
    async with raw_upstream(replying(JSON_ANSWER)) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            inner = b"POST /openai/v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
            writer.write(
                b"POST /openai/v1/x HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: h2c\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(inner), inner)
            )
            answered = await asyncio.wait_for(reader.read(), 5)
            writer.close()
    assert answered.startswith(b"HTTP/1.1 400 Bad Request")
    assert answered.count(b"HTTP/1.1") == 2  # the status line and the message's own words
    assert upstream.requests == []


async def test_a_body_that_never_begins_is_a_408(tmp_path):
    async with running("http://127.0.0.1:9", tmp_path, overall_timeout=0.3) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"POST /openai/v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()
        row = await proxy.ledger.one()
    assert head.startswith(b"HTTP/1.1 408 ")
    assert row.error_type == "request_timeout"


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 799 Odd\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: a\x01b\r\n\r\n"],
)
async def test_a_head_that_cannot_be_passed_on_is_a_502(client, tmp_path, head):
    async with raw_upstream(replying(head)) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            response = await client.post(proxy.url + CHAT, json=CHAT_BODY)
            row = await proxy.ledger.one()
    assert (response.status_code, row.error_type) == (502, "upstream_protocol")


async def test_a_304_may_name_a_length(client, tmp_path):
    same = b"HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\n\r\n"
    async with raw_upstream(replying(same)) as upstream:
        async with running(upstream.url, tmp_path) as proxy:
            for _ in range(2):
                assert (await client.get(proxy.url + "/openai/x")).status_code == 304
