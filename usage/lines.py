"""One usage row as one line of the spool: written by the hot path, checked when read back.

`encode` never refuses a row: what JSON cannot hold is replaced. `decode` is the last
defence before the database: it cuts what is too long for its column, replaces NUL (which
PostgreSQL refuses) and raises `BadLineError` for what no column can hold. Pure; no Django.
"""

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import orjson

from usage.rows import COUNT_MAX, LAST_MOMENT, SMALL_MAX, UsageRow

LENGTHS = {
    "request_id": 32,
    "api_type": 20,
    "method": 10,
    "endpoint": 200,
    "model_requested": 200,
    "model_used": 200,
    "model_routed": 200,
    "upstream": 100,
    "error_type": 100,
    "service_tier": 50,
    "finish_reason": 50,
    "source_app": 200,
    "session_id": 200,
    "feature_tag": 200,
    "cache_tier": 20,
    "cache_note": 100,
    "cache_entry": 32,
    "routing_rule": 100,
    "ab_test": 100,
    "ab_variant": 20,
    "attempt_log": 500,
    "decision": 1000,
}
"""Longest text kept, by column, in UTF-16 units (what Oracle's NVARCHAR2 counts)."""

MONEY_MAX = Decimal(10) ** 10
MONEY_STEP = Decimal("1E-10")

Check = Callable[[Any], Any]

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(UsageRow)


class BadLineError(ValueError):
    """A line that is no row; the message says why."""


def encode(row: UsageRow) -> bytes:
    """The row as a line that begins and ends with a newline.

    The newline in front keeps a line whole after one that was cut off (a full disk): the
    remains of that one do not run into it.
    """
    try:
        body = _encoder.encode(row)
    except (msgspec.ValidationError, TypeError, OverflowError, UnicodeEncodeError):
        # lone surrogates, integers past 64 bits, foreign types
        body = orjson.dumps(_encodable(row), default=str)
    return b"\n" + body + b"\n"


def decode(line: bytes) -> UsageRow:
    """Read a line back, cut to the ledger's columns; fields of other versions are left out.

    Raises:
        BadLineError: not JSON, no object, or a value that its column cannot hold.
    """
    if line.isascii() and b"\\u0000" not in line:
        try:
            return _decoder.decode(line)
        except msgspec.DecodeError:  # wrong types and bounds too: mend it, or say what is wrong
            pass
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise BadLineError(f"not JSON: {exc}") from None
    if not isinstance(values, dict):
        raise BadLineError("not a JSON object")
    return _checked(values)


def _checked(values: dict[str, Any]) -> UsageRow:
    checked: dict[str, Any] = {}
    for name, value in values.items():
        check = _CHECKS.get(name)
        if check is not None:
            try:
                checked[name] = check(value)
            except (ValueError, TypeError, InvalidOperation, OverflowError) as exc:
                raise BadLineError(f"{name}: {exc or type(exc).__name__}") from None
    try:
        return UsageRow(**checked)
    except TypeError as exc:  # a field without default is missing
        raise BadLineError(str(exc)) from None


def request_id_of(line: bytes) -> str:
    """The request id of a line that may be no row, for messages; ``unknown`` where none is read."""
    try:
        found = orjson.loads(line)["request_id"]
    except (ValueError, TypeError, KeyError):
        return "unknown"
    return str(found)[: LENGTHS["request_id"]]


def _encodable(row: UsageRow) -> dict[str, Any]:
    def mend(value: Any) -> Any:
        if isinstance(value, str):
            return value.encode("utf-8", "replace").decode()
        if isinstance(value, int) and not isinstance(value, bool):
            return max(-(2**63), min(value, 2**63 - 1))
        return value

    return {f.name: mend(getattr(row, f.name)) for f in msgspec.structs.fields(row)}


def _text(limit: int) -> Check:
    def check(value: Any) -> str:
        if value is None:
            return ""
        if type(value) is not str:
            raise ValueError(f"not a text: {value!r:.50}")
        if "\0" in value:
            value = value.replace("\0", "\ufffd")
        if len(value) * 2 > limit:
            return _cut(value, limit)
        return value

    return check


def _cut(text: str, limit: int) -> str:
    if text.isascii():
        return text[:limit]
    return text.encode("utf-16-le")[: limit * 2].decode("utf-16-le", "ignore")


def _identity(value: Any) -> str:
    """The request id is never cut: a cut one could be another request's."""
    if type(value) is not str or not 0 < len(value) <= LENGTHS["request_id"]:
        raise ValueError(f"not a request id: {value!r:.50}")
    if not value.isascii() or not value.isprintable():
        raise ValueError("not a request id")
    return value


def _count(limit: int, *, optional: bool = False) -> Check:
    def check(value: Any) -> int | None:
        if value is None and optional:
            return None
        if type(value) is float:
            value = round(value)
        if type(value) is not int or not 0 <= value <= limit:
            raise ValueError(f"not a number from 0 to {limit}: {value!r:.50}")
        return value

    return check


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"not true or false: {value!r:.50}")
    return value


def _moment(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < LAST_MOMENT:
        raise ValueError(f"not a time: {value!r:.50}")
    return float(value)


def _money(value: Any) -> str | None:
    if value is None:
        return None
    if type(value) is not str:
        raise ValueError(f"not an amount: {value!r:.50}")
    amount = Decimal(value)
    if not amount.is_finite() or abs(amount) >= MONEY_MAX:
        raise ValueError(f"not an amount below {MONEY_MAX}: {value:.50}")
    return f"{amount.quantize(MONEY_STEP):f}"


def _ratio(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"not a finite number: {value!r:.50}")
    return float(value)


def _pairs(value: Any) -> list[tuple[int, int]]:
    if type(value) is not list:
        raise ValueError(f"not a list: {value!r:.50}")
    pairs = [(first, second) for first, second in value]
    if any(type(number) is not int for pair in pairs for number in pair):
        raise ValueError(f"not pairs of numbers: {value!r:.50}")
    return pairs


_CHECKS: dict[str, Check] = {
    **{name: _text(limit) for name, limit in LENGTHS.items()},
    **{
        field.name: _count(COUNT_MAX)
        for field in msgspec.structs.fields(UsageRow)
        if field.name.endswith("_tokens")
    },
    "request_id": _identity,
    "created_at": _moment,
    "status_code": _count(SMALL_MAX),
    "attempts": _count(SMALL_MAX),
    "stream": _flag,
    "usage_estimated": _flag,
    "cost": _money,
    "saved_cost": _money,
    "routing_saved": _money,
    "overhead_ms": _ratio,
    "latency_ms": _count(COUNT_MAX),
    "ttft_ms": _count(COUNT_MAX, optional=True),
    "cache_similarity": _ratio,
    "holds": _pairs,
}
