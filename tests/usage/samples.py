"""Rows for the ledger's tests, and what must be true of a ledger that holds them."""

import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from usage.models import UsageRecord, UsageRollup
from usage.rollups import COUNTERS, DAY, HOUR, MINUTE, Sums
from usage.rows import UsageRow

NOON = 1_795_435_200.0  # 2026-11-23 12:00:00 UTC


def usage_row(**values: Any) -> UsageRow:
    """A priced, successful chat completion, but for ``values``."""
    defaults: dict[str, Any] = {
        "request_id": uuid.uuid4().hex,
        "created_at": NOON + 90,
        "api_type": "openai",
        "method": "POST",
        "endpoint": "v1/chat/completions",
        "model_requested": "gpt-4o-mini",
        "model_used": "gpt-4o-mini-2024-07-18",
        "upstream": "openai",
        "status_code": 200,
        "input_tokens": 100,
        "output_tokens": 20,
        "cost": "0.0000270000",
        "latency_ms": 350,
        "source_app": "crm",
        "attempts": 1,
    }
    return UsageRow(**{**defaults, **values})


def stored_ids() -> list[str]:
    return sorted(UsageRecord.objects.values_list("request_id", flat=True))


def rollup_sums(seconds: int) -> dict[str, Any]:
    found = UsageRollup.objects.filter(bucket_seconds=seconds).aggregate(
        **{f"sum_{name}": Sum(name) for name in COUNTERS}
    )
    return {name: _exact(found[f"sum_{name}"] or 0) for name in COUNTERS}


def sums_of(rows: Iterable[UsageRow]) -> dict[str, Any]:
    sums = Sums()
    for row in rows:
        sums.count(row)
    return {name: _exact(getattr(sums, name)) for name in COUNTERS}


def stored_sums() -> dict[str, Any]:
    """The same sums over the rows in the table."""
    fields = [name for name in UsageRow.__struct_fields__ if name not in {"created_at", "holds"}]
    rows = (
        UsageRow(created_at=0, **{name: getattr(record, name) for name in fields})
        for record in UsageRecord.objects.all()
    )
    return sums_of(rows)


def assert_rollups_agree() -> None:
    """All sizes of rollups say what the rows say."""
    expected = stored_sums()
    assert rollup_sums(DAY) == expected
    assert rollup_sums(HOUR) == expected
    assert rollup_sums(MINUTE) == expected


def _exact(value: Any) -> Any:
    return value.quantize(Decimal("1E-10")) if isinstance(value, Decimal) else value
