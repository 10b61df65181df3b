"""Forecasts for the pages: kept by the history that they rest on, which changes once a day.

The first question for a history starts a process (`usage.forecasting`), one at a time, and the
answer is "not yet"; the page asks again. How it fails: a forecast that cannot be made is logged
and tried again after `AGAIN` seconds.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from datetime import date

from usage.forecast import Forecast
from usage.forecasting import ForecastError, History, made_apart

KEPT = 64
AGAIN = 60.0

logger = logging.getLogger("tokenwatch.forecast")


class Foreteller:
    """The forecasts of one process."""

    def __init__(self, make: Callable[[History, date], Forecast] = made_apart) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forecast")
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[History, date], Future[Forecast | None]] = OrderedDict()
        self._failed_at = float("-inf")

    def forecast(
        self, daily: Sequence[tuple[date, float]], today: date, wait: float = 0.0
    ) -> Forecast | None:
        """The forecast from the whole days before today; None: not yet, or it cannot be made.

        ``wait``: seconds to wait for it.
        """
        history = tuple((day, float(amount)) for day, amount in daily if day < today)
        if not any(amount for _, amount in history):
            return Forecast("none", weekly=False, history=len(history), days=())
        future = self._asked((history, today))
        if future is None:
            return None
        try:
            return future.result(timeout=wait)
        except NotYetError:
            return None

    def _asked(self, key: tuple[History, date]) -> "Future[Forecast | None] | None":
        with self._lock:
            future = self._found.get(key)
            if future is not None and future.done() and future.result() is None:
                del self._found[key]
                future = None
            if future is None:
                if time.monotonic() - self._failed_at < AGAIN:
                    return None
                future = self._found[key] = self._thread.submit(self._made, *key)
                while len(self._found) > KEPT:
                    self._found.popitem(last=False)
            return future

    def _made(self, history: History, today: date) -> Forecast | None:
        try:
            return self._make(history, today)
        except ForecastError as exc:
            logger.warning("A forecast could not be made: %s", exc)
            self._failed_at = time.monotonic()
            return None


foreteller = Foreteller()
