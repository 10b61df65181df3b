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

from usage.rollups import HOUR, MINUTE
from usage.rows import UsageRow

Kind = Literal["latency", "overhead"]
STEPS = 36
SLOTS = tuple(f"slot_{number:02}" for number in range(STEPS))
"""The columns: requests below the first bound, between two bounds, and from the last one on."""
BOUNDS: dict[Kind, tuple[float, ...]] = {
    "latency": tuple(2 * 2 ** (number / 2) for number in range(STEPS - 1)),
    "overhead": tuple(0.02 * 2 ** (number / 2) for number in range(STEPS - 1)),
}
"""Milliseconds: 2 ms to 4 minutes, and 20 µs to 2.6 s."""


@dataclass(frozen=True, slots=True)
class TimingBucket:
    """What the requests of one rollup have in common."""

    kind: Kind
    seconds: int
    """`HOUR` or `MINUTE`."""
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
    """Count rows by minute and by hour: latency by model and app, overhead over all requests."""
    minutes: dict[TimingBucket, list[int]] = {}
    latency, overhead = BOUNDS["latency"], BOUNDS["overhead"]
    for row in rows:
        start = int(row.created_at) // MINUTE * MINUTE
        model = row.model_used or row.model_requested
        bucket = TimingBucket("latency", MINUTE, start, model, row.source_app)
        _count(minutes, bucket, bisect_right(latency, row.latency_ms))
        if row.overhead_ms is not None:
            bucket = TimingBucket("overhead", MINUTE, start, "", "")
            _count(minutes, bucket, bisect_right(overhead, row.overhead_ms))
    hours: dict[TimingBucket, list[int]] = {}
    for one, counts in minutes.items():
        start = one.start // HOUR * HOUR
        hour = TimingBucket(one.kind, HOUR, start, one.model, one.source_app)
        sums = hours.setdefault(hour, [0] * STEPS)
        for slot, count in enumerate(counts):
            sums[slot] += count
    return [TimingDelta(bucket, counts) for bucket, counts in {**minutes, **hours}.items()]


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


def _count(counts: dict[TimingBucket, list[int]], bucket: TimingBucket, slot: int) -> None:
    found = counts.get(bucket)
    if found is None:
        found = counts[bucket] = [0] * STEPS
    found[slot] += 1
