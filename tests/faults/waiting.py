"""Waiting for what happens in other processes: by looking, with a deadline."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.02


def until(reached: Callable[[], bool], failure: Callable[[], str], seconds: float) -> None:
    """Look again and again until it is so; fails with the message once the time is up."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"{failure()} after {seconds:g} s"
        time.sleep(POLL_SECONDS)
