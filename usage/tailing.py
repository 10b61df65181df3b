"""The ledger's newest rows, once and as they come: what ``tail`` prints.

How it fails: the database's errors are passed on.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from usage.models import UsageRecord

JSON_FIELDS = (
    "request_id",
    "created_at",
    "api_type",
    "endpoint",
    "model_requested",
    "model_used",
    "upstream",
    "status_code",
    "error_type",
    "stream",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "usage_estimated",
    "cost",
    "latency_ms",
    "ttft_ms",
    "source_app",
    "session_id",
    "feature_tag",
    "cache_tier",
    "attempts",
)
LOOKBACK = 2_000
"""How many ids below the highest may still appear: workers take ids before they commit."""
CHUNK = 500


def newest(count: int) -> list[UsageRecord]:
    """The last ``count`` requests by arrival, newest first."""
    return list(UsageRecord.objects.order_by("-created_at", "-id")[:count])


def highest_id() -> int:
    """The id of the row that was stored last; 0 where there is none."""
    return UsageRecord.objects.order_by("-id").values_list("id", flat=True).first() or 0


def as_json(record: UsageRecord) -> dict[str, Any]:
    """A row with `JSON_FIELDS`, as plain JSON values."""
    return {name: _plain(getattr(record, name)) for name in JSON_FIELDS}


class Follower:
    """Finds the rows that were stored since it was made, or since it last looked.

    Ids are taken before their transactions commit, so a lower one can become visible after a
    higher one: each look covers the last `LOOKBACK` ids and leaves out those seen before.
    """

    def __init__(self) -> None:
        self._highest = 0
        self._seen: set[int] = set()
        self._note(self._ids_above(highest_id() - LOOKBACK))

    def look(self) -> list[UsageRecord]:
        """The new rows, in the order in which they were stored."""
        fresh = sorted(set(self._ids_above(self._highest - LOOKBACK)) - self._seen)
        found: list[UsageRecord] = []
        for start in range(0, len(fresh), CHUNK):
            chunk = fresh[start : start + CHUNK]
            found += UsageRecord.objects.filter(id__in=chunk).order_by("id")
        self._note(fresh)
        return found

    def glance(self, most: int, columns: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
        """Some columns of the last ``most`` new rows, and how many new ones there are in all."""
        fresh = sorted(set(self._ids_above(self._highest - LOOKBACK)) - self._seen)
        self._note(fresh)
        rows = UsageRecord.objects.filter(id__in=fresh[-most:]).order_by("id")
        return list(rows.values(*columns)) if fresh else [], len(fresh)

    def _ids_above(self, low: int) -> list[int]:
        ids = UsageRecord.objects.filter(id__gt=low).order_by()
        return list(ids.values_list("id", flat=True))

    def _note(self, ids: Iterable[int]) -> None:
        self._seen.update(ids)
        self._highest = max(self._seen, default=self._highest)
        self._seen = {i for i in self._seen if i > self._highest - LOOKBACK}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None)
        return f"{moment.isoformat(timespec='microseconds')}Z"
    if isinstance(value, Decimal):
        return f"{value:.10f}"
    return value
