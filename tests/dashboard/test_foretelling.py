"""Forecasts are made once for a history, apart, and nobody waits who does not want to."""

import threading
from datetime import date, timedelta

from dashboard import foretelling
from dashboard.foretelling import Foreteller
from usage.forecast import Forecast, forecast
from usage.forecasting import ForecastError

TODAY = date(2026, 11, 24)
DAILY = [(TODAY - timedelta(days=back), 10.0) for back in range(3, -1, -1)]


def test_not_yet_and_then_once():
    go, made = threading.Event(), []

    def slow(history, today):
        made.append(history)
        go.wait(5)
        return forecast(history, today)

    foreteller = Foreteller(slow)
    assert foreteller.forecast(DAILY, TODAY) is None
    go.set()
    found = foreteller.forecast(DAILY, TODAY, wait=5)
    assert found == forecast(DAILY, TODAY)
    changed_today = [*DAILY[:-1], (TODAY, 99.0)]
    assert foreteller.forecast(changed_today, TODAY) == found
    assert len(made) == 1


def _never(*_: object) -> Forecast:
    raise AssertionError("a process was started")


def test_nothing_spent_needs_no_process():
    found = Foreteller(_never).forecast([(TODAY, 5.0)], TODAY)
    assert found is not None
    assert (found.method, found.days) == ("none", ())


def test_one_that_cannot_be_made_is_tried_again_later(monkeypatch):
    tries = []

    def broken(history, today):
        tries.append(today)
        raise ForecastError("no")

    foreteller = Foreteller(broken)
    assert foreteller.forecast(DAILY, TODAY, wait=5) is None
    assert foreteller.forecast(DAILY, TODAY, wait=5) is None
    assert len(tries) == 1
    monkeypatch.setattr(foretelling, "AGAIN", 0)
    assert foreteller.forecast(DAILY, TODAY, wait=5) is None
    assert len(tries) == 2


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(foretelling, "KEPT", 3)
    foreteller = Foreteller(lambda history, today: forecast(history, today))
    for amount in range(1, 10):
        foreteller.forecast([(TODAY - timedelta(days=1), float(amount))], TODAY, wait=5)
    assert len(foreteller._found) == 3
