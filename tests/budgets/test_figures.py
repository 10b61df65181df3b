"""How budgets stand."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from budgets.figures import statuses
from budgets.models import Budget, BudgetCounter
from tests.usage.samples import NOON, usage_row
from usage import writer

pytestmark = pytest.mark.django_db
NOW = datetime.fromtimestamp(NOON, UTC)
CENT = 10**8


def budget(name="all", **values):
    values = {"limit": 1, "period": "daily", **values}
    return Budget.objects.create(name=name, **values)


def spend(*costs):
    writer.insert([usage_row(cost=f"{cost}") for cost in costs], check=False)


def states():
    return {status.spec.name: status.state for status in statuses(Budget.objects.all(), NOW)}


def test_states():
    budget("fine", limit=100)
    budget("near", limit=Decimal("1.2"))
    budget("over")
    budget("off", active=False)
    budget("shut", killed=True)
    spend("0.5", "0.5")
    assert states() == {
        "fine": "ok",
        "near": "approaching",
        "over": "exceeded",
        "off": "inactive",
        "shut": "killed",
    }


def test_amounts_are_those_of_the_present_period():
    made = budget()
    spend("0.3")
    writer.insert([usage_row(cost="9", created_at=NOON - 86_400)], check=False)
    BudgetCounter.objects.filter(spent=30 * CENT).update(leased=5 * CENT)
    (status,) = statuses([made], NOW)
    assert (status.spent, status.reserved, status.remaining) == (30 * CENT, 5 * CENT, 70 * CENT)
    assert status.share == 0.3
    assert status.period.end == NOON + 12 * 3600


def test_one_that_no_worker_has_seen_is_read_from_the_ledger():
    spend("0.25")
    made = budget()
    assert statuses([made], NOW)[0].spent == 25 * CENT
    assert not BudgetCounter.objects.exists()


def test_one_query_for_all(django_assert_num_queries):
    made = [budget(str(number)) for number in range(5)]
    spend("0.25")
    with django_assert_num_queries(1):
        assert {status.spent for status in statuses(made, NOW)} == {25 * CENT}


def test_a_reset_begins_at_nothing():
    made = budget()
    spend("0.25")
    made.reset_at = datetime.fromtimestamp(NOON + 100, UTC)
    made.save()
    writer.insert([usage_row(cost="0.1", created_at=NOON + 101)], check=False)
    later = datetime.fromtimestamp(NOON + 200, UTC)
    assert statuses([made], later)[0].spent == 10 * CENT
