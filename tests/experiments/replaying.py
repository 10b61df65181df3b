"""A TokenWatch with a ledger in the test's database, before a provider that counts prompts."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async

from tests.experiments.samples import chat_answer
from tests.fakes import Connection, RawUpstream, Request, answer, raw_upstream
from tests.proxy.serving import Proxy, running
from tests.usage.keeping import KeptLedger

PATIENCE = 60


@dataclass
class Provider:
    """Answers each prompt with `reply`, and keeps back what comes after so many."""

    seen: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)
    open_for: int = 10**9
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    status: bytes = b"200 OK"

    async def serve(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            self.requests.append(request)
            body = json.loads(request.body)
            self.seen[self.prompt(body)] += 1
            mine = self.seen.total()
            async with self.changed:
                self.changed.notify_all()
                await self.changed.wait_for(partial(self._is_open, mine))
            await connection.send(
                answer(
                    json.dumps(self.reply(body)).encode(),
                    b"content-type: application/json",
                    status=self.status,
                )
            )

    def _is_open(self, number: int) -> bool:
        return number <= self.open_for

    def prompt(self, body: Any) -> str:
        return str(body["messages"][-1]["content"])

    def reply(self, body: Any) -> Any:
        return {**chat_answer(f"{self.prompt(body)} again".upper()), "model": body["model"]}

    async def until_seen(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(lambda: self.seen.total() >= number)

    async def open(self, number: int = 10**9) -> None:
        async with self.changed:
            self.open_for = number
            self.changed.notify_all()


@dataclass
class Site:
    proxy: Proxy
    provider: Provider
    upstream: RawUpstream
    ledger: KeptLedger

    @property
    def url(self) -> str:
        return self.proxy.url

    async def flush(self) -> None:
        assert await asyncio.to_thread(self.ledger.flush, PATIENCE)


@asynccontextmanager
async def site(directory: Path, provider: Provider, **settings: object) -> AsyncIterator[Site]:
    async with raw_upstream(provider.serve) as upstream:
        async with running(upstream.url, directory, **settings) as proxy:
            ledger = KeptLedger(directory / "replay-spool")
            proxy.services.ledger = ledger
            ledger.start()
            try:
                yield Site(proxy, provider, upstream, ledger)
            finally:
                assert await asyncio.to_thread(ledger.stop, PATIENCE)


def db(function: Any) -> Any:
    """A function on the database, from a coroutine."""
    return sync_to_async(function, thread_sensitive=True)
