"""A test's report, from the ledger's rows."""

import json
from datetime import UTC, datetime

import pytest
from django.db import connection

from experiments.feedback import record
from experiments.models import ABTest
from experiments.report import as_dict, report
from tests.experiments.rows import row, sessions, store
from tests.usage.samples import NOON
from tokenwatch.commands import _jsonable

pytestmark = pytest.mark.django_db


@pytest.fixture
def test():
    return ABTest.objects.create(name="t", model_a="small", model_b="large")


def figures(found):
    return {one.metric: one for one in found.comparison.rows}


def test_only_requests_that_the_test_decided_alone_are_counted(test):
    store(
        row(latency_ms=100),
        row(latency_ms=300, status_code=503, error_type="overloaded", attempt_log="x:status_503"),
        row(cache_tier="exact", attempts=0, latency_ms=1),
        row(routing_rule="night", latency_ms=1),
        row(attempts=2, attempt_log="one:timeout!", latency_ms=1),
        row(attempts=0, status_code=429, error_type="budget_exceeded", latency_ms=1),
        row("B", latency_ms=200),
        row("B", test="another", latency_ms=1),
        row("", test="", latency_ms=1),
    )
    found = report(test)
    assert (found.comparison.requests_a, found.comparison.requests_b) == (2, 1)
    left_out = found.left_out["A"]
    assert (left_out.cache_hits, left_out.routed) == (1, 1)
    assert (left_out.failed_over, left_out.not_sent) == (1, 1)
    assert found.left_out["B"].total == 0
    rates = figures(found)
    assert (rates["latency_p50"].a, rates["latency_p50"].b) == (100, 200)
    assert rates["error_rate"].a == 0.5


def test_figures_are_those_of_the_rows(test):
    store(
        *[row("A", latency_ms=ms, ttft_ms=ms // 10, stream=True) for ms in (100, 200, 300)],
        row("A", latency_ms=400, cost=None, output_tokens=40),
        row("B", latency_ms=50, cost="0.0000100000"),
        row("B", latency_ms=70, cost="0.0000300000"),
    )
    found = report(test)
    shown = figures(found)
    assert shown["latency_p50"].a == 250
    assert (shown["ttft_p50"].a, shown["ttft_p50"].b) == (20, None)
    assert shown["output_tokens"].a == 25
    assert shown["cost"].a == pytest.approx(0.000027)
    assert shown["cost"].b == pytest.approx(0.00002)
    assert (found.comparison.unpriced_a, found.comparison.unpriced_b) == (1, 0)
    assert found.first == found.last == datetime.fromtimestamp(NOON + 90, UTC)


def test_sessions_are_the_units_and_a_request_without_one_is_its_own(test):
    store(
        *[row("A", session_id="s", latency_ms=n) for n in range(5)],
        *[row("A", session_id="other") for _ in range(2)],
        *[row("A", session_id="") for _ in range(3)],
        row("B", session_id="b"),
    )
    split = report(test).comparison.split
    assert (split.sessions_a, split.sessions_b) == (5, 1)


def test_a_slower_model_loses_and_its_price_is_no_reason(test):
    store(*sessions(150, "A"), *sessions(150, "B", latency=1000))
    found = report(test)
    assert (found.verdict.state, found.verdict.winner) == ("better", "A")
    assert "latency p50" in found.verdict.text
    assert figures(found)["latency_p50"].differs
    assert figures(found)["cost"].same


def test_ratings_and_labels_join_their_requests(test):
    ids = store(*[row("A") for _ in range(4)], *[row("B") for _ in range(3)], row(cache_tier="x"))
    for one, rating in zip(ids, (5, 4, 3, 4, 1, 2, 3, -100), strict=True):
        record(one, rating, ["helpful"] if rating > 3 else ["wrong", "slow"])
    found = report(test)
    rating = figures(found)["rating"]
    assert (rating.a, rating.b) == (4, 2)
    assert rating.low <= -2 <= rating.high
    assert dict(found.labels["A"]) == {"helpful": 3, "wrong": 1, "slow": 1}
    assert dict(found.labels["B"]) == {"wrong": 3, "slow": 3}


def test_of_too_many_rows_the_first_are_read_of_both_variants_alike(test):
    store(*[row("AB"[n % 3 == 0], latency_ms=n, created_at=NOON + n) for n in range(300)])
    found = report(test, limit=120)
    assert (found.comparison.requests_a, found.comparison.requests_b) == (80, 40)
    assert found.read == 120
    assert found.last == datetime.fromtimestamp(NOON + 119, UTC)
    assert "first 120 requests were read, until 2026-11-23 12:01 UTC" in found.notes[0]
    assert report(test, limit=300).notes == []


def test_json_has_every_figure_and_is_json(test):
    store(*sessions(120, "A"), *sessions(120, "B"))
    made = json.loads(json.dumps(as_dict(report(test)), default=_jsonable, allow_nan=False))
    assert made["variants"]["A"]["model"] == "small"
    assert made["variants"]["B"]["requests"] == 240
    assert [one["metric"] for one in made["metrics"]] == [
        "latency_p50",
        "latency_p95",
        "ttft_p50",
        "output_tokens",
        "cost",
        "error_rate",
        "rating",
    ]
    latency = made["metrics"][0]
    assert latency["low"] < latency["difference"] < latency["high"]
    assert 0 <= latency["p"] <= latency["p_verdict"] <= 1
    assert made["metrics"][6]["p"] is None
    assert set(made["verdict"]) == {"state", "winner", "text"}


def test_a_test_without_rows(test):
    found = report(test)
    assert found.verdict.state == "no data"
    assert found.first is None
    assert as_dict(found)["variants"]["A"]["requests"] == 0


@pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's plan")
def test_its_rows_are_found_by_their_index_however_large_the_ledger(test):
    for rows in (test.rows(), test.rows().filter(ab_variant="A").order_by("id")):
        assert "USING INDEX tw_usage_ab" in rows.explain()
