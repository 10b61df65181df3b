"""Sums over the requests of a day, an hour or a minute: what a batch of rows adds to each.

Pure: rows in, one `Delta` for each rollup out. ``usage.writer`` adds them up in the
database, in the transaction that inserts the rows.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal

from usage.rows import UsageRow

DAY = 86_400
HOUR = 3600
MINUTE = 60
ZERO = Decimal(0)
REFUSED = "budget_"
"""How the error types of what a budget refused begin."""


@dataclass(slots=True)
class Sums:
    """The counters of a rollup, by the names of its columns."""

    requests: int = 0
    errors: int = 0
    """Requests with a status of 400 or above, or with an error type (a stream that broke)."""
    unpriced: int = 0
    """Requests whose cost is unknown; they add nothing to ``cost``."""
    estimated: int = 0
    cache_hits: int = 0
    refused: int = 0
    """Requests that a budget refused."""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = ZERO
    saved_cost: Decimal = ZERO
    routing_saved: Decimal = ZERO
    latency_ms: int = 0

    def count(self, row: UsageRow) -> None:
        """Add one request."""
        self.requests += 1
        self.errors += row.status_code >= 400 or row.error_type != ""
        self.estimated += row.usage_estimated
        self.cache_hits += row.cache_tier != ""
        self.refused += row.attempts == 0 and row.error_type.startswith(REFUSED)
        self.input_tokens += row.input_tokens
        self.output_tokens += row.output_tokens
        self.cache_read_tokens += row.cache_read_tokens
        self.cache_write_tokens += row.cache_write_tokens
        self.cache_write_1h_tokens += row.cache_write_1h_tokens
        self.reasoning_tokens += row.reasoning_tokens
        self.latency_ms += row.latency_ms
        if row.cost is None:
            self.unpriced += 1
        else:
            self.cost += Decimal(row.cost)
        if row.saved_cost is not None:
            self.saved_cost += Decimal(row.saved_cost)
        if row.routing_saved is not None:
            self.routing_saved += Decimal(row.routing_saved)

    def add(self, other: "Sums") -> None:
        for name in COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


COUNTERS = tuple(field.name for field in fields(Sums))
MONEY_COLUMNS = frozenset({"cost", "saved_cost", "routing_saved"})


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the requests of one rollup have in common."""

    seconds: int
    """`DAY`, `HOUR` or `MINUTE`."""
    start: int
    """Seconds since the epoch (UTC), a multiple of ``seconds``."""
    model: str
    source_app: str
    feature_tag: str

    def key(self) -> str:
        """The primary key: 32 hex digits. NUL cannot occur in the texts (see `usage.lines`)."""
        text = "\0".join(
            (str(self.seconds), str(self.start), self.model, self.source_app, self.feature_tag)
        )
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Delta:
    """What a batch adds to one rollup."""

    key: str
    bucket: Bucket
    sums: Sums


def deltas(rows: Iterable[UsageRow]) -> list[Delta]:
    """Sum rows by minute, hour and day (UTC), by model (used, else requested), app and tag.

    Sorted by key, so that concurrent writers lock rollups in the same order.
    """
    found: dict[tuple[int, str, str, str], Sums] = {}
    for row in rows:
        start = int(row.created_at) // MINUTE * MINUTE
        key = (start, row.model_used or row.model_requested, row.source_app, row.feature_tag)
        sums = found.get(key)
        if sums is None:
            sums = found[key] = Sums()
        sums.count(row)
    minutes = {Bucket(MINUTE, *key): sums for key, sums in found.items()}
    hours = by_hour(minutes)
    buckets = {**minutes, **hours, **by_day(hours)}
    return sorted(
        (Delta(bucket.key(), bucket, sums) for bucket, sums in buckets.items()),
        key=lambda delta: delta.key,
    )


def by_hour(minutes: dict[Bucket, Sums]) -> dict[Bucket, Sums]:
    """The sums of the hours from those of their minutes."""
    return _longer(minutes, HOUR)


def by_day(hours: dict[Bucket, Sums]) -> dict[Bucket, Sums]:
    """The sums of the days (UTC) from those of their hours."""
    return _longer(hours, DAY)


def _longer(short: dict[Bucket, Sums], seconds: int) -> dict[Bucket, Sums]:
    found: dict[Bucket, Sums] = {}
    for one, sums in short.items():
        start = one.start // seconds * seconds
        bucket = Bucket(seconds, start, one.model, one.source_app, one.feature_tag)
        found.setdefault(bucket, Sums()).add(sums)
    return found
