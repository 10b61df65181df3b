"""Percentiles from counts: near the truth, and the same however rows are batched."""

import random
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.usage.samples import NOON, usage_row
from usage.rollups import DAY, HOUR, MINUTE
from usage.timings import BOUNDS, STEPS, percentile, timing_deltas


def counts(values, kind="latency"):
    rows = [
        usage_row(latency_ms=v) if kind == "latency" else usage_row(overhead_ms=v) for v in values
    ]
    (found,) = [
        delta.counts
        for delta in timing_deltas(rows)
        if delta.bucket.kind == kind and delta.bucket.seconds == HOUR
    ]
    return found


@pytest.mark.parametrize("part", [0.5, 0.95])
def test_a_percentile_of_many_requests_is_within_a_few_per_cent(part):
    draw = random.Random(3)
    values = [int(draw.lognormvariate(6.5, 0.8)) for _ in range(5_000)]
    true = quantiles(values, n=100)[round(part * 100) - 1]
    assert percentile("latency", counts(values), part) == pytest.approx(true, rel=0.05)


@given(st.lists(st.integers(2, 200_000), min_size=1, max_size=40), st.floats(0.01, 1))
def test_a_percentile_is_never_more_than_a_step_off(values, part):
    ordered = sorted(values)
    wanted = part * len(ordered)
    true = next(v for n, v in enumerate(ordered, 1) if n >= wanted - 1e-9)
    found = percentile("latency", counts(values), part)
    assert found is not None
    assert true / 2**0.5 * 0.999 <= found <= true * 2**0.5 * 1.001


def test_without_requests_there_is_no_percentile():
    assert percentile("latency", [0] * STEPS, 0.5) is None


def test_the_fastest_and_the_slowest_are_counted():
    found = counts([0, 10**12])
    assert (found[0], found[-1], sum(found)) == (1, 1, 2)
    slowest = percentile("latency", found, 1)
    assert slowest is not None
    assert slowest >= BOUNDS["latency"][-1]


def test_overhead_is_counted_only_where_it_was_measured():
    deltas = timing_deltas([usage_row(), usage_row(overhead_ms=0.4)])
    assert [sum(d.counts) for d in deltas if d.bucket.kind == "overhead"] == [1, 1, 1]


def test_counts_are_by_minute_and_hour_model_and_app():
    rows = [
        usage_row(created_at=NOON, model_used="a"),
        usage_row(created_at=NOON + 59, model_used="a"),
        usage_row(created_at=NOON + 60, model_used="a"),
        usage_row(created_at=NOON, model_used="", model_requested="b", source_app="x"),
    ]
    found = {
        (d.bucket.seconds, d.bucket.start - NOON, d.bucket.model, d.bucket.source_app): sum(
            d.counts
        )
        for d in timing_deltas(rows)
        if d.bucket.kind == "latency"
    }
    assert found == {
        (MINUTE, 0, "a", "crm"): 2,
        (MINUTE, 60, "a", "crm"): 1,
        (MINUTE, 0, "b", "x"): 1,
        (HOUR, 0, "a", "crm"): 3,
        (HOUR, 0, "b", "x"): 1,
        (DAY, -12 * HOUR, "a", "crm"): 3,
        (DAY, -12 * HOUR, "b", "x"): 1,
    }
    total = [d for d in timing_deltas(rows) if d.bucket.kind == "total"]
    assert [sum(d.counts) for d in total if d.bucket.seconds == DAY] == [4]
