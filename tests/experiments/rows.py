"""Rows of an A/B test in the ledger."""

from datetime import UTC, datetime

import numpy as np

from tests.usage.samples import NOON, usage_row
from usage import writer

STARTED = datetime.fromtimestamp(NOON - 3600, UTC)


def store(*rows):
    for start in range(0, len(rows), writer.BATCH):
        writer.insert(rows[start : start + writer.BATCH], check=False)
    return [row.request_id for row in rows]


def row(variant="A", test="t", **values):
    return usage_row(ab_test=test, ab_variant=variant, **values)


def sessions(count, variant, test="t", latency=500.0, seed=1, **values):
    """Sessions of two requests each, of log-normal latency."""
    rng = np.random.default_rng(seed + (variant == "B"))
    return [
        row(
            variant,
            test,
            session_id=f"{variant}{number // 2}",
            latency_ms=int(latency * rng.lognormal(0, 0.3)),
            created_at=NOON + number,
            **values,
        )
        for number in range(2 * count)
    ]
