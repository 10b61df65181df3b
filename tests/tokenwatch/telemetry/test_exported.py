"""What a collector receives of real requests through the proxy, on real sockets."""

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.fakes import STREAM_HEAD, answer, chunked, raw_upstream
from tests.proxy import streams
from tests.proxy.serving import running
from tests.proxy.test_failover import BODY, CHAT, KINDS, Site, candidate, good, saying
from tests.proxy.test_tap import COMPLETION
from tests.tokenwatch.telemetry.collector import collector, plain
from tokenwatch.telemetry import export

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
SERVER_NAME = "POST /openai/v1/chat/completions"
CLIENT_NAME = "chat gpt-4o-mini"


class ToldSite(Site):
    """With what the collector received, and the upstreams."""

    def __init__(self, proxy, http, received, upstreams):
        super().__init__(proxy, http)
        self.received, self.upstreams = received, upstreams
        assert proxy.services.telemetry is not None
        self.telemetry = proxy.services.telemetry


@asynccontextmanager
async def told(tmp_path, first, second=None, **settings):
    """A proxy that tells a collector, before one upstream or two."""
    with collector() as received:
        async with raw_upstream(first) as one, raw_upstream(second or first) as two:
            settings = {"otel_enabled": True, "otel_endpoint": received.endpoint, **settings}
            async with (
                running(one.url, tmp_path, **settings) as proxy,
                httpx.AsyncClient(timeout=15) as http,
            ):
                site = ToldSite(proxy, http, received, (one, two))
                urls = [one.url, two.url] if second else [one.url]
                site.use(
                    *(
                        candidate(name, url, number, kind)
                        for number, (name, url) in enumerate(
                            zip(("first", "second"), urls, strict=False)
                        )
                        for kind in KINDS
                    )
                )
                await asyncio.to_thread(site.telemetry.start, proxy.services._gauges)
                try:
                    yield site
                finally:
                    await asyncio.to_thread(site.telemetry.stop)


async def stopped(site):
    """Everything is sent."""
    await asyncio.to_thread(site.telemetry.stop)
    return site.received


def hexed(span):
    return span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()


async def test_a_request_is_a_server_span_and_a_client_span(tmp_path):
    async with told(tmp_path, good) as site:
        before = time.time_ns()
        await site.ask(headers={"x-tokenwatch-app": "shop", "x-tokenwatch-tag": "search"})
        row = await site.row()
        received = await stopped(site)
        server, client = received.named(SERVER_NAME), received.named(CLIENT_NAME)
        assert (server.kind, client.kind) == (SERVER, CLIENT)
        assert client.parent_span_id == server.span_id
        assert client.trace_id == server.trace_id
        assert server.parent_span_id == b""
        assert before <= server.start_time_unix_nano <= client.start_time_unix_nano
        assert client.end_time_unix_nano <= server.end_time_unix_nano <= time.time_ns()
        assert server.status.code == client.status.code == Status.STATUS_CODE_UNSET
        url = httpx.URL(site.upstreams[0].url)
        attributes = plain(client.attributes)
        assert attributes == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.request.stream": False,
            "gen_ai.response.model": row.model_used,
            "gen_ai.response.finish_reasons": [row.finish_reason],
            "gen_ai.usage.input_tokens": row.input_tokens + row.cache_read_tokens,
            "gen_ai.usage.output_tokens": row.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": row.cache_read_tokens,
            "gen_ai.usage.reasoning.output_tokens": row.reasoning_tokens,
            "http.request.method": "POST",
            "http.response.status_code": 200,
            "server.address": url.host,
            "server.port": url.port,
            "tokenwatch.upstream": "first",
            "tokenwatch.attempt": 1,
            "tokenwatch.usage.estimated": False,
        }
        decided = plain(server.attributes)
        assert decided.pop("tokenwatch.overhead_ms") > 0
        assert decided == {
            "http.request.method": "POST",
            "http.route": "/openai/v1/chat/completions",
            "http.response.status_code": 200,
            "url.path": CHAT,
            "url.scheme": "http",
            "tokenwatch.request.id": row.request_id,
            "tokenwatch.api_type": "openai",
            "tokenwatch.app": "shop",
            "tokenwatch.tag": "search",
            "tokenwatch.requested_model": "gpt-4o-mini",
            "tokenwatch.upstream": "first",
            "tokenwatch.attempts": 1,
            "tokenwatch.cost": float(row.cost),
            "tokenwatch.usage.estimated": False,
        }
        assert received.resources[0]["service.name"] == "tokenwatch"


async def test_what_is_no_operation_is_told_as_http_alone(tmp_path):
    async with told(tmp_path, good) as site:
        await site.http.get(site.proxy.url + "/openai/v1/models?limit=3")
        received = await stopped(site)
        client = plain(received.named("GET").attributes)
        assert client["url.full"] == site.upstreams[0].url + "/v1/models"
        assert not [name for name in client if name.startswith("gen_ai.")]
        assert "GET /openai/{path}" in [span.name for span in received.spans]
        assert not [name for name in received.metrics if name.startswith("gen_ai.")]


