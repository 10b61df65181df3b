"""Who spent what."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.test.utils import CaptureQueriesContext

from tests.usage.samples import NOON, usage_row
from usage import costs, stats, writer

pytestmark = pytest.mark.django_db
NOW = datetime.fromtimestamp(NOON + 3000, UTC)


@pytest.fixture
def ledger():
    rows = [
        usage_row(session_id="s1", cost="0.3000000000", feature_tag="search"),
        usage_row(session_id="s1", cost="0.1000000000", source_app="shop"),
        usage_row(session_id="s2", cost="0.5000000000", feature_tag="search"),
        usage_row(session_id="s3", cost=None, model_used="unknown-1"),
        usage_row(cost="0.1000000000", saved_cost="0.0500000000"),
        usage_row(cost="9.0000000000", created_at=NOON - 40 * 86_400),
    ]
    writer.insert(rows, check=False)


def figures(found):
    return {one.name: (one.requests, one.cost, one.share) for one in found}


@pytest.mark.usefixtures("ledger")
def test_by_tag_app_and_model():
    window = stats.window("30d", NOW)
    assert figures(costs.by("tag", *window)) == {
        "search": (2, Decimal("0.8"), 0.8),
        "": (3, Decimal("0.2"), 0.2),
    }
    assert figures(costs.by("app", *window)) == {
        "crm": (4, Decimal("0.9"), 0.9),
        "shop": (1, Decimal("0.1"), 0.1),
    }
    by_model = costs.by("model", *window)
    assert by_model[-1].name == "unknown-1"
    assert (by_model[-1].cost, by_model[-1].average, by_model[-1].share) == (None, None, 0.0)


@pytest.mark.usefixtures("ledger")
def test_the_parts_are_the_whole():
    window = stats.window("all", NOW)
    whole = costs.total(*window)
    for dimension in costs.DIMENSIONS:
        parts = costs.by(dimension, *window)
        assert sum(one.requests for one in parts) == whole.requests
        assert sum(one.tokens for one in parts) == whole.tokens
        assert sum(one.cost or 0 for one in parts) == whole.cost
        assert sum(one.saved for one in parts) == whole.saved == Decimal("0.05")
    assert whole.average == Decimal("10.0") / 5


@pytest.mark.usefixtures("ledger")
def test_sessions():
    found = costs.by_session(*stats.window("30d", NOW), top=10)
    assert figures(found) == {
        "s2": (1, Decimal("0.5"), 0.5),
        "s1": (2, Decimal("0.4"), 0.4),
        "s3": (1, None, 0.0),
    }
    assert [one.name for one in found] == ["s2", "s1", "s3"]
    assert found[1].average == Decimal("0.2")
    assert found[1].tokens == 240


@pytest.mark.usefixtures("ledger")
def test_the_dearest_sessions_are_chosen_by_the_database(django_assert_num_queries):
    with django_assert_num_queries(2) as asked:
        found = costs.by_session(*stats.window("30d", NOW), top=1)
    assert [one.name for one in found] == ["s2"]
    assert isinstance(asked, CaptureQueriesContext)
    assert "LIMIT 2" in asked.captured_queries[-1]["sql"]


@pytest.mark.usefixtures("ledger")
def test_each_day_from_the_first_on():
    today = NOW.date()
    days = costs.daily(None, today)
    assert len(days) == 41
    assert days[0] == (today - timedelta(days=40), Decimal(9))
    assert days[1][1] == 0
    assert days[-1] == (today, Decimal(1))
    assert costs.daily(today, today) == [(today, Decimal(1))]
    assert costs.daily(date(2020, 1, 1), date(2020, 2, 1)) == []
