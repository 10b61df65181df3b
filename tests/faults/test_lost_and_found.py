"""A worker that is killed, a database that is away: no answered request loses its row."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.fake_provider import FakeProvider
from demo.instance import Instance
from demo.serving import serve

pytestmark = pytest.mark.slow

AWAY_SECONDS = float(os.environ.get("TOKENWATCH_TEST_AWAY_SECONDS", "8"))
"""How long the database is away; set it to 60 for the long version."""


@pytest.fixture
def upstream() -> Iterator[str]:
    with serve(FakeProvider().app) as url:
        yield url


def instance(directory: Path, upstream: str, *more: str) -> Instance:
    made = Instance(directory, upstream, stdout=subprocess.DEVNULL)
    made._start += more
    made.manage("migrate", "--verbosity", "0")
    return made


class Load:
    """Requests from several clients at once; remembers which were answered whole."""

    def __init__(self, url: str, *, ends_with_connection: bool = False) -> None:
        self.url = url
        self.ends_with_connection = ends_with_connection
        """A client stops at its first broken connection, instead of trying again."""
        self.answered: list[str] = []
        self.failed: list[str] = []
        self.stop = asyncio.Event()
        self.progress = asyncio.Event()

    async def client(self, number: int) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            while not self.stop.is_set():
                stream = number % 2 == 0
                body: dict[str, Any] = {
                    "model": "gpt-4o-mini",
                    "messages": [{"role": "user", "content": f"request {number}"}],
                    "stream": stream,
                }
                try:
                    response = await client.post(
                        f"{self.url}/openai/v1/chat/completions", json=body
                    )
                except httpx.HTTPError as exc:
                    self.failed.append(repr(exc))
                    if self.ends_with_connection:
                        return
                    continue
                if response.status_code == 200:
                    self.answered.append(response.headers["x-tokenwatch-request-id"])
                else:
                    self.failed.append(response.text)
                self.progress.set()

    async def run(self, until: Any) -> None:
        tasks = [asyncio.create_task(self.client(number)) for number in range(8)]
        await until(self)
        self.stop.set()
        await asyncio.gather(*tasks)


async def answers(load: Load, count: int) -> None:
    """Wait until so many requests were answered."""
    async with asyncio.timeout(60):
        while len(load.answered) < count:
            load.progress.clear()
            await load.progress.wait()


def check_ledger(directory: Path, answered: list[str]) -> None:
    """Each answered request has one row, and the rollups are the rows' sums."""
    with closing(sqlite3.connect(directory / "tokenwatch.sqlite3")) as ledger:
        ids = [row[0] for row in ledger.execute("SELECT request_id FROM tw_usage")]
        sums = "sum(input_tokens), sum(output_tokens), round(sum(cost), 8)"
        rows = ledger.execute(f"SELECT count(*), {sums} FROM tw_usage").fetchone()
        rollups = [
            ledger.execute(
                f"SELECT sum(requests), {sums} FROM tw_usage_rollup WHERE bucket_seconds = ?", [s]
            ).fetchone()
            for s in (60, 3600)
        ]
    assert len(ids) == len(set(ids))
    assert set(answered) - set(ids) == set()
    assert rollups == [rows, rows]


def workers_of(pid: int) -> list[int]:
    """The worker processes of a running ``start --workers N`` (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize("after", [40, 150, 400])
async def test_kill_9_in_the_middle_of_load(tmp_path: Path, upstream: str, after: int) -> None:
    made = instance(tmp_path, upstream)
    with made:
        load = Load(f"http://127.0.0.1:{made.run.proxy_port}", ends_with_connection=True)

        async def kill(load: Load) -> None:
            await answers(load, after)
            os.kill(made.pid, signal.SIGKILL)

        await load.run(kill)
    assert len(load.answered) >= after
    assert list((tmp_path / "spool").glob("*.jsonl"))  # there was something to find
    with instance(tmp_path, upstream) as again:
        again.drain(30)
        check_ledger(tmp_path, load.answered)


async def test_one_of_two_workers_is_killed(tmp_path: Path, upstream: str) -> None:
    with instance(tmp_path, upstream, "--workers", "2") as made:
        load = Load(f"http://127.0.0.1:{made.run.proxy_port}")

        async def kill_one(load: Load) -> None:
            await answers(load, 100)
            os.kill(workers_of(made.pid)[0], signal.SIGKILL)
            await answers(load, len(load.answered) + 50)  # the other one goes on

        await load.run(kill_one)
        made.drain(30)
    # Whether a living worker adopted the dead one's rows or the next start does: none is lost.
    with instance(tmp_path, upstream) as made:
        made.drain(30)
        check_ledger(tmp_path, load.answered)


async def test_a_graceful_stop_writes_everything(tmp_path: Path, upstream: str) -> None:
    made = instance(tmp_path, upstream)
    with made:
        load = Load(f"http://127.0.0.1:{made.run.proxy_port}")
        await load.run(lambda load: answers(load, 200))
    check_ledger(tmp_path, load.answered)
    assert load.failed == []
    assert list((tmp_path / "spool").glob("*.jsonl")) == []
    assert not (tmp_path / "run.json").exists()


async def test_the_database_is_away_for_a_while(tmp_path: Path, upstream: str) -> None:
    with instance(tmp_path, upstream) as made:
        load = Load(f"http://127.0.0.1:{made.run.proxy_port}")
        released = threading.Event()
        locked = threading.Event()

        def hold() -> None:
            with closing(sqlite3.connect(tmp_path / "tokenwatch.sqlite3", timeout=30)) as other:
                other.execute("BEGIN EXCLUSIVE")
                locked.set()
                released.wait(AWAY_SECONDS)
                other.rollback()

        async def away(load: Load) -> None:
            await answers(load, 50)
            holder = threading.Thread(target=hold)
            holder.start()
            await asyncio.to_thread(locked.wait, 30)
            before = len(load.answered)
            await asyncio.to_thread(holder.join)
            assert len(load.answered) > before + 50  # requests went on

        await load.run(away)
        made.drain(60)
        check_ledger(tmp_path, load.answered)
    assert load.failed == []
