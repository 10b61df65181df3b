"""Varied, gentle traffic: what several apps of one company would ask of both providers.

`plan` invents the requests (pure, endless, the same for the same seed); `Traffic` sends
them through the proxy by plain HTTP and says for each what came back. A request that fails
as it was meant to is no error; one that fails otherwise is counted in `Traffic.unexpected`.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

PER_SECOND = 3.0

TOPICS = (
    "Summarise the customer's last three messages.",
    "Review this change for mistakes in error handling.",
    "Which of our invoices are overdue, and by how much?",
    "Write a subject line for the spring newsletter.",
    "Translate the release notes into Portuguese.",
    "Find the cause of the timeout in this log.",
)
TOOL_SCHEMA = {"type": "object", "properties": {"customer": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class App:
    """One client: what it asks, of which models, how often in proportion to the others."""

    name: str
    dialect: str
    models: tuple[str, ...]
    tags: tuple[str, ...]
    weight: int
    streamed: float = 0.5
    tools: float = 0.0


APPS = (
    App("support-bot", "chat", ("gpt-4o-mini", "gpt-4o"), ("triage", "reply"), 6),
    App(
        "coding-agent", "messages", ("claude-sonnet-4-5", "claude-opus-4-6"), ("edit",), 6, 0.9, 0.4
    ),
    App("release-notes", "messages", ("claude-haiku-4-5",), ("draft", "translate"), 3, 0.2),
    App("analytics", "responses", ("gpt-5-mini", "o3-mini"), ("report",), 3, 0.3, 0.3),
    App("search", "embeddings", ("text-embedding-3-small",), ("index", "query"), 4, 0.0),
    App("newsletter", "chat", ("glm-4.7", "gpt-4.1-mini", "acme-small"), ("subject",), 2, 0.3),
)

PATHS = {
    "chat": "/openai/v1/chat/completions",
    "responses": "/openai/v1/responses",
    "embeddings": "/openai/v1/embeddings",
    "messages": "/anthropic/v1/messages",
}
TROUBLES = ("fail-429", "fail-500", "fail-400", "fail-529", "break-6", "slow-1500")
TROUBLE_SHARE = 0.06
CACHED_SHARE = 0.25
LEAVING_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Planned:
    """One request to send, and what is to become of it."""

    app: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    behaviour: str
    leaves: bool = False
    """The client goes away in the middle of the stream."""

    @property
    def trouble(self) -> bool:
        return self.behaviour.startswith(("fail", "break"))


def plan(seed: int) -> Iterator[Planned]:
    """Requests without end."""
    draw = random.Random(seed)
    while True:
        app = draw.choices(APPS, [app.weight for app in APPS])[0]
        body = _body(app, draw)
        streamed = bool(body.get("stream"))
        behaviour = _behaviour(draw, streamed, app.dialect)
        yield Planned(
            app=app.name,
            path=PATHS[app.dialect],
            headers=_headers(app, behaviour, draw),
            body=body,
            behaviour=behaviour,
            leaves=behaviour.startswith("stream") and draw.random() < LEAVING_SHARE,
        )


def _headers(app: App, behaviour: str, draw: random.Random) -> dict[str, str]:
    headers = {
        "X-TokenWatch-App": app.name,
        "X-TokenWatch-Tag": draw.choice(app.tags),
        "X-TokenWatch-Session": f"{app.name}-{draw.randint(1, 5)}",
    }
    if app.dialect == "messages":
        headers |= {"x-api-key": "demo", "anthropic-version": "2023-06-01"}
    else:
        headers["authorization"] = "Bearer demo"
    if behaviour:
        headers["X-Fake-Provider"] = behaviour
    return headers


def _behaviour(draw: random.Random, streamed: bool, dialect: str) -> str:
    if draw.random() < TROUBLE_SHARE:
        return draw.choice(TROUBLES)
    wanted = []
    if dialect != "embeddings" and draw.random() < CACHED_SHARE:
        wanted.append("cached")
    if streamed:
        wanted.append(f"stream-{draw.randint(20, 80)}-{draw.randint(10, 40)}")
    elif draw.random() < 0.5:
        wanted.append(f"slow-{draw.randint(50, 600)}")
    return "+".join(wanted)


def _body(app: App, draw: random.Random) -> dict[str, Any]:
    topic = draw.choice(TOPICS)
    text = topic + " " + "Here is the text. " * draw.randint(1, 120)
    body: dict[str, Any] = {"model": draw.choice(app.models)}
    if app.dialect == "embeddings":
        return {**body, "input": [text, topic]}
    if app.dialect == "responses":
        body |= {"input": text}
    else:
        body |= {"messages": [{"role": "user", "content": text}]}
    if app.dialect == "messages":
        body |= {"max_tokens": 1024}
    if draw.random() < app.tools:
        body["tools"] = [_tool(app.dialect)]
    if draw.random() < app.streamed:
        body["stream"] = True
    return body


def _tool(dialect: str) -> dict[str, Any]:
    name = "find_customer"
    if dialect == "messages":
        return {"name": name, "input_schema": TOOL_SCHEMA}
    if dialect == "responses":
        return {"type": "function", "name": name, "parameters": TOOL_SCHEMA}
    return {"type": "function", "function": {"name": name, "parameters": TOOL_SCHEMA}}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back for one request."""

    planned: Planned
    status: int
    """0 where nothing came back."""
    seconds: float
    ended: str
    """``whole``, ``broken`` or ``left``."""

    @property
    def expected(self) -> bool:
        if self.planned.trouble:
            return self.status != 0
        return self.status == 200 and self.ended != "broken"


@dataclass
class Traffic:
    """Sends planned requests at a gentle pace, each in its own time."""

    proxy_url: str
    report: Callable[[Outcome], None]
    per_second: float = PER_SECOND
    sent: int = 0
    unexpected: int = 0
    _pace: random.Random = field(default_factory=lambda: random.Random(1))

    async def run(self, requests: Iterator[Planned], limit: int | None = None) -> None:
        """Send until the requests end or ``limit`` of them are sent, and await the answers."""
        async with (
            httpx.AsyncClient(base_url=self.proxy_url, timeout=60, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            for planned in requests:
                group.create_task(self._one(client, planned))
                self.sent += 1
                if self.sent == limit:
                    return
                await asyncio.sleep(self._pace.expovariate(self.per_second))

    async def _one(self, client: httpx.AsyncClient, planned: Planned) -> None:
        started = time.monotonic()
        status, ended = await send(client, planned)
        outcome = Outcome(planned, status, time.monotonic() - started, ended)
        self.unexpected += not outcome.expected
        self.report(outcome)


async def send(client: httpx.AsyncClient, planned: Planned) -> tuple[int, str]:
    """Send one request and read its answer: the status, and how the answer ended."""
    status = 0
    try:
        async with client.stream(
            "POST", planned.path, json=planned.body, headers=planned.headers
        ) as answer:
            status = answer.status_code
            async for _ in answer.aiter_raw():
                if planned.leaves:
                    return status, "left"
    except httpx.TransportError:
        return status, "broken"
    return status, "whole"
