"""Replays stored prompts to another model through a running TokenWatch, each exactly once.

The engine prints nothing; `Engine.run` is one coroutine that a command or a page awaits, and
that goes on where an earlier one stopped. How it fails: `ReplayError` with one line where
TokenWatch does not answer or a budget refuses, and the run can be resumed; a prompt that a
provider does not answer well is a result like any other. Cancelled or killed, it leaves the
prompts under way claimed, and the next one asks the ledger what became of them.

Every prompt bears a session of its own, so that the ledger can tell. Requests carry the
replay's key or none: never the key of the client that sent the prompt.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
from django.db import close_old_connections, connection

from experiments import replay_results
from experiments import replay_store as store
from experiments.prompt_models import ReplayRun, RunState
from experiments.replay_client import Client, Refused, judge_path
from experiments.replay_judge import judge_body, question, read_verdict
from experiments.replay_plan import APP, ReplayError
from experiments.replay_results import Pair
from experiments.replay_rules import answer_text, cosine, native_dialect, parsed, replay_body
from experiments.replay_store import Item, Sent

HEARTBEAT = 1.0
STALE_AFTER = 6.0
"""Seconds without a sign of life after which a run's process counts as dead."""
QUIET_LOOKS = 4
LOOK_EVERY = 0.5
SETTLE_SECONDS = 60.0
"""The ledger is complete when its spool was empty in so many looks; how long to wait for that."""
EMBEDDED = 16

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Vectors of texts; called in a thread."""
T = TypeVar("T")


def find_embedder() -> Embed | None:
    """The embedder of this installation, None where it has none; what composes the domains puts
    another function in its place."""
    return None


class TakenError(ReplayError):
    """Another process works at the run."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    done: int
    of: int
    doing: str
    """sending, comparing or judging."""


class StoppedError(ReplayError):
    """`Engine.stop` was called."""