async def test_the_clients_trace_goes_on_to_the_upstream(tmp_path):
    async with told(tmp_path, good) as site:
        await site.ask(headers={"traceparent": TRACEPARENT, "tracestate": "vendor=1"})
        received = await stopped(site)
        server, client = received.named(SERVER_NAME), received.named(CLIENT_NAME)
        assert hexed(server) == (TRACE, server.span_id.hex(), SPAN)
        assert hexed(client) == (TRACE, client.span_id.hex(), server.span_id.hex())
        assert server.trace_state == "vendor=1"
        (request,) = site.upstreams[0].requests
        assert request.values(b"traceparent") == [f"00-{TRACE}-{client.span_id.hex()}-01".encode()]
        assert request.values(b"tracestate") == [b"vendor=1"]


async def test_a_trace_that_its_client_does_not_record_passes_as_it_came(tmp_path):
    async with told(tmp_path, good) as site:
        unsampled = TRACEPARENT[:-1] + "0"
        await site.ask(headers={"traceparent": unsampled, "tracestate": "vendor=1"})
        received = await stopped(site)
        assert received.spans == []
        assert received.points("tokenwatch.requests")[0][1] == 1
        (request,) = site.upstreams[0].requests
        assert request.values(b"traceparent") == [unsampled.encode()]
        assert request.values(b"tracestate") == [b"vendor=1"]


async def test_while_it_is_off_headers_pass_as_they_came(tmp_path):
    async with told(tmp_path, good) as site:
        site.proxy.services.telemetry = None
        await site.ask(headers={"traceparent": TRACEPARENT, "tracestate": "vendor=1"})
        await site.ask()
        await site.row(2)
        with_context, without = site.upstreams[0].requests
        assert with_context.values(b"traceparent") == [TRACEPARENT.encode()]
        assert with_context.values(b"tracestate") == [b"vendor=1"]
        assert without.values(b"traceparent") == []
        assert (await stopped(site)).spans == []


async def test_each_attempt_of_a_failover_is_a_span(tmp_path):
    async with told(tmp_path, saying(b"503 Busy"), good) as site:
        await site.ask()
        received = await stopped(site)
        failed, answered = sorted(
            (span for span in received.spans if span.kind == CLIENT),
            key=lambda span: span.start_time_unix_nano,
        )
        assert failed.status.code == Status.STATUS_CODE_ERROR
        facts = plain(failed.attributes)
        assert facts["tokenwatch.upstream"] == "first"
        assert facts["http.response.status_code"] == 503
        assert facts["error.type"]
        assert "gen_ai.usage.input_tokens" not in facts
        assert failed.end_time_unix_nano <= answered.start_time_unix_nano
        facts = plain(answered.attributes)
        assert facts["tokenwatch.upstream"] == "second"
        assert facts["http.request.resend_count"] == 1
        assert facts["gen_ai.usage.input_tokens"] > 0
        assert "error.type" not in facts
        server = received.named(SERVER_NAME)
        assert server.status.code == Status.STATUS_CODE_UNSET
        assert plain(server.attributes)["tokenwatch.attempts"] == 2
        sent = [upstream.requests[0].values(b"traceparent") for upstream in site.upstreams]
        assert [int(value.split(b"-")[2], 16) for (value,) in sent] == [
            int.from_bytes(span.span_id) for span in (failed, answered)
        ]
        ((attributes, number),) = received.points("tokenwatch.upstream.failures")
        assert (attributes["tokenwatch.upstream"], number) == ("first", 1)
        ((_, duration),) = received.points("gen_ai.client.operation.duration")
        assert duration.count == 1  # the conventions: one operation with all its tries


async def test_a_request_that_no_upstream_answers_is_an_error(tmp_path):
    async with told(tmp_path, saying(b"503 Busy"), saying(b"500 Oops")) as site:
        await site.ask()
        received = await stopped(site)
        assert {span.status.code for span in received.spans} == {Status.STATUS_CODE_ERROR}
        ((attributes, _),) = received.points("gen_ai.client.operation.duration")
        assert attributes["error.type"]
        assert "gen_ai.client.token.usage" not in received.metrics


async def test_the_metrics_of_a_stream(tmp_path):
    async with told(tmp_path, good) as site:
        await site.ask(json={**BODY, "stream": True})
        row = await site.row()
        received = await stopped(site)
        tokens = {
            attributes["gen_ai.token.type"]: point
            for attributes, point in received.points("gen_ai.client.token.usage")
        }
        assert {kind: point.sum for kind, point in tokens.items()} == {
            "input": row.input_tokens + row.cache_read_tokens,
            "output": row.output_tokens,
        }
        assert list(tokens["input"].explicit_bounds)[:3] == [1, 4, 16]
        ((attributes, duration),) = received.points("gen_ai.client.operation.duration")
        ((_, first),) = received.points("gen_ai.client.operation.time_to_first_chunk")
        assert 0 < first.sum <= duration.sum
        assert attributes["gen_ai.provider.name"] == "openai"
        assert attributes["gen_ai.request.model"] == "gpt-4o-mini"
        ((_, cost),) = received.points("tokenwatch.cost")
        assert cost == pytest.approx(float(row.cost))
        client = plain(received.named(CLIENT_NAME).attributes)
        assert client["gen_ai.response.time_to_first_chunk"] > 0
        assert client["gen_ai.request.stream"] is True
        breakers = received.points("tokenwatch.upstream.breaker")
        assert [a["tokenwatch.breaker.state"] for a, value in breakers if value] == ["closed"]
        assert received.points("tokenwatch.spool.depth") == [({}, 0)]


