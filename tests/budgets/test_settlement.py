"""Counters and the ledger agree at every commit."""

from datetime import UTC, datetime

import pytest

from budgets import bookkeeping, leases, settlement
from budgets.bookkeeping import Loan, Wishes
from budgets.leases import BudgetGoneError
from budgets.models import Budget, BudgetCounter
from budgets.settlement import counter_of, reconcile, spec_of, spent_in
from tests.usage.samples import NOON, usage_row
from usage import writer

DAY = 86_400
CENT = 10**8


@pytest.fixture(autouse=True)
def settling(db, monkeypatch):
    monkeypatch.setattr(writer, "alongside", [settlement.settle_rows])


def budget(**values):
    defaults = {"name": values.get("pattern", "all"), "limit": 10, "period": "daily"}
    return Budget.objects.create(**{**defaults, **values})


def row(cost="0.0100000000", **values):
    return usage_row(cost=cost, **values)


def spent():
    return {
        (counter.budget.name, counter.period_start.day): counter.spent
        for counter in BudgetCounter.objects.select_related("budget")
    }


def test_rows_count_in_the_period_of_their_arrival():
    budget()
    rows = [row(created_at=NOON + day * DAY) for day in (0, 0, 1)]
    writer.insert(rows, check=False)
    assert spent() == {("all", 23): 2 * CENT, ("all", 24): CENT}


def test_a_models_budget_counts_the_model_that_was_really_asked():
    budget(scope="model", pattern="gpt-4o*")
    budget(scope="model", pattern="o3")
    routed = {"model_requested": "o3", "model_routed": "gpt-4o-mini"}
    writer.insert([row(), row(**routed), row(model_requested="o3")], check=False)
    assert spent() == {("gpt-4o*", 23): 2 * CENT, ("o3", 23): CENT}
    for made in Budget.objects.all():
        spec = spec_of(made)
        assert reconcile(spec, spec.at(NOON)) == 0


def test_each_budget_counts_its_scope():
    budget()
    budget(scope="app", pattern="cr*")
    budget(scope="model", pattern="gpt-4o-mini")
    budget(scope="tag", pattern="search", unit="tokens", limit=1000)
    budget(scope="session", pattern="nobody")
    budget(scope="app", pattern="crm", active=False)
    rows = [row(), row(source_app="shop", feature_tag="search"), row(model_requested="o3")]
    writer.insert(rows, check=False)
    assert spent() == {
        ("all", 23): 3 * CENT,
        ("cr*", 23): 2 * CENT,
        ("crm", 23): 2 * CENT,  # so that it is right when it is switched on
        ("gpt-4o-mini", 23): 2 * CENT,
        ("search", 23): 120,
    }
    writer.insert([row(feature_tag="search")], check=False)
    assert spent()["search", 23] == 240


def test_a_new_budget_begins_with_what_was_spent_before():
    writer.insert([row(), row(created_at=NOON - DAY)], check=False)
    made = budget()
    spec = spec_of(made)
    counter_of(spec, spec.at(NOON))
    assert spent() == {("all", 23): CENT}
    writer.insert([row()], check=False)
    assert spent() == {("all", 23): 2 * CENT}


def test_rows_that_are_stored_already_do_not_count_twice():
    budget()
    stored = row()
    writer.insert([stored], check=False)
    writer.insert([stored, row()], check=True)
    assert spent() == {("all", 23): 2 * CENT}


@pytest.mark.parametrize(("setting", "units"), [("admit", 0), ("0.5", 50 * CENT)])
def test_unpriced_requests_count_what_the_setting_says(monkeypatch, setting, units):
    class Config:
        unpriced_cost = setting

    monkeypatch.setattr(settlement, "config", Config)
    made = budget()
    writer.insert([row(cost=None)], check=False)
    assert spent() == {("all", 23): units}
    assert spent_in(spec_of(made), spec_of(made).at(NOON)) == units


def test_a_hold_becomes_spent_and_leaves_its_lease():
    spec = spec_of(budget())
    counter = counter_of(spec, spec.at(NOON))
    until = datetime.fromtimestamp(NOON + 15, UTC)
    taken = leases.take(counter, spec.limit, CENT, worker="a", lease=None, until=until)
    assert taken is not None
    writer.insert([row(holds=[(taken.lease, CENT)])], check=False)
    found = BudgetCounter.objects.get(pk=counter)
    assert (found.spent, found.leased) == (CENT, taken.units - CENT)


def test_a_reset_by_hand_begins_a_counter_of_its_own():
    made = budget()
    writer.insert([row()], check=False)
    made.reset_at = datetime.fromtimestamp(NOON + 3600, UTC)
    made.save()
    late, new = row(), row(created_at=NOON + 3600)
    writer.insert([late, new], check=False)
    figures = sorted(BudgetCounter.objects.values_list("spent", flat=True))
    assert figures == [CENT, 2 * CENT]


def test_a_drift_is_found_told_and_mended():
    made = budget()
    writer.insert([row()], check=False)
    spec = spec_of(made)
    assert reconcile(spec, spec.at(NOON)) == 0
    BudgetCounter.objects.update(spent=7)
    assert reconcile(spec, spec.at(NOON)) == CENT - 7
    assert spent() == {("all", 23): CENT}


def test_another_period_counts_anew_though_it_begins_at_the_same_moment():
    made = budget()
    monday = 1_795_392_000.0  # 2026-11-23, with `NOON` in its day
    writer.insert([row(created_at=monday + 60), row(created_at=monday + DAY)], check=False)
    assert spent() == {("all", 23): CENT, ("all", 24): CENT}
    made.period = "weekly"
    made.save()
    counter_of(spec_of(made), spec_of(made).at(monday + DAY))
    assert spent() == {("all", 23): 2 * CENT}


def test_a_worker_that_has_not_heard_of_a_change_builds_no_counter():
    made = budget()
    old = spec_of(made)
    made.scope, made.pattern = "app", "shop"
    made.save()
    with pytest.raises(BudgetGoneError):
        counter_of(old, old.at(NOON))
    assert spent() == {}
    made.delete()
    with pytest.raises(BudgetGoneError):
        counter_of(old, old.at(NOON))


def test_what_was_missed_when_a_counter_was_built_is_found_in_the_next_round(caplog):
    made = budget()
    writer.insert([row()], check=False)
    spec = spec_of(made)
    loan = Loan(spec, spec.at(NOON), BudgetCounter.objects.get().pk, None)
    BudgetCounter.objects.update(spent=0)
    bookkeeping.look(Wishes([loan], []))
    assert spent() == {("all", 23): CENT}
    assert "off the ledger by $0.01" in caplog.text
    BudgetCounter.objects.update(spent=0)  # and then not again for an hour
    bookkeeping.look(Wishes([loan], []))
    assert spent() == {("all", 23): 0}


def test_another_scope_counts_anew():
    made = budget()
    writer.insert([row(), row(source_app="shop")], check=False)
    made.scope, made.pattern = "app", "shop"
    made.save()
    assert spent() == {}
    writer.insert([row(source_app="shop")], check=False)
    assert spent() == {("all", 23): 2 * CENT}
