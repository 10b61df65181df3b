"""What a batch of rows adds to the rollups, on plain values."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.usage.samples import NOON, sums_of, usage_row
from usage.rollups import COUNTERS, DAY, HOUR, MINUTE, Sums, deltas

rows = st.lists(
    st.builds(
        usage_row,
        created_at=st.floats(NOON, NOON + 3 * HOUR),
        model_used=st.sampled_from(["", "gpt-4o-mini", "glm-4.7"]),
        model_requested=st.sampled_from(["gpt-4o-mini", "opus"]),
        source_app=st.sampled_from(["", "crm"]),
        feature_tag=st.sampled_from(["", "chat", "crm"]),
        status_code=st.sampled_from([200, 304, 400, 529]),
        cost=st.none() | st.decimals(0, 1000, places=10).map(str),
        saved_cost=st.none() | st.decimals(0, 1000, places=10).map(str),
        usage_estimated=st.booleans(),
        cache_tier=st.sampled_from(["", "exact", "semantic"]),
        input_tokens=st.integers(0, 10**15),
        latency_ms=st.integers(0, 10**6),
    ),
    max_size=30,
)


@given(rows)
def test_minutes_hours_and_days_each_sum_up_to_the_rows(batch):
    for seconds in (DAY, HOUR, MINUTE):
        total = Sums()
        for delta in deltas(batch):
            if delta.bucket.seconds == seconds:
                total.add(delta.sums)
        assert {name: getattr(total, name) for name in COUNTERS} == sums_of(batch)


@given(rows)
def test_keys_are_unique_sorted_and_the_same_in_any_order_of_rows(batch):
    keys = [delta.key for delta in deltas(batch)]
    assert keys == sorted(set(keys))
    assert all(len(key) == 32 for key in keys)
    assert [delta.key for delta in deltas(reversed(batch))] == keys


def test_a_request_counts_for_the_model_that_answered():
    found = sorted(deltas([usage_row()]), key=lambda delta: delta.bucket.seconds)
    assert {delta.bucket.model for delta in found} == {"gpt-4o-mini-2024-07-18"}
    assert [delta.bucket.start - NOON for delta in found] == [60, 0, -12 * HOUR]


def test_without_an_answer_it_counts_for_the_model_asked_for():
    assert {d.bucket.model for d in deltas([usage_row(model_used="")])} == {"gpt-4o-mini"}


def test_an_unknown_price_adds_nothing_and_is_counted():
    sums = deltas([usage_row(cost=None), usage_row(cost="0.5000000000")])[0].sums
    assert (sums.cost, sums.unpriced) == (Decimal("0.5"), 1)


def test_a_free_request_is_not_unpriced():
    assert deltas([usage_row(cost="0.0000000000")])[0].sums.unpriced == 0


def test_errors_are_error_answers_and_broken_streams():
    batch = [
        usage_row(status_code=200),
        usage_row(status_code=302),
        usage_row(status_code=404),
        usage_row(status_code=200, error_type="stream_error"),
    ]
    assert deltas(batch)[0].sums.errors == 2


def test_app_and_tag_are_not_mixed_up():
    batch = [usage_row(source_app="a", feature_tag=""), usage_row(source_app="", feature_tag="a")]
    assert len(deltas(batch)) == 6