class Engine:
    """Works at one run."""

    def __init__(
        self,
        run: ReplayRun,
        *,
        key: str = "",
        concurrency: int = 4,
        embed: Embed | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.pk: int = run.pk
        self._run = run
        self._concurrency = max(1, concurrency)
        self._embed = embed
        self._tell = on_progress
        self._me = secrets.token_hex(16)
        self._done = 0
        self._stopping = False
        self._refusal = ""
        # One thread for the database: one connection, and claims one after another.
        self._thread = ThreadPoolExecutor(1, "replay")
        self._client = Client(run.url, key, self._concurrency, transport)

    async def run(self) -> None:
        """Send what is not sent yet, compare, judge.

        Raises:
            TakenError: another process works at the run.
            ReplayError: it had to stop; the run can be resumed.
        """
        try:
            if not await self._db(store.take, self.pk, self._me, _now(), STALE_AFTER):
                raise TakenError(f"another process works at replay run {self.pk}")
            beating = asyncio.create_task(self._beat(asyncio.current_task()))
            try:
                await self._work()
            finally:
                beating.cancel()
        finally:
            await self._client.close()
            await asyncio.shield(asyncio.to_thread(self._close))

    def stop(self) -> None:
        """Send no more; `run` waits for what is under way and raises `StoppedError`."""
        self._stopping = True

    async def _work(self) -> None:
        state, note = RunState.INTERRUPTED, "interrupted"
        try:
            await self._settle()
            await self._send_all()
            if await self._settle():
                raise ReplayError("some prompts were not sent, as TokenWatch broke off: resume")
            await self._reconcile()
            await self._compare()
            await self._judge()
            state, note = RunState.FINISHED, ""
        except ReplayError as exc:
            note = str(exc)
            raise
        finally:
            leaving = self._db(store.leave, self.pk, self._me, state, note, _now())
            await asyncio.shield(leaving)

    # Sending

    async def _send_all(self) -> None:
        self._done, of = await self._db(replay_results.progress, self._run)
        self._tell(Progress(self._done, of, "sending"))
        await self._at_once(lambda: self._send_some(of))

    async def _at_once(self, some: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Work concurrently; what one is refused ends the others only after what they are at."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._until_refused(some))
        self._go_on()

    async def _until_refused(self, some: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await some()
        except Refused as exc:
            self._refusal = str(exc)

    @property
    def _ending(self) -> bool:
        return self._stopping or self._refusal != ""

    def _go_on(self) -> None:
        if self._refusal:
            raise ReplayError(self._refusal)
        if self._stopping:
            raise StoppedError("stopped before its end")

    async def _send_some(self, of: int) -> None:
        while not self._ending:
            item = await self._db(store.claim, self._run)
            if item is None:
                break
            await self._send(item)
            self._done += 1
            self._tell(Progress(self._done, of, "sending"))

    async def _send(self, item: Item) -> None:
        body = replay_body(item.request, self._run.target_model)
        if body is None:
            what = "cannot be replayed" if item.request else "is no longer stored"
            sent: Sent | None = Sent(0, "", error=f"the prompt {what}")
        else:
            sent = await self._ask(item, item.endpoint, body, item.session, APP)
        if sent is not None:
            await self._db(store.record, item.id, item.request_id, sent, _now())

    async def _ask(self, item: Item, *arguments: Any) -> Sent | None:
        """
        Raises:
            Refused: the prompt was not sent, and is put back.
        """
        try:
            return await self._client.ask(item, *arguments)
        except Refused:
            await self._db(store.unclaim, item.id)
            raise

    # What the ledger knows

    async def _settle(self) -> int:
        """Find out what became of claimed prompts; how many of them were never sent.

        Raises:
            ReplayError: the ledger is behind, so nobody can say.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        quiet = 0
        while await self._db(store.settle, self._run, _now()):
            if quiet >= QUIET_LOOKS:
                return await self._db(store.release_unsent, self._run)
            if time.monotonic() > deadline:
                raise ReplayError(
                    "rows wait for the ledger's database, so it cannot be said which prompts "
                    "were sent: resume later"
                )
            quiet = quiet + 1 if await self._client.ledger_is_complete() else 0
            await asyncio.sleep(LOOK_EVERY)
        return 0

    async def _reconcile(self) -> None:
        """The figures of the ledger's rows, once they are there; a TokenWatch with another
        database leaves what its answers' headers said."""
        quiet = 0
        while await self._db(store.reconcile, self._run) and quiet < QUIET_LOOKS:
            quiet = quiet + 1 if await self._client.ledger_is_complete() else 0
            await asyncio.sleep(LOOK_EVERY)

    # Afterwards

    async def _compare(self) -> None:
        if self._embed is None:
            return
        pks = await self._db(replay_results.to_embed, self._run)
        for start in range(0, len(pks), EMBEDDED):
            self._go_on()
            self._tell(Progress(start, len(pks), "comparing"))
            found = await self._db(replay_results.pairs, self._run, pks[start : start + EMBEDDED])
            texts = [(_said(pair.original), _said(pair.answer)) for pair in found]
            both = [(pair, said) for pair, said in zip(found, texts, strict=True) if all(said)]
            if not both:
                continue
            flat = [text for _, said in both for text in said]
            vectors = await asyncio.to_thread(self._embed, flat)
            for number, (pair, _) in enumerate(both):
                similarity = cosine(vectors[2 * number], vectors[2 * number + 1])
                await self._db(_note, pair.id, {"similarity": similarity})

    async def _judge(self) -> None:
        if not self._run.judge_model:
            return
        pks = await self._db(replay_results.to_judge, self._run)
        waiting = list(reversed(pks))
        self._tell(Progress(0, len(pks), "judging"))

        async def some() -> None:
            while waiting and not self._ending:
                found = await self._db(replay_results.pairs, self._run, [waiting.pop()])
                if found:
                    await self._ask_judge(found[0])
                self._tell(Progress(len(pks) - len(waiting), len(pks), "judging"))

        await self._at_once(some)

    async def _ask_judge(self, pair: Pair) -> None:
        model, item = self._run.judge_model, pair.item
        api_type = native_dialect(model) or item.api_type
        swapped = pair.id % 2 == 1
        text = question(
            parsed(item.request), parsed(pair.original), parsed(pair.answer), swapped=swapped
        )
        judged = Item(item.id, item.request_id, item.session, api_type)
        sent = await self._client.ask(
            judged,
            judge_path(api_type, item),
            judge_body(api_type, model, text),
            f"replay-{self._run.key}-judge-{pair.id}",
            f"{APP}-judge",
        )
        found = read_verdict(parsed(sent.body), swapped=swapped) if sent is not None else None
        if found is not None:
            values = {
                "verdict": found.verdict,
                "judge_score": found.score,
                "judge_reason": found.reason,
            }
            await self._db(_note, pair.id, values)

    # Housekeeping

    async def _beat(self, worker: asyncio.Task[Any] | None) -> None:
        """Signs of life; a run that another process has taken over is given up at once."""
        while True:
            if not await self._db(store.alive, self.pk, self._me, _now()):
                break
            await asyncio.sleep(HEARTBEAT)
        if worker is not None:
            worker.cancel()

    async def _db(self, function: Callable[..., T], *arguments: Any) -> T:
        def call() -> T:
            close_old_connections()
            return function(*arguments)

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._thread.submit(_close_connection)
        self._thread.shutdown(wait=True)


def _close_connection() -> None:
    connection.close()


def _note(pk: int, values: dict[str, Any]) -> None:
    replay_results.note(pk, **values)


def _now() -> datetime:
    return datetime.now(UTC)


def _said(body: str) -> str:
    return answer_text(parsed(body))
