"""Whether a ``start`` is running here: what its run file says, and what its ports answer.

How it fails: an unreadable run file counts as none; a process that is alive but does not
answer within `TIMEOUT` is reported as such, never as running.
"""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx

TIMEOUT = 2.0
"""Seconds that ``/health`` may take."""

State = Literal["running", "not answering", "not running"]
_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - reads, not binds


@dataclass(frozen=True, slots=True)
class Run:
    """What ``start`` wrote down when it began to listen."""

    pid: int
    host: str
    proxy_port: int
    dashboard_port: int
    workers: int
    started_at: datetime

    @property
    def proxy_url(self) -> str:
        return base_url(self.host, self.proxy_port)

    @property
    def dashboard_url(self) -> str:
        return base_url(self.host, self.dashboard_port)


def base_url(host: str, port: int) -> str:
    """The URL to open here for an address to listen on, without a trailing slash."""
    host = _ANYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def parse(text: str) -> Run:
    """Read a run file's JSON.

    Raises:
        ValueError: it is not what ``start`` writes.
    """
    try:
        facts = json.loads(text)
        numbers = {name: int(facts[name]) for name in _NUMBERS}
        started_at = datetime.fromtimestamp(float(facts["started_at"]), UTC)
        run = Run(host=str(facts["host"]), started_at=started_at, **numbers)
    except (KeyError, TypeError, OverflowError, OSError) as exc:
        raise ValueError(f"not a run file: {exc!r}") from exc
    if run.pid <= 0:  # kill(0) and kill(-1) would speak of other processes
        raise ValueError("not a run file: no process")
    return run


_NUMBERS = ("pid", "proxy_port", "dashboard_port", "workers")


def read(path: Path) -> Run | None:
    """The run that the file tells of; None where there is no file, or none that can be read."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # alive, and another user's
        return True
    return True


def health(run: Run) -> dict[str, Any] | None:
    """What the proxy port says of itself; None where it does not answer as TokenWatch."""
    try:
        # trust_env: a configured HTTP proxy has no business on the way to ourselves.
        answer = httpx.get(f"{run.proxy_url}/health", timeout=TIMEOUT, trust_env=False)
        report = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return report if answer.status_code == 200 and isinstance(report, dict) else None


def judge(run: Run | None, *, alive: bool, report: dict[str, Any] | None) -> State:
    """A run file is left behind by a kill, and its port may since be someone else's."""
    if run is None or not alive:
        return "not running"
    return "not answering" if report is None else "running"
