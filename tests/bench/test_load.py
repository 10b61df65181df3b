"""The load generator against the fake upstream: right answers are measured, wrong ones fail."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench import payloads
from bench.closed_loop import run_closed_loop
from bench.processes import service
from bench.stream_load import run_streams
from bench.target import LoadError, Target
from bench.upstream import Upstream, whole


@asynccontextmanager
async def listening(protocol: type[asyncio.Protocol]) -> AsyncIterator[Target]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Target("127.0.0.1", port, "/v1/chat/completions")


class Wrong(asyncio.Protocol):
    """Answers what was not asked."""

    answer = whole(b'{"not": "the answer"}')

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.answer)


class Refusing(Wrong):
    answer = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"


class Hanging(Wrong):
    def data_received(self, data: bytes) -> None:
        self.transport.close()


@pytest.mark.parametrize("exchange", ["small", "large"])
async def test_every_request_is_answered_and_measured(exchange: str) -> None:
    async with listening(Upstream) as target:
        result = await run_closed_loop(target, payloads.EXCHANGES[exchange], 4, 50)
    assert result.requests == 50
    assert result.per_second > 0
    assert 0 < result.latency_ms.p50 <= result.latency_ms.p99 <= result.latency_ms.worst


async def test_streams_bring_every_event_with_its_delay() -> None:
    async with listening(Upstream) as target:
        result = await run_streams(target, streams=5, events=8, interval_ms=2)
    assert (result.streams, result.events, result.lost) == (5, 40, 0)
    assert result.delay_ms.p50 >= 0


@pytest.mark.parametrize("broken", [Wrong, Refusing, Hanging])
async def test_a_wrong_answer_fails_the_run(broken: type[asyncio.Protocol]) -> None:
    async with listening(broken) as target:
        with pytest.raises(LoadError):
            await run_closed_loop(target, payloads.EXCHANGES["small"], 2, 10)
        with pytest.raises(ExceptionGroup):
            await run_streams(target, streams=1, events=2, interval_ms=1)


async def test_the_bare_pass_through_changes_nothing() -> None:
    async with listening(Upstream) as target:
        upstream = f"http://{target.host}:{target.port}"
        core = min(os.sched_getaffinity(0))
        with service("bench.bare", "--upstream", upstream, core=core) as url:
            through = Target.of(url + "/openai" + target.path)
            for exchange in payloads.EXCHANGES.values():
                assert (await run_closed_loop(through, exchange, 2, 20)).requests == 20
            assert (await run_streams(through, streams=3, events=5, interval_ms=2)).lost == 0


def test_payloads_have_the_sizes_that_are_promised() -> None:
    small, large = payloads.EXCHANGES["small"], payloads.EXCHANGES["large"]
    assert 500 < len(small.answer) < 900
    assert 100_000 < len(large.request) < 101_000
    assert 20_000 < len(large.answer) < 21_000
    assert payloads.wanted_stream(payloads.stream_request(500, 20)) == (500, 20)
    assert payloads.wanted_stream(small.request) is None
