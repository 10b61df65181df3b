"""Workers are replaced under load, and no client notices."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import httpx
import pytest

from tests.faults.books import sqlite_books
from tests.faults.child import PATIENCE, Child
from tests.faults.conftest import DATABASE
from tests.faults.holding import EVENT, LAST, HoldingProvider
from tests.faults.load import OPENAI, Load
from tests.faults.waiting import until
from tokenwatch import running

STREAMS = 100
BODY = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


class Streams:
    """Clients that each hold one stream open, in a thread of their own."""

    def __init__(self, proxy_url: str) -> None:
        self._url = proxy_url
        self.began = 0
        self.whole = 0
        self.cut: list[str] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "Streams":
        self._thread.start()
        until(lambda: self.began == STREAMS, lambda: f"{self.began} {self.cut[:2]}", PATIENCE)
        return self

    def __exit__(self, *raised: object) -> None:
        self._thread.join(PATIENCE)

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=STREAMS)
        async with httpx.AsyncClient(timeout=PATIENCE * 3, limits=limits, trust_env=False) as http:
            await asyncio.gather(*(self._one(http) for _ in range(STREAMS)))

    async def _one(self, http: httpx.AsyncClient) -> None:
        got = b""
        headers = {"X-Hold": "1"}
        try:
            async with http.stream(
                "POST", self._url + OPENAI, json=BODY, headers=headers
            ) as answer:
                async for chunk in answer.aiter_raw():
                    self.began += not got
                    got += chunk
        except httpx.TransportError as exc:
            self.cut.append(repr(exc))
            return
        if got == EVENT + LAST:
            self.whole += 1
        else:
            self.cut.append(repr(got))


def start(directory: Path, url: str, **settings: str) -> Child:
    return Child(directory, url, workers=2, settings=settings)


@pytest.mark.slow
def test_a_rolling_restart_cuts_no_stream_and_refuses_nobody(
    tmp_path: Path, provider: tuple[HoldingProvider, str]
) -> None:
    holding, url = provider
    child = start(tmp_path, url, DRAIN_TIMEOUT="120")
    child.migrate()
    with child:
        until(lambda: len(child.workers()) == 2, lambda: f"{child.workers()}", PATIENCE)
        old = set(child.workers())
        with Load(child.run.proxy_url) as load, Streams(child.run.proxy_url) as streams:
            load.await_answers(20)
            os.kill(child.pid, signal.SIGHUP)
            until(
                lambda: len(set(child.workers()) - old) == 2, lambda: "not replaced", 2 * PATIENCE
            )
            load.await_answers(100)  # by the new workers alone
            assert (streams.whole, streams.cut) == (0, [])
            holding.release()
            until(lambda: streams.whole == STREAMS, lambda: f"{streams.cut[:3]}", PATIENCE)
            until(lambda: not any(map(running.is_alive, old)), lambda: "old ones live", PATIENCE)
            load.await_answers(20)
        assert (load.cut, streams.cut) == ([], [])
        child.settle()
        books = sqlite_books(tmp_path / DATABASE)
        assert len(books.ids()) == load.sent + STREAMS
        books.check_sums()


@pytest.mark.slow
def test_a_stop_waits_no_longer_than_it_is_told_and_writes_the_rows(
    tmp_path: Path, provider: tuple[HoldingProvider, str]
) -> None:
    _, url = provider
    child = start(tmp_path, url, DRAIN_TIMEOUT="1")
    child.migrate()
    with child, Streams(child.run.proxy_url) as streams:
        child.terminate()
        assert child.ended() == 0
    assert (streams.whole, len(streams.cut)) == (0, STREAMS)
    assert len(sqlite_books(tmp_path / DATABASE).ids()) == STREAMS


@pytest.mark.slow
def test_a_stop_in_the_middle_of_a_restart_is_obeyed(
    tmp_path: Path, provider: tuple[HoldingProvider, str]
) -> None:
    holding, url = provider
    child = start(tmp_path, url, DRAIN_TIMEOUT="60")
    child.migrate()
    with child, Streams(child.run.proxy_url) as streams:
        old = set(child.workers())
        os.kill(child.pid, signal.SIGHUP)
        until(lambda: bool(set(child.workers()) - old), lambda: "no new worker", PATIENCE)
        child.terminate()
        holding.release()
        assert child.ended() == 0
        until(lambda: streams.whole == STREAMS, lambda: f"{streams.cut[:3]}", PATIENCE)
    assert len(sqlite_books(tmp_path / DATABASE).ids()) == STREAMS
