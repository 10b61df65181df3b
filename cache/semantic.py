"""The semantic tier: an answer for a prompt that says the same in other words.

`SemanticTier.lookup` embeds the text, takes the nearest prompts of its partition within the
threshold, and serves one only if the guards find nothing in which the two may differ. The
partition is a hash of everything else that can change the answer, made by the caller: caller,
model, system prompt, earlier messages, tools, parameters.

How it fails: as a miss. No embedder, a text of more tokens than the model reads, a full queue,
the deadline, the database and the model itself each have a `NotFound` reason of their own, are
counted in `counts`, and what is an operator's matter is logged, at most once a minute each.
Nothing here raises to the request or blocks the event loop.
"""

import asyncio
import logging
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, close_old_connections, connection

from cache import semantic_sql
from cache.embedders import Embedder, EmbedderMissing, EmbeddingError, Vector, make
from cache.embedding_thread import EmbeddingThread
from cache.guards import STRICT, judge
from cache.index import REPORTED_WITHIN, VectorIndex
from cache.outcomes import Candidate, Found, NotFound
from cache.search import MemorySearch, OracleSearch, Search
from cache.semantic_sql import NewVector
from tokenwatch.conf import Config

CANDIDATES = 5
"""Nearest entries that the guards look at: a look-alike may be nearer than the paraphrase."""
REMEMBERED = 256
"""Vectors of texts looked up, kept for when their answers are added."""
LOG_EVERY = 60.0
MEGABYTE = 1024 * 1024

logger = logging.getLogger("tokenwatch.cache")

__all__ = ["Candidate", "Found", "NotFound", "SemanticTier", "Settings"]


@dataclass(frozen=True, slots=True)
class _LookUp:
    partition: str
    text: str
    deadline: float
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Found | NotFound]"

    def resolve(self, result: Found | NotFound) -> None:
        """Hand the result to the loop that waits, from the thread."""
        with suppress(RuntimeError):  # the loop was closed: nobody waits
            self.loop.call_soon_threadsafe(self._set, result)

    def _set(self, result: Found | NotFound) -> None:
        if not self.answer.done():
            self.answer.set_result(result)


@dataclass(frozen=True, slots=True)
class _Add:
    partition: str
    entry_id: str
    text: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Forget:
    entry_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Load:
    """Load the embedder before the first look-up asks for it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``threshold`` is a cosine distance; ``memory_mb`` bounds the vectors kept in memory."""

    embedder: str = "onnx"
    oracle_model: str = ""
    threshold: float = 0.05
    guards: str = STRICT
    memory_mb: int = 256

    @classmethod
    def of(cls, config: Config) -> "Settings":
        return cls(
            embedder=config.embedder,
            oracle_model=config.oracle_embedding_model,
            threshold=config.cache_similarity_threshold,
            guards=config.cache_guards,
            memory_mb=config.cache_memory_mb,
        )


