"""No test of a page waits for a forecast in another process."""

import pytest

from dashboard import foretelling
from usage.forecast import forecast


@pytest.fixture(autouse=True)
def _quick_forecasts(monkeypatch):
    monkeypatch.setattr(foretelling.foreteller, "_make", lambda h, today: forecast(h[-5:], today))
