"""Which requests a budget counts."""

from dataclasses import replace

import pytest

from budgets import scopes
from budgets.scopes import BudgetSpec, ScopeIndex


def budget(number, scope="global", pattern="", **changes):
    made = BudgetSpec(
        id=number,
        name=str(number),
        scope=scope,
        pattern=pattern,
        unit="usd",
        limit=10**10,
        period="daily",
        time_zone="UTC",
        action="block",
        threshold=80,
    )
    return replace(made, **changes)


def ids(index, app="", model="", tag="", session=""):
    return [found.id for found in index.matching(app, model, tag, session)]


def test_every_scope_that_a_request_is_in():
    index = ScopeIndex(
        [
            budget(1),
            budget(2, "app", "shop"),
            budget(3, "app", "sh*"),
            budget(4, "model", "gpt-4o"),
            budget(5, "tag", "search"),
            budget(6, "session", "user-?"),
            budget(7, "app", "shop", action="warn"),
        ]
    )
    assert ids(index) == [1]
    assert ids(index, app="shop") == [1, 2, 7, 3]
    assert ids(index, app="shed") == [1, 3]
    assert ids(index, app="Shop") == [1]
    assert ids(index, "x", "gpt-4o", "search", "user-1") == [1, 4, 5, 6]
    assert ids(index, "x", "gpt-4o-mini", "searches", "user-12") == [1]


def test_a_pattern_for_everything_leaves_out_requests_that_name_nothing():
    index = ScopeIndex([budget(1, "tag", "*")])
    assert ids(index, tag="any") == [1]
    assert ids(index) == []


def test_values_that_clients_make_up_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(scopes, "REMEMBERED", 10)
    index = ScopeIndex([budget(1, "session", "a*")])
    for number in range(100):
        assert ids(index, session=f"a{number}") == [1]
    assert len(index._known["session"]) <= 10


@pytest.mark.parametrize(
    ("unit", "units", "shown"),
    [
        ("usd", 15 * 10**9, "$1.50"),
        ("usd", 1_234 * 10**10 + 1, "$1,234.0000000001"),
        ("usd", -(10**10), "-$1.00"),
        ("tokens", 1200, "1,200 tokens"),
    ],
)
def test_amounts_for_people(unit, units, shown):
    assert budget(1, unit=unit).shown(units) == shown


@pytest.mark.parametrize(
    ("limit", "threshold", "units"), [(100, 80, 80), (3, 50, 2), (10, 100, 10)]
)
def test_the_warning_begins_at_its_share_of_the_limit(limit, threshold, units):
    assert budget(1, limit=limit, threshold=threshold).warns_from == units
