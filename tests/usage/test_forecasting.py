"""A forecast from another process is the same, and one that fails says so."""

from datetime import date, timedelta

import pytest

from usage.forecast import forecast
from usage.forecasting import ForecastError, made_apart

TODAY = date(2026, 11, 24)
FEW = tuple((TODAY - timedelta(days=back), 10.0 + back) for back in range(5, 0, -1))


def test_it_is_what_the_pure_function_says():
    assert made_apart(FEW, TODAY) == forecast(FEW, TODAY)


def test_a_process_that_fails_is_an_error(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ForecastError):
        made_apart(FEW, TODAY)
