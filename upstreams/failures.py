"""What a failed attempt means: for the next candidate, and for the upstream that failed. Pure.

After docs/failover.md: what may have worked elsewhere is tried elsewhere, what the client got
wrong is wrong everywhere. `Retry-After` after RFC 9110, section 10.2.3; ``retry-after-ms`` is
sent by OpenAI and Azure.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from upstreams.errors import (
    BadAnswer,
    BrokenBody,
    ConnectFailed,
    ConnectTimeout,
    Dropped,
    ResponseTimeout,
    UpstreamError,
)

CREDENTIAL_REFUSED = frozenset({401, 402, 403})
CREDENTIAL_COOL_DOWN = 600.0
"""Seconds that an upstream rests whose own credential was refused: somebody has to act."""

_WORDS: dict[type[UpstreamError], str] = {
    ConnectFailed: "connect",
    ConnectTimeout: "connect_timeout",
    Dropped: "dropped",
    ResponseTimeout: "timeout",
    BadAnswer: "protocol",
    BrokenBody: "broken",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt."""

    reason: str
    """One word for the ledger's ``attempt_log``; ``!`` where it was sent and nobody knows what
    became of it."""
    counts: bool = True
    """Against the upstream."""
    fails_over: bool = True
    unreachable: bool = False
    """No connection, or one that broke: any answer proves that this is over."""
    cool_down: float = 0.0
    """Seconds that the upstream is to be left alone."""
    note: str = ""
    """What an operator should know besides."""


@dataclass(frozen=True, slots=True)
class CoolDowns:
    """Bounds of what an upstream may ask for, in seconds."""

    default: float
    """Where it names no time, or none that makes sense."""
    longest: float


def of_error(error: UpstreamError, *, on_read_timeout: bool, whole_time: bool) -> Failure:
    """What it means that there was no answer.

    ``whole_time``: the upstream had all the time that one gets, and not the rest of it, or
    what a slow client left.
    """
    reason = _WORDS.get(type(error), error.code) + ("!" if error.sent else "")
    if isinstance(error, ResponseTimeout):
        return Failure(reason, counts=whole_time, fails_over=on_read_timeout)
    unreachable = isinstance(error, (ConnectFailed, ConnectTimeout, Dropped))
    return Failure(reason, unreachable=unreachable)


def of_status(
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    own_credential: bool,
    at: float,
    cool_downs: CoolDowns,
) -> Failure | None:
    """What an answer's status means; None where it is an answer, be it an error of the client's.

    ``at`` is the present, in seconds since the epoch; header names are in lower case.
    """
    if status in CREDENTIAL_REFUSED and own_credential:
        return Failure(
            str(status), cool_down=CREDENTIAL_COOL_DOWN, note="its own credential is refused"
        )
    if status != 429 and status < 500:
        return None
    wish = retry_after(headers, at=at, cool_downs=cool_downs)
    if not wish and status == 429:
        wish = cool_downs.default
    return Failure(str(status), cool_down=wish)


def of_stream_error(status: int) -> Failure:
    """What it means that a stream begins with an error."""
    return Failure(f"{status}~")


def retry_after(
    headers: Iterable[tuple[bytes, bytes]], *, at: float, cool_downs: CoolDowns
) -> float:
    """Seconds that an answer asks to wait; 0 where it does not ask.

    What makes no sense, or names the past, is taken for the default.
    """
    asked: dict[bytes, str] = {}
    for name, value in headers:
        if name in (b"retry-after", b"retry-after-ms"):
            asked.setdefault(name, value.decode("latin-1").strip())
    if not asked:
        return 0.0
    seconds = _number(asked.get(b"retry-after-ms", "")) / 1000
    if not seconds > 0:
        text = asked.get(b"retry-after", "")
        seconds = _number(text) or _date(text) - at
    return min(seconds if seconds > 0 else cool_downs.default, cool_downs.longest)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _date(text: str) -> float:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
