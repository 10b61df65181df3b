"""The live feed's events: what one says, and which ones a page asked for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

COLUMNS = (
    "id",
    "request_id",
    "created_at",
    "source_app",
    "session_id",
    "feature_tag",
    "model_requested",
    "model_used",
    "status_code",
    "error_type",
    "input_tokens",
    "output_tokens",
    "usage_estimated",
    "cache_tier",
    "cost",
    "latency_ms",
)
FILTERS = ("model", "app", "tag", "session", "status", "cache", "cost")
NONE = "(none)"
_NAMES = {"app": "source_app", "tag": "feature_tag", "session": "session_id"}
MOST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Want:
    """What a page asks of the feed."""

    filters: Mapping[str, str] = field(default_factory=dict)
    after: int | None = None
    """The highest id that it has seen: what came since is sent at once."""


def read_want(message: Any) -> Want:
    """A page's message.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(message, dict) or message.get("type") != "want":
        raise ValueError("expected an object of type want")
    filters = message.get("filters", {})
    after = message.get("after")
    if not isinstance(filters, dict) or not all(
        name in FILTERS and isinstance(value, str) and len(value) <= MOST_TEXT
        for name, value in filters.items()
    ):
        raise ValueError("filters: expected names and texts")
    if after is not None and (type(after) is not int or not 0 <= after < 2**63):
        raise ValueError("after: expected an id")
    return Want(filters, after)


def event(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the ledger (`COLUMNS`) as JSON values."""
    return {name: _plain(row[name]) for name in COLUMNS}


def matches(found: Mapping[str, Any], filters: Mapping[str, str]) -> bool:
    """Whether an event is of a view; as `usage.listing` filters rows."""
    return all(_matches(found, name, value) for name, value in filters.items())


def _matches(found: Mapping[str, Any], name: str, value: str) -> bool:
    if name == "status":
        status, error = found["status_code"], found["error_type"]
        failed = status >= 400 or bool(error)
        if value in ("4xx", "5xx"):
            return bool(status // 100 == int(value[0]))
        return failed == (value == "error")
    if name == "cache":
        return bool(found["cache_tier"]) == (value == "hit")
    if name == "cost":
        return found["cost"] is None if value == "unknown" else bool(found["usage_estimated"])
    wanted = "" if value == NONE else value
    if name == "model":
        return (found["model_used"] or found["model_requested"]) == wanted
    return bool(found[_NAMES[name]] == wanted)


def _plain(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return f"{value:.10f}"
    return value
