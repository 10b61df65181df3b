"""Removing what is too old, in small steps that others hardly notice.

Each kind of thing is a `Part`: the ledger's rows (`TOKENWATCH_LEDGER_RETENTION_DAYS`), rollups
by minute, and what other domains `register`. A step is one short transaction of at most
`LARGEST` rows; its size follows the time that the last one took, and after each step the
database is left to others for `REST` times as long. What other domains must do in the
transaction that removes rows (budgets keep what the rows had counted) stands in `alongside`.

Statistics read rollups by the hour, which stay. What is read from the rows themselves ends
with them: the list of requests, costs by session, what a budget counts that is made, or given
another scope or period, afterwards.

How it fails: the database's errors are passed on; a step is done wholly or not at all, so
beginning again is always right. Two that prune at once disturb each other, no more: a step
that finds a row of its own gone is undone (`RacedError`).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Min, QuerySet

from tokenwatch.conf import config
from tokenwatch.jobs import Turn
from usage.models import UsageRecord, UsageRollup, UsageTiming
from usage.rollups import HOUR, MINUTE
from usage.rows import UsageRow

JOB = "retention"
EVERY = timedelta(days=1)
MINUTES_KEPT = timedelta(days=8)
"""A week, and a day to look back from (see ``usage.stats``)."""

SMALLEST, FIRST, LARGEST = 100, 200, 500
"""Rows a step. Fewer would not keep up with a busy proxy: much of a step is the same for any."""
AIM = 0.025
"""Seconds that a step should take."""
REST = 3.0
"""After a step, so many times its own time for others."""
SHORTEST_REST = 0.005
WHOLE_HOUR = 2000
"""Rollups by minute of one hour that go in one transaction."""

alongside: list[Callable[[Sequence[UsageRow]], None]] = []
"""Called with the rows that are about to be removed, in the transaction that removes them."""

_COUNTED = (
    "request_id",
    "created_at",
    "model_requested",
    "source_app",
    "feature_tag",
    "session_id",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "cost",
)


class RacedError(Exception):
    """Another process removes the same rows; nothing was removed by this step."""


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of thing that grows old."""

    name: str
    """In the plural, e.g. ``requests``."""
    kept: Callable[[], str]
    """For how long, in words."""
    count: Callable[[datetime], int]
    """How many are too old at a moment."""
    step: Callable[[datetime, int], int]
    """Remove up to so many of them in one transaction; 0 when none is left."""


_parts: dict[str, Part] = {}


def register(part: Part) -> None:
    """Have a kind of thing pruned; call it in ``AppConfig.ready``."""
    _parts[part.name] = part


def parts() -> list[Part]:
    return list(_parts.values())


def job(turn: Turn) -> str:
    """The daily round; what it removed, in words."""
    removed = prune(turn.now, pause=turn.pause)
    found = [f"{count:,} {name}" for name, count in removed.items() if count]
    done = f"removed {', '.join(found)}" if found else "nothing is too old"
    return f"{done}; stopped before the end" if turn.stopped else done


def prune(now: datetime, *, pause: Callable[[float], bool]) -> Mapping[str, int]:
    """Remove all that is too old at ``now``; how many of each part.

    ``pause`` waits so many seconds and says whether to go on.
    """
    removed = {part.name: 0 for part in parts()}
    for part in parts():
        size = FIRST
        while True:
            began = time.perf_counter()
            count = part.step(now, size)
            took = time.perf_counter() - began
            removed[part.name] += count
            if not pause(max(took * REST, SHORTEST_REST)):
                return removed
            if not count:
                break
            size = fitted(size, took)
    return removed


def fitted(size: int, took: float) -> int:
    """The size of the next step: half or twice the last one's, by the time that it took."""
    if took > AIM:
        return max(SMALLEST, size // 2)
    return min(LARGEST, size * 2) if took < AIM / 3 else size


# The ledger's rows


def _cutoff(now: datetime) -> datetime | None:
    """Rows from before this are too old; None where all are kept."""
    days = config.ledger_retention_days
    return now - timedelta(days=days) if days else None


def _count_rows(now: datetime) -> int:
    cutoff = _cutoff(now)
    return UsageRecord.objects.filter(created_at__lt=cutoff).count() if cutoff else 0


def remove_rows(now: datetime, size: int) -> int:
    """Remove the oldest rows; they are read before the transaction, as rows do not change.

    Raises:
        RacedError: some of them are gone already.
    """
    cutoff = _cutoff(now)
    if cutoff is None:
        return 0
    oldest = UsageRecord.objects.filter(created_at__lt=cutoff).order_by("created_at")
    found = list(oldest.values("pk", *_COUNTED)[:size])
    if not found:
        return 0
    rows = [_row(values) for values in found]
    with transaction.atomic():
        for call in alongside:
            call(rows)
        removed = UsageRecord.objects.filter(pk__in=[values["pk"] for values in found]).delete()[0]
        if removed != len(found):
            raise RacedError(f"{len(found) - removed} rows are gone already")
    return removed


def _row(values: Mapping[str, object]) -> UsageRow:
    """As much of a row as budgets count by; Oracle has None for an empty text."""
    known = {name: "" if values[name] is None else values[name] for name in _COUNTED}
    created_at, cost = values["created_at"], values["cost"]
    assert isinstance(created_at, datetime)
    known["created_at"] = created_at.timestamp()
    known["cost"] = None if cost is None else f"{cost:.10f}"
    return UsageRow(api_type="", method="", endpoint="", **known)  # type: ignore[arg-type]


# Rollups by minute


def _old_minutes(now: datetime) -> QuerySet[UsageRollup]:
    return UsageRollup.objects.filter(
        bucket_seconds=MINUTE, bucket_start__lt=_hour(now - MINUTES_KEPT)
    )


def _hour(moment: datetime) -> datetime:
    return datetime.fromtimestamp(int(moment.timestamp()) // HOUR * HOUR, UTC)


def remove_minutes(now: datetime, size: int) -> int:
    """Remove the oldest hour's rollups by minute: statistics take an hour for there or not.
    The latencies' of that hour go with them.

    All at once unless they are very many; then an edge of a period that lies in this one hour
    reads too little until the steps are through.
    """
    old = _old_minutes(now)
    oldest = old.aggregate(oldest=Min("bucket_start"))["oldest"]
    if oldest is None:
        return 0
    end = _hour(oldest) + timedelta(hours=1)
    hour = old.filter(bucket_start__lt=end).order_by("bucket_start")
    keys = list(hour.values_list("pk", flat=True)[: WHOLE_HOUR + 1])
    if len(keys) <= WHOLE_HOUR:
        with transaction.atomic():
            UsageTiming.objects.filter(bucket_seconds=MINUTE, bucket_start__lt=end).delete()
            return old.filter(bucket_start__lt=end).delete()[0]
    return UsageRollup.objects.filter(pk__in=keys[:size]).delete()[0]


def _days_kept() -> str:
    days = config.ledger_retention_days
    return f"{days} days" if days else "for ever"


register(Part("requests", _days_kept, _count_rows, remove_rows))
register(
    Part(
        "sums by minute",
        lambda: f"{MINUTES_KEPT.days} days",
        lambda now: _old_minutes(now).count(),
        remove_minutes,
    )
)
