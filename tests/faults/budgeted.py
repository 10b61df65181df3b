"""A provider that costs exactly what is estimated, and budgets in front of it.

The provider answers when its gate is open, so that a test says which requests are in flight.
All of it lives in the test's own event loop; TokenWatch runs in processes of its own.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.fakes import STREAM_HEAD, Connection, answer, chunked
from tests.faults.books import Books, sqlite_books
from tests.faults.child import Child
from tests.faults.postgres import Server
from tests.faults.waiting import POLL_SECONDS
from tests.proxy.streams import chunk, sse
from upstreams.dialects import DIALECTS
from upstreams.dialects.estimate import prompt_tokens

CHAT = "/openai/v1/chat/completions"
OUTPUT = 100
BODY: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "How much is left?"}],
    "max_tokens": OUTPUT,
}
PROMPT = prompt_tokens(DIALECTS["openai"], BODY)
TOKENS = PROMPT + OUTPUT
"""What a request is estimated to use, and uses."""
PATIENCE = 30.0

_USAGE = {
    "prompt_tokens": PROMPT,
    "completion_tokens": OUTPUT,
    "total_tokens": TOKENS,
}
ANSWER = json.dumps(
    {
        "object": "chat.completion",
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Enough."}}],
        "usage": _USAGE,
    }
).encode()
_WHOLE = answer(ANSWER, b"content-type: application/json")
_EVENTS = sse(
    chunk({"role": "assistant", "content": "Enough."}, usage=None),
    chunk({}, "stop", usage=None),
    chunk(None, usage=_USAGE),
    "[DONE]",
)


class Provider:
    """Answers each request as soon as `gate` is open; ``reached`` counts them."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.reached = 0

    async def __call__(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            self.reached += 1
            await self.gate.wait()
            if b'"stream"' in request.body:
                await connection.send(STREAM_HEAD, chunked(*_EVENTS))
            else:
                await connection.send(_WHOLE)


@dataclass(frozen=True)
class Engine:
    """Where the budgets are kept, and how a test looks at them."""

    books: Books
    settings: dict[str, str]


def sqlite_engine(directory: Path) -> Engine:
    return Engine(sqlite_books(directory / "tokenwatch.sqlite3"), {})


def postgres_engine(server: Server) -> Engine:
    url = server.url.replace("postgres://", "postgresql://")
    return Engine(Books(lambda: psycopg.connect(url)), {"DATABASE_URL": server.url})


def make_budgets(child: Child, budgets: Iterable[dict[str, Any]]) -> None:
    """Budgets with these values, in a process that knows the models."""
    defaults = {"unit": "tokens", "period": "total", "scope": "app"}
    listed = [{**defaults, **values} for values in budgets]
    child.manage(
        "shell",
        "-v0",
        "-c",
        f"from budgets.models import Budget\nfor v in {listed!r}: Budget.objects.create(**v)",
    )


def client(url: str) -> httpx.AsyncClient:
    """A new connection for each request: the kernel hands them out among the workers."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
    return httpx.AsyncClient(
        base_url=url, timeout=PATIENCE, trust_env=False, verify=False, limits=limits
    )


async def ask(http: httpx.AsyncClient, app: str, *, stream: bool = False) -> int:
    """One request, read to its end; the status."""
    body = {**BODY, "stream": True} if stream else BODY
    answered = await http.post(CHAT, json=body, headers={"X-TokenWatch-App": app})
    if answered.status_code == 200:
        assert (b"[DONE]" if stream else b"Enough.") in answered.content
    return answered.status_code


async def until_so(reached: Callable[[], bool], failure: str, seconds: float = PATIENCE) -> None:
    """As `tests.faults.waiting.until`, for what this loop itself has to bring about."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"{failure} after {seconds:g} s"
        await asyncio.sleep(POLL_SECONDS)