class SemanticTier:
    """One worker's semantic tier. It costs nothing until it is used."""

    def __init__(
        self, settings: Settings, *, make_embedder: Callable[[], Embedder] | None = None
    ) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        """Look-ups by outcome (``found`` or a `NotFound` reason), ``added``, ``not added``."""
        self._make = make_embedder or (
            lambda: make(settings.embedder, oracle_model=settings.oracle_model)
        )
        self._thread: EmbeddingThread[_LookUp, _Add | _Forget | _Load] = EmbeddingThread(
            self._serve, self._work
        )
        self._pid = os.getpid()
        self._begin()

    def _begin(self) -> None:
        """What belongs to the embedding thread of one process."""
        self._embedder: Embedder | None = None
        self._missing = ""
        self._search: Search | None = None
        self._vectors: OrderedDict[str, Vector] = OrderedDict()
        self._logged: dict[str, float] = {}

    # --- On the event loop ---------------------------------------------------------------

    async def lookup(self, partition: str, text: str, deadline: float) -> Found | NotFound:
        """Find an entry whose answer may be served, by ``deadline`` (`time.monotonic`)."""
        loop = asyncio.get_running_loop()
        job = _LookUp(partition, text, deadline, loop, loop.create_future())
        if not self._thread.submit(job):
            result: Found | NotFound = NotFound("busy")
        else:
            try:
                async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                    result = await job.answer
            except TimeoutError:
                result = NotFound("timeout")
        self.counts["found" if isinstance(result, Found) else result.reason] += 1
        return result

    def add(self, partition: str, entry_id: str, text: str, expires_at: datetime) -> bool:
        """Have an entry's text stored for later look-ups; False where too much is queued."""
        taken = self._thread.submit_later(_Add(partition, entry_id, text, expires_at))
        if not taken:
            self.counts["not added"] += 1
        return taken

    def forget(self, entry_ids: Sequence[str]) -> bool:
        """Have the vectors of entries deleted; False where too much is queued."""
        return self._thread.submit_later(_Forget(tuple(entry_ids)))

    def start(self) -> None:
        """Load the embedder now, so that the first look-ups need not wait for it."""
        self._thread.submit_later(_Load())

    def flush(self, timeout: float) -> bool:
        """Wait until all that was queued is done; False on a time-out (seconds)."""
        return self._thread.flush(timeout)

    def stop(self, timeout: float = 5.0) -> None:
        self._thread.stop(timeout)

    # --- In the embedding thread ---------------------------------------------------------

    def _serve(self, batch: list[_LookUp]) -> None:
        results: list[Found | NotFound] = [NotFound("error")] * len(batch)
        try:
            results = self._answers(batch)
        finally:
            for job, result in zip(batch, results, strict=True):
                job.resolve(result)

    def _answers(self, batch: list[_LookUp]) -> list[Found | NotFound]:
        results: list[Found | NotFound] = [NotFound("timeout")] * len(batch)
        now = time.monotonic()
        waiting = [
            at for at, job in enumerate(batch) if now < job.deadline and not job.answer.done()
        ]
        if not waiting:
            return results
        try:
            embedder = self._ready()
            vectors = self._embedded(embedder, [batch[at].text for at in waiting])
        except (EmbedderMissing, EmbeddingError) as exc:
            reason = "no embedder" if isinstance(exc, EmbedderMissing) else "embedder"
            self._log(reason, str(exc))
            for at in waiting:
                results[at] = NotFound(reason)
            return results
        close_old_connections()
        for at, vector in zip(waiting, vectors, strict=True):
            if vector is None:
                results[at] = NotFound("too long")
            else:
                results[at] = self._searched(batch[at], embedder, vector)
        close_old_connections()
        return results

    def _searched(self, job: _LookUp, embedder: Embedder, vector: Vector) -> Found | NotFound:
        search = self._searching(embedder)
        within = max(self.settings.threshold, REPORTED_WITHIN)
        try:
            near = search.nearest(job.partition, vector, CANDIDATES, within, time.time())
        except DatabaseError as exc:
            self._log("database", f"the vectors cannot be read: {exc}")
            return NotFound("database")
        nearest: Candidate | None = None
        for one in near:
            verdict = judge(job.text, one.prompt, self.settings.guards)
            if verdict.serve and one.distance <= self.settings.threshold:
                return Found(one.entry_id, one.distance, one.prompt, verdict)
            nearest = nearest or Candidate(one.entry_id, one.distance, one.prompt, verdict)
        if nearest is None:
            return NotFound("none")
        refused = nearest.distance <= self.settings.threshold
        return NotFound("guards" if refused else "distance", nearest)

    def _work(self, batch: list[_Add | _Forget | _Load]) -> None:
        adds: list[_Add] = []
        for job in batch:
            if isinstance(job, _Add):
                adds.append(job)
                continue
            self._store(adds)  # in the order in which they came
            adds = []
            if isinstance(job, _Forget):
                self._delete(job.entry_ids)
            else:
                with suppress(EmbedderMissing):
                    self._ready()
        self._store(adds)

    def _store(self, adds: list[_Add]) -> None:
        if not adds:
            return
        try:
            embedder = self._ready()
            vectors = self._embedded(embedder, [job.text for job in adds])
            rows = {
                job.entry_id: NewVector(
                    job.partition, embedder.id, job.entry_id, job.expires_at, job.text, vector
                )
                for job, vector in zip(adds, vectors, strict=True)
                if vector is not None
            }
            close_old_connections()
            semantic_sql.insert(list(rows.values()))
            self._searching(embedder).added(list(rows.values()))
            self.counts["added"] += len(rows)
        except (EmbedderMissing, EmbeddingError, DatabaseError, ValueError) as exc:
            self.counts["not added"] += len(adds)
            self._log("add", f"{len(adds)} prompts were not added: {exc}")
        finally:
            close_old_connections()

    def _delete(self, entry_ids: tuple[str, ...]) -> None:
        if self._search is not None:
            self._search.removed(entry_ids)
        close_old_connections()
        try:
            semantic_sql.delete(entry_ids)
        except DatabaseError as exc:
            self._log("forget", f"{len(entry_ids)} vectors were not deleted: {exc}")
        finally:
            close_old_connections()

    def _ready(self) -> Embedder:
        """The embedder of this process; what is missing is looked for once only."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._begin()
        if self._missing:
            raise EmbedderMissing(self._missing)
        if self._embedder is None:
            try:
                self._embedder = self._make()
            except EmbedderMissing as exc:
                self._missing = str(exc)
                logger.warning("Semantic caching is off: %s", exc)
                raise
        return self._embedder

    def _searching(self, embedder: Embedder) -> Search:
        if self._search is None:
            if connection.vendor == "oracle":
                self._search = OracleSearch(embedder.id)
            else:
                index = VectorIndex(embedder.dimensions, self.settings.memory_mb * MEGABYTE)
                self._search = MemorySearch(embedder.id, index)
        return self._search

    def _embedded(self, embedder: Embedder, texts: list[str]) -> list[Vector | None]:
        """A vector for each text; None for those that the model would cut."""
        known = {text: self._vectors[text] for text in texts if text in self._vectors}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        fitting = [text for text in new if embedder.count_tokens(text) <= embedder.max_tokens]
        if fitting:
            for text, vector in zip(fitting, embedder.embed(fitting), strict=True):
                known[text] = self._vectors[text] = vector
        while len(self._vectors) > REMEMBERED:
            self._vectors.popitem(last=False)
        return [known.get(text) for text in texts]

    def _log(self, what: str, message: str) -> None:
        now = time.monotonic()
        if now - self._logged.get(what, -LOG_EVERY) >= LOG_EVERY and what != "no embedder":
            self._logged[what] = now
            logger.warning("Semantic cache: %s", message)
