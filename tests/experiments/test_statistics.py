"""The figures themselves, and what a verdict says of them."""

import math

import numpy as np
import pytest
from scipy import stats

from experiments import sequential
from experiments.intervals import Series, mean_contrast, percentile_contrast, rate_contrast
from experiments.statistics import MIN_UNITS, Observations, compare, split
from experiments.verdict import verdict
from tests.experiments.worlds import World


def series(values, units=None):
    found = np.asarray(values, dtype=float)
    return Series(found, np.arange(len(found)) if units is None else np.asarray(units))


def seen(count, **values):
    """Requests without sessions that are all the same, but for ``values``."""
    columns = {
        "latency_ms": np.full(count, 500.0),
        "ttft_ms": np.full(count, np.nan),
        "output_tokens": np.full(count, 10.0),
        "cost": np.full(count, 0.001),
        "error": np.zeros(count),
        "rating": np.full(count, np.nan),
    }
    return Observations(units=np.arange(count), **{**columns, **values})


def judged(a, b, share=0.5):
    return verdict(compare(a, b, share), MIN_UNITS)


def known(contrast):
    assert contrast is not None
    return contrast


def row(a, b, metric):
    return next(one for one in compare(a, b, 0.5).rows if one.metric == metric)


def test_means_without_sessions_or_skewness_agree_with_welchs_test():
    rng = np.random.default_rng(1)
    a, b = rng.normal(10, 2, 4000), rng.normal(10.1, 3, 2500)
    found = known(mean_contrast(series(a), series(b)))
    welch = stats.ttest_ind(b, a, equal_var=False)
    low, high = welch.confidence_interval(0.95)
    assert found.difference == pytest.approx(b.mean() - a.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)
    assert found.p == pytest.approx(welch.pvalue, abs=0.01)


def test_rates_without_sessions_agree_with_newcombes_interval():
    # Newcombe 1998, table II: 56/70 against 48/80, method 10: 0.0524 to 0.3339
    a = series([1] * 48 + [0] * 32)
    b = series([1] * 56 + [0] * 14)
    found = known(rate_contrast(a, b))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=0.005)


def test_medians_agree_with_the_binomials_order_statistics():
    rng = np.random.default_rng(5)
    a, b = rng.lognormal(0, 1, 900), rng.lognormal(0, 1, 900)
    found = known(percentile_contrast(series(a), series(b), 0.5))
    low_a, high_a = (np.sort(a)[int(k)] for k in stats.binom.ppf([0.025, 0.975], 900, 0.5))
    assert found.a == pytest.approx(float(np.median(a)), rel=1e-6)
    alone = math.hypot(found.a - low_a, high_a - found.a)
    assert found.high - found.low == pytest.approx(2 * alone, rel=0.2)


def test_a_session_repeated_adds_no_certainty():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0, 1, 300), rng.normal(0, 1, 300)
    units = np.arange(300)
    for contrast in (mean_contrast, lambda x, y: percentile_contrast(x, y, 0.5)):
        once = known(contrast(series(a), series(b)))
        often = known(
            contrast(
                series(np.repeat(a, 20), np.repeat(units, 20)),
                series(np.repeat(b, 20), np.repeat(units, 20)),
            )
        )
        assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.15)


def test_p_and_interval_say_the_same():
    rng = np.random.default_rng(9)
    for _ in range(60):
        a, b = World().observe(rng, 150), World(latency=1050, cost=0.0024).observe(rng, 150)
        for found in compare(a, b, 0.5).rows:
            if found.low is None or found.high is None or found.p is None:
                continue
            outside = found.low > 0 or found.high < 0
            assert outside == (found.p < 0.05) or abs(found.p - 0.05) < 0.002


@pytest.mark.parametrize("count", [0, 1, 2, 3, 30])
def test_few_requests_raise_nothing_and_decide_nothing(count):
    rng = np.random.default_rng(4)
    a, b = World().observe(rng, count), World().observe(rng, 5)
    found = compare(a, b, 0.5)
    assert not any(one.differs or one.same for one in found.rows)
    assert verdict(found, MIN_UNITS).state == "too early"
    nothing = World().observe(rng, 0)
    assert judged(nothing, nothing).text == "No request was counted yet."


def test_a_variant_without_any_such_value_leaves_the_others_to_see():
    found = row(seen(200, rating=np.full(200, 4.0)), seen(200), "rating")
    assert (found.a, found.b, found.difference, found.p) == (4.0, None, None, None)