async def test_what_is_only_estimated_is_no_token_usage(tmp_path):
    async def without_usage(connection):
        await connection.request()
        bare = {key: value for key, value in COMPLETION.items() if key != "usage"}
        await connection.send(answer(json.dumps(bare).encode(), b"content-type: application/json"))

    async with told(tmp_path, without_usage) as site:
        await site.ask()
        assert (await site.row()).usage_estimated
        received = await stopped(site)
        assert "gen_ai.client.token.usage" not in received.metrics
        assert plain(received.named(CLIENT_NAME).attributes)["tokenwatch.usage.estimated"] is True


async def test_a_refusal_of_a_budget_is_a_server_span_alone(tmp_path, monkeypatch):
    from budgets.refusals import Unknown
    from proxy import pipeline

    def gate(*_):
        raise Unknown

    async with told(tmp_path, good) as site:
        monkeypatch.setattr(pipeline, "budget_gate", gate)
        assert (await site.ask()).status_code in (429, 503)
        row = await site.row()
        received = await stopped(site)
        (server,) = received.spans
        facts = plain(server.attributes)
        assert facts["tokenwatch.budget.refusal"] == facts["error.type"] == row.error_type
        assert received.points("tokenwatch.budget.refusals") == [
            (
                {"tokenwatch.api_type": "openai", "tokenwatch.budget.refusal": row.error_type},
                1,
            )
        ]


async def test_requests_beyond_the_traces_of_a_second_are_in_the_metrics(tmp_path):
    async with told(tmp_path, good, otel_traces_per_second=1) as site:
        sampler = site.telemetry._sampler
        sampler._until = float("inf")
        sampler._left = 1
        for _ in range(3):
            await site.ask()
        received = await stopped(site)
        assert len(received.spans) == 2
        assert received.points("tokenwatch.requests")[0][1] == 3
        assert received.points("tokenwatch.telemetry.untraced") == [({}, 2)]


async def test_a_client_that_leaves_ends_both_spans(tmp_path):
    async def endless(connection):
        await connection.request()
        await connection.send(STREAM_HEAD, chunked(*streams.OPENAI[:2], end=False))
        await connection.until_gone()

    async with told(tmp_path, endless) as site:
        async with site.http.stream(
            "POST", site.proxy.url + CHAT, json={**BODY, "stream": True}
        ) as response:
            await anext(response.aiter_raw())
        row = await site.row()
        received = await stopped(site)
        assert len(received.spans) == 2
        for span in received.spans:
            assert plain(span.attributes)["error.type"] == row.error_type == "client_disconnected"


@pytest.fixture
def nobody():
    """An address that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def silent():
    """An address that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def test_without_a_collector_requests_are_served_and_it_is_said_once(
    tmp_path, caplog, monkeypatch, nobody
):
    monkeypatch.setattr(export, "TIMEOUT", 0.2)
    monkeypatch.setattr(export, "BATCH", 1)
    async with told(tmp_path, good, otel_endpoint=nobody) as site:
        for _ in range(5):
            assert (await site.ask()).status_code == 200
        telemetry = site.telemetry
        for _ in range(3):
            await asyncio.to_thread(telemetry.send_metrics)
        await asyncio.to_thread(telemetry.stop)
    said = [r for r in caplog.records if r.name.startswith(("tokenwatch.telem", "opentelem"))]
    assert [record.name for record in said] == ["tokenwatch.telemetry"]
    assert nobody in said[0].getMessage()


async def test_a_collector_that_never_answers_does_not_hold_the_worker_up(tmp_path, silent):
    async with told(tmp_path, good, otel_endpoint=silent) as site:
        telemetry = site.telemetry
        sending = asyncio.create_task(asyncio.to_thread(telemetry.send_metrics))
        assert (await site.ask()).status_code == 200
        began = time.monotonic()
        await asyncio.to_thread(telemetry.stop, 0.5)
        assert time.monotonic() - began < export.TIMEOUT - 1
        await sending


async def test_a_full_queue_drops_and_counts(tmp_path, monkeypatch):
    from tokenwatch.telemetry import handover

    async with told(tmp_path, good) as site:
        monkeypatch.setattr(handover, "WAITING", 0)
        await site.ask()
        await site.row()
        received = await stopped(site)
        assert received.spans == []
        assert received.points("tokenwatch.telemetry.dropped") == [({}, 1)]
