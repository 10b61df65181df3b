"""What was spent today, as the hot path knows it."""

import threading
from decimal import Decimal

import pytest
from django.db import OperationalError

from tests.usage.samples import NOON, usage_row
from usage import today, writer
from usage.rows import UsageRow
from usage.today import TodaysCost

MIDNIGHT = NOON + 12 * 3600


class Ledger:
    """Stands in for the ledger: rows wait until they are stored."""

    def __init__(self):
        self.waiting: list[UsageRow] = []
        self.now = NOON + 100
        self.wanted = True
        self.cost = TodaysCost(lambda: self.wanted, lambda: len(self.waiting), now=lambda: self.now)

    def finish(self, cost="1.0000000000", app="a", tag="t", at=None, count=1):
        for _ in range(count):
            row = usage_row(
                cost=cost, source_app=app, feature_tag=tag, created_at=at or self.now - 1
            )
            self.waiting.append(row)
            self.cost.add(row)

    def store(self, count=None):
        stored, self.waiting = self.waiting[:count], self.waiting[count:] if count else []
        writer.insert(stored, check=False)

    def says(self):
        kinds = (("all", ""), ("app", "a"), ("tag", "t"))
        return [float(self.cost.lookup(kind, name)) for kind, name in kinds]


@pytest.fixture
def ledger(db):
    return Ledger()


def test_what_all_workers_have_stored(ledger):
    rows = [
        usage_row(cost="1.5000000000", source_app="a", feature_tag="t"),
        usage_row(cost="2.0000000000", source_app="b", feature_tag="t", model_used="x"),
        usage_row(cost="4.0000000000", source_app="a", feature_tag="", created_at=NOON - 3600),
        usage_row(cost=None, source_app="a"),
        usage_row(cost="8.0000000000", source_app="a", created_at=NOON - 86_400),
        usage_row(cost="8.0000000000", source_app="a", created_at=MIDNIGHT),
    ]
    writer.insert(rows, check=False)
    assert ledger.says() == [0, 0, 0]
    ledger.cost.refresh()
    assert ledger.says() == [7.5, 5.5, 3.5]
    assert ledger.cost.lookup("app", "nobody") == 0
    assert ledger.cost.lookup("all") == Decimal("7.5")


def test_one_query_whatever_there_is(ledger, django_assert_num_queries):
    writer.insert([usage_row(source_app=f"a{n}") for n in range(50)], check=False)
    with django_assert_num_queries(1):
        ledger.cost.refresh()
    with django_assert_num_queries(0):
        ledger.says()


def test_what_this_worker_finished_counts_at_once_and_once(ledger):
    ledger.finish(count=3)
    assert ledger.says() == [3, 3, 3]
    ledger.cost.refresh()
    assert ledger.says() == [3, 3, 3]
    ledger.store(2)
    ledger.cost.refresh()
    assert ledger.says() == [3, 3, 3]
    ledger.finish(app="b", tag="")
    assert ledger.says() == [4, 3, 3]
    ledger.store()
    ledger.cost.refresh()
    assert ledger.says() == [4, 3, 3]
    assert not ledger.cost._own.rows
    assert not ledger.cost._own.sums


def test_unknown_costs_count_nothing(ledger):
    ledger.finish(cost=None)
    assert ledger.says() == [0, 0, 0]


def test_the_day_ends_at_midnight_utc(ledger):
    ledger.now = MIDNIGHT - 1
    ledger.finish(count=2)
    ledger.store(1)
    ledger.cost.refresh()
    assert ledger.says() == [2, 2, 2]
    ledger.now = MIDNIGHT
    assert ledger.says() == [0, 0, 0]
    ledger.finish(at=MIDNIGHT - 1)  # began yesterday, ends today
    assert ledger.says() == [0, 0, 0]
    ledger.finish(at=MIDNIGHT)
    ledger.finish(at=MIDNIGHT - 1)
    assert ledger.says() == [1, 1, 1]
    ledger.store()
    ledger.cost.refresh()
    assert ledger.says() == [1, 1, 1]


def test_while_nobody_asks_nothing_is_read_or_kept(ledger, django_assert_num_queries):
    ledger.wanted = False
    with django_assert_num_queries(0):
        ledger.finish(count=5)
        ledger.cost.refresh()
    assert not ledger.cost._own.rows
    ledger.store()
    ledger.wanted = True
    ledger.finish()
    ledger.cost.refresh()
    assert ledger.says() == [6, 6, 6]


def test_while_the_database_is_away_the_last_sums_stay(
    transactional_db, ledger, monkeypatch, caplog
):
    ledger.finish(count=2)
    ledger.store()
    ledger.cost.refresh()
    with monkeypatch.context() as patched:
        patched.setattr(today, "sums_of_day", _away)
        ledger.finish()
        ledger.cost.refresh()
        ledger.cost.refresh()
        assert ledger.says() == [3, 3, 3]
    assert caplog.text.count("cannot be read") == 1
    ledger.store()
    ledger.cost.refresh()
    assert ledger.says() == [3, 3, 3]


def _away(day):
    raise OperationalError("no route to host")


def test_rows_that_cannot_be_stored_do_not_fill_the_memory(ledger, monkeypatch):
    monkeypatch.setattr(today, "WAITING", 10)
    ledger.finish(count=25)
    assert len(ledger.cost._own.rows) == 10
    assert ledger.says() == [10, 10, 10]


def test_the_thread_asks_again_and_again_and_ends(monkeypatch):
    asked = []
    often = threading.Event()

    def sums(day):
        asked.append(day)
        if len(asked) == 2:
            raise ValueError("a fault")
        if len(asked) > 3:
            often.set()
        return {("all", ""): Decimal(len(asked))}

    monkeypatch.setattr(today, "SECONDS", 0.001)
    monkeypatch.setattr(today, "sums_of_day", sums)
    cost = TodaysCost(lambda: True, lambda: 0, now=lambda: NOON)
    cost.start()
    assert asked[0] == NOON // 86_400
    assert often.wait(10)
    cost.stop()
    assert cost.lookup("all") >= 3
    assert cost._thread is not None
    assert not cost._thread.is_alive()
