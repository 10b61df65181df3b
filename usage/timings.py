"""How long requests took, as counts on a logarithmic scale: what a batch of rows adds.

Percentiles cannot be added up, counts can. The scale has two steps to a doubling, so a
percentile read from it is at most a step (a factor of 1.41) from the true one and, as values
spread within a step, mostly within a few per cent. Pure: rows in, one `TimingDelta` for each
rollup out; ``usage.writer`` adds them up in the transaction that inserts the rows.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from usage.rollups import DAY, HOUR, MINUTE
from usage.rows import UsageRow

Kind = Literal["latency", "total", "overhead"]
"""Latency by model and app; latency of all requests together, which is what most pages show and
so is kept apart; what TokenWatch itself added, of all requests."""
STEPS = 36
SLOTS = tuple(f"slot_{number:02}" for number in range(STEPS))
"""The columns: requests below the first bound, between two bounds, and from the last one on."""
_LATENCY = tuple(2 * 2 ** (number / 2) for number in range(STEPS - 1))
BOUNDS: dict[Kind, tuple[float, ...]] = {
    "latency": _LATENCY,
    "total": _LATENCY,
    "overhead": tuple(0.02 * 2 ** (number / 2) for number in range(STEPS - 1)),
}
"""Milliseconds: 2 ms to 4 minutes, and 20 µs to 2.6 s."""


@dataclass(frozen=True, slots=True)
class TimingBucket:
    """What the requests of one rollup have in common."""

    kind: Kind
    seconds: int
    """`DAY`, `HOUR` or `MINUTE`."""
    start: int
    """Seconds since the epoch (UTC), a multiple of ``seconds``."""
    model: str
    source_app: str

    def key(self) -> str:
        """The primary key: 32 hex digits. NUL cannot occur in the texts (see `usage.lines`)."""
        text = "\0".join(
            (self.kind, str(self.seconds), str(self.start), self.model, self.source_app)
        )
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class TimingDelta:
    """What a batch adds to one rollup."""

    bucket: TimingBucket
    counts: list[int] = field(default_factory=lambda: [0] * STEPS)


def timing_deltas(rows: Iterable[UsageRow]) -> list[TimingDelta]:
    """Count rows by minute, hour and day (UTC)."""
    found: dict[tuple[Kind, int, str, str], list[int]] = {}
    overhead = BOUNDS["overhead"]
    for row in rows:
        start = int(row.created_at) // MINUTE * MINUTE
        model, slot = row.model_used or row.model_requested, bisect_right(_LATENCY, row.latency_ms)
        _count(found, ("latency", start, model, row.source_app), slot)
        _count(found, ("total", start, "", ""), slot)
        if row.overhead_ms is not None:
            _count(found, ("overhead", start, "", ""), bisect_right(overhead, row.overhead_ms))
    minutes = {
        TimingBucket(kind, MINUTE, start, model, app): counts
        for (kind, start, model, app), counts in found.items()
    }
    hours = _longer(minutes, HOUR)
    buckets = {**minutes, **hours, **_longer(hours, DAY)}
    return [TimingDelta(bucket, counts) for bucket, counts in buckets.items()]


def _longer(short: dict[TimingBucket, list[int]], seconds: int) -> dict[TimingBucket, list[int]]:
    found: dict[TimingBucket, list[int]] = {}
    for one, counts in short.items():
        start = one.start // seconds * seconds
        bucket = TimingBucket(one.kind, seconds, start, one.model, one.source_app)
        sums = found.setdefault(bucket, [0] * STEPS)
        for slot, count in enumerate(counts):
            if count:
                sums[slot] += count
    return found


def percentile(kind: Kind, counts: Sequence[int], part: float) -> float | None:
    """The milliseconds that ``part`` (0 to 1) of the requests did not exceed; None without any.

    Within a step values are taken to lie evenly on the logarithmic scale.
    """
    wanted = part * sum(counts)
    if not wanted:
        return None
    bounds = BOUNDS[kind]
    below = 0
    for slot, count in enumerate(counts):
        if count and below + count >= wanted:
            low = bounds[slot - 1] if slot else bounds[0] / 2**0.5
            return low * 2 ** (0.5 * (wanted - below) / count)
        below += count
    return bounds[-1]


def _count(
    counts: dict[tuple[Kind, int, str, str], list[int]], key: tuple[Kind, int, str, str], slot: int
) -> None:
    found = counts.get(key)
    if found is None:
        found = counts[key] = [0] * STEPS
    found[slot] += 1