def test_errors_are_no_fast_answers():
    error = (np.arange(400) % 4 == 0).astype(float)
    hasty = seen(400, error=error, latency_ms=np.where(error == 1, 5.0, 500.0))
    found = row(seen(400), hasty, "latency_p50")
    assert (found.a, found.b) == (500.0, 500.0)
    assert judged(seen(400), hasty).winner == "A"
    assert "error rate 25.00 points lower" in judged(seen(400), hasty).text


def test_constant_figures_that_differ_are_told_apart_and_equal_ones_are_the_same():
    cheap = seen(200, cost=np.full(200, 0.0005))
    found = judged(seen(200), cheap)
    assert found.winner == "B"
    assert "cost per request 50.0 % lower ($0.000500 against $0.00100)" in found.text
    assert row(seen(200), seen(200), "cost").same
    content = seen(200, rating=np.full(200, 4.0))
    assert row(content, content, "rating").same
    assert row(content, content, "rating").needed == 0


def test_what_is_the_same_is_called_so():
    rng = np.random.default_rng(8)

    def alike():
        values = rng.normal(500, 20, 6000)
        return seen(6000, latency_ms=values)

    found = judged(alike(), alike())
    assert found.state == "no difference"
    assert found.text == "A and B do not differ by anything of practical size."


def test_a_trade_has_no_winner():
    rng = np.random.default_rng(8)
    a, b = rng.normal(500, 50, 2000), rng.normal(800, 50, 2000)
    found = judged(seen(2000, latency_ms=a), seen(2000, latency_ms=b, cost=np.full(2000, 0.0002)))
    assert (found.state, found.winner) == ("mixed", "")
    assert "It is a trade" in found.text


def test_more_output_is_neither_better_nor_worse():
    found = judged(seen(300), seen(300, output_tokens=np.full(300, 30.0)))
    assert (found.state, found.winner) == ("undecided", "")
    assert "Output tokens: 200.0 % higher with B (30.0 against 10.0)." in found.text


def test_unknown_costs_are_left_out_and_told():
    cost = np.full(200, 0.001)
    cost[:50] = np.nan
    assert row(seen(200, cost=cost), seen(200), "cost").a == pytest.approx(0.001)
    assert "50 requests of unknown cost (A 50, B 0)" in judged(seen(200, cost=cost), seen(200)).text


def test_an_uneven_split_is_told():
    assert not split(5000, 5100, 0.5).uneven
    assert not split(900, 100, 0.9).uneven
    assert split(5000, 6000, 0.5).uneven
    assert "Caution: A has 40.0 % of the sessions" in judged(seen(4000), seen(6000)).text


def test_the_requests_that_are_needed_would_do():
    """With as many as were asked for, a difference of the practical size is found in about the
    promised part of all runs."""
    rng = np.random.default_rng(12)
    plan = compare(World().observe(rng, 400), World().observe(rng, 400), 0.5)
    rating = next(one for one in plan.rows if one.metric == "rating")
    assert rating.needed is not None
    assert rating.practical is not None
    total = plan.requests_a + plan.requests_b
    sessions = round(400 * (1 + rating.needed / total))
    assert 400 < sessions < 4000
    better = World(rating=World().rating + rating.practical)
    found = 0
    for _ in range(50):
        seen_a, seen_b = World().observe(rng, sessions), better.observe(rng, sessions)
        rows = {one.metric: one for one in compare(seen_a, seen_b, 0.5).rows}
        found += rows["rating"].differs
    assert 0.65 <= found / 50 <= 0.95


def test_a_value_for_all_looks_is_larger_than_one_for_a_single_look():
    for progress in (0.1, 1, 10, 100):
        for z in (1.0, 2.0, 3.0, 5.0):
            assert sequential.always_valid(z, progress) >= 2 * stats.norm.sf(z)
        reach = sequential.reach(progress, 0.05)
        assert sequential.always_valid(reach, progress) == pytest.approx(0.05)
    assert sequential.reach(1, 0.05) == pytest.approx(3.03, abs=0.01)


def test_looking_at_every_single_value_still_errs_rarely():
    """A random walk of 2,000 steps, looked at after each."""
    rng = np.random.default_rng(6)
    counts = np.arange(30, 2001)
    crossed = 0
    for _ in range(500):
        walk = rng.normal(0, 1, 2000).cumsum()[29:] / np.sqrt(counts)
        bounds = [sequential.reach(count / sequential.TUNED_TO, 0.05) for count in counts[::10]]
        crossed += bool((np.abs(walk[::10]) > bounds).any())
    assert crossed / 500 <= 0.06


def test_holm():
    assert sequential.holm({"x": 0.01, "y": 0.04, "z": 0.03}) == pytest.approx(
        {"x": 0.03, "z": 0.06, "y": 0.06}
    )
    assert sequential.holm({}) == {}
