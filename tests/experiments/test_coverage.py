"""The intervals hold what they promise, and equals are not called different."""

import numpy as np
import pytest

from experiments.statistics import METRICS, compare
from tests.experiments.worlds import World, first

RUNS = 1000
PEEKED = 120
LOOKS = (100, 150, 200, 300, 400, 600, 800)


@pytest.mark.parametrize(
    ("sessions_a", "sessions_b", "a", "b"),
    [
        (250, 250, World(), World()),
        (300, 300, World(), World(latency=1100, cost=0.003, errors=0.05, rating=3.8)),
        (700, 200, World(), World(latency=700, cost=0.0012, errors=0.02, rating=3.2)),
    ],
)
def test_intervals_cover_the_truth_in_93_to_97_percent_of_runs(sessions_a, sessions_b, a, b):
    rng = np.random.default_rng(20261124)
    hits = dict.fromkeys([metric.name for metric in METRICS], 0)
    for _ in range(RUNS):
        seen_a, seen_b = a.observe(rng, sessions_a), b.observe(rng, sessions_b)
        for metric in METRICS:
            found = metric.contrast(metric.of(seen_a), metric.of(seen_b))
            assert found is not None
            hits[metric.name] += (
                found.low <= b.truth[metric.name] - a.truth[metric.name] <= found.high
            )
    covered = {name: count / RUNS for name, count in hits.items()}
    assert {name: part for name, part in covered.items() if not 0.93 <= part <= 0.97} == {}


def test_intervals_that_take_requests_for_independent_would_not():
    """The check above has teeth: without sessions, intervals miss far more often."""
    rng = np.random.default_rng(1)
    world = World(per_session=10)
    truth, hits = 0.0, 0
    cost = next(metric for metric in METRICS if metric.name == "cost")
    for _ in range(300):
        alone = []
        for _ in range(2):
            seen = world.observe(rng, 200)
            series = cost.of(seen)
            alone.append(type(series)(series.values, np.arange(len(series.values))))
        found = cost.contrast(*alone)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert hits / 300 < 0.9


def test_identical_variants_differ_in_at_most_6_percent_of_runs_however_often_one_looks():
    rng = np.random.default_rng(7)
    called = naive = 0
    for _ in range(PEEKED):
        a, b = World().observe(rng, LOOKS[-1]), World().observe(rng, LOOKS[-1])
        looks = [compare(first(a, count), first(b, count), 0.5) for count in LOOKS]
        called += any(row.differs for found in looks for row in found.rows)
        naive += any(row.p is not None and row.p < 0.05 for found in looks for row in found.rows)
    assert called / PEEKED <= 0.06
    assert naive / PEEKED > 0.3  # looking often would have found what is not there


def test_a_difference_of_a_quarter_is_found():
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(40):
        a, b = World().observe(rng, 1500), World(latency=900 * 1.25).observe(rng, 1500)
        rows = {row.metric: row for row in compare(a, b, 0.5).rows}
        found += rows["latency_p50"].differs and rows["latency_p50"].winner == "A"
    assert found >= 36
