"""Several clients that ask all the time, and a note of every answer that arrived whole.

The clients run in a thread of their own, so that a test reads as a story: start, wait for
some answers, break something, wait for more, stop. A client that is refused or cut off notes
it and comes back, as apps do.
"""

import asyncio
import itertools
import random
import threading
from dataclasses import dataclass
from typing import Any

import httpx

from tests.faults.waiting import until

CLIENTS = 6
PATIENCE = 40.0
LONGEST_THOUGHT = 0.06
"""Seconds between two requests of one client, at most: a modest load on a small machine."""

OPENAI = "/openai/v1/chat/completions"
ANTHROPIC = "/anthropic/v1/messages"
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "What waits in the spool?"}]}


@dataclass(frozen=True)
class Question:
    path: str
    body: dict[str, Any]
    app: str


QUESTIONS = (
    Question(OPENAI, {**ASKED, "model": "gpt-4o-mini+stream-5-0"}, "whole"),
    Question(OPENAI, {**ASKED, "model": "gpt-4o-mini+stream-8-4", "stream": True}, "streamed"),
    Question(ANTHROPIC, {**ASKED, "model": "claude-sonnet-4-5+cached", "max_tokens": 9}, "whole"),
    Question(
        ANTHROPIC,
        {**ASKED, "model": "claude-haiku-4-5+stream-6-4", "max_tokens": 9, "stream": True},
        "streamed",
    ),
    Question(OPENAI, {**ASKED, "model": "fail-429"}, "refused"),
    Question(OPENAI, {**ASKED, "model": "acme-small+stream-3-0"}, "unpriced"),
)


class Load:
    """Asks while the block lasts; its end awaits the answers that are under way.

    ``answered`` are the ids of the answers read to their last byte, ``cut`` says what
    happened to the others, and ``sent`` counts all that was asked.
    """

    def __init__(self, proxy_url: str, seed: int = 1) -> None:
        self.sent = 0
        self.answered: list[str] = []
        self.cut: list[str] = []
        self._url = proxy_url
        self._random = random.Random(seed)
        self._questions = itertools.cycle(QUESTIONS)
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "answers are still under way"

    def await_answers(self, count: int) -> None:
        """Wait until so many more have been answered."""
        wanted = len(self.answered) + count
        until(
            lambda: len(self.answered) >= wanted,
            lambda: f"{len(self.answered)} of {wanted} answers, {self.cut[:3]}",
            PATIENCE,
        )

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._client())

    async def _client(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=PATIENCE, trust_env=False) as http:
            while not self._over.is_set():
                await self._ask(http, next(self._questions))
                await asyncio.sleep(self._random.uniform(0, LONGEST_THOUGHT))

    async def _ask(self, http: httpx.AsyncClient, question: Question) -> None:
        self.sent += 1
        headers = {"X-TokenWatch-App": question.app, "X-TokenWatch-Tag": "fault"}
        try:
            async with http.stream(
                "POST", question.path, json=question.body, headers=headers
            ) as answer:
                async for _ in answer.aiter_raw():
                    pass
        except httpx.TransportError as exc:
            self.cut.append(repr(exc))
            return
        expected = 429 if question.app == "refused" else 200
        if answer.status_code != expected:
            self.cut.append(f"status {answer.status_code}")
        self.answered.append(answer.headers["x-tokenwatch-request-id"])
