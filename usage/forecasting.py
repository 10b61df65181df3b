"""Makes one forecast in a process of its own: history as JSON in, the forecast as JSON out.

Fitting the models takes seconds of computing and a hundred megabytes of packages, which a worker
that serves requests must not spend. ``python -m usage.forecasting`` does it once and ends; it
computes with one thread, as the linear algebra is too small for more.

How it fails: a history that is none, or an error in it, ends it with a status other than 0;
`made_apart` raises `ForecastError` then.
"""

import os
import subprocess
import sys
from datetime import date

import msgspec

from usage.forecast import Forecast, forecast

TIMEOUT = 180.0
"""Seconds."""
NICE = 10
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}

History = tuple[tuple[date, float], ...]


class ForecastError(Exception):
    """The process failed, or took longer than `TIMEOUT`."""


class Question(msgspec.Struct):
    daily: History
    today: date


def made_apart(daily: History, today: date) -> Forecast:
    """`usage.forecast.forecast`, in another process. Blocks: call it in a thread.

    Raises:
        ForecastError: there is none.
    """
    question = msgspec.json.encode(Question(daily, today))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "usage.forecasting"],
            input=question,
            capture_output=True,
            timeout=TIMEOUT,
            env={**os.environ, **ONE_THREAD},
            cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        )
        if done.returncode:
            raise ForecastError(done.stderr.decode(errors="replace").strip()[-500:])
        return msgspec.json.decode(done.stdout, type=Forecast)
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError) as exc:
        raise ForecastError(str(exc)) from exc


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(NICE)
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(forecast(question.daily, question.today)))


if __name__ == "__main__":
    main()
