"""What is wrong with a budget that somebody writes down. Pure.

A budget that can never match, never act or never end is a mistake that nobody notices until
the bill comes, so it is refused where it is made.
"""

import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from tokenwatch.globs import matches_nothing

HIGHEST = Decimal(900_000_000)
"""Largest limit in US dollars: what a 64-bit integer holds of ten-billionths."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A budget as it was written down; None where a field could not even be read."""

    scope: str
    pattern: str
    unit: str
    limit: Decimal | None
    time_zone: str
    action: str
    threshold: int | None
    webhook_url: str
    active: bool = True
    killed: bool = False


def problems(draft: Draft) -> dict[str, str]:
    """What is wrong, by field, each as a sentence that says what to do; empty if all is well."""
    found = {
        "pattern": _pattern(draft),
        "limit": _limit(draft),
        "time_zone": _time_zone(draft.time_zone),
        "threshold": _threshold(draft.threshold),
        "webhook_url": _webhook_url(draft),
        "killed": _killed(draft),
    }
    return {field: problem for field, problem in found.items() if problem}


def _pattern(draft: Draft) -> str:
    pattern = draft.pattern
    if draft.scope == "global":
        return "A global budget counts everything: leave this empty." if pattern else ""
    if not pattern.strip():
        return f"Name the {draft.scope}, or give a pattern such as search-*."
    if pattern != pattern.strip():
        return "Names never begin or end with a space: take it away."
    if any(unicodedata.category(sign).startswith("C") for sign in pattern):
        return "Names never hold control characters: take them away."
    if matches_nothing(pattern):
        return "This pattern matches nothing: a range in brackets goes from low to high."
    return ""


def _limit(draft: Draft) -> str:
    limit = draft.limit
    if limit is None:
        return ""
    if limit <= 0:
        return "The limit must be above 0. To block everything, use the kill switch."
    if draft.unit == "tokens" and limit != limit.to_integral_value():
        return "Tokens are counted whole: give a whole number."
    if draft.unit == "usd" and limit > HIGHEST:
        return f"The limit must be at most ${HIGHEST:,}."
    return ""


def _killed(draft: Draft) -> str:
    if draft.active or not draft.killed:
        return ""
    return "A budget that is not active blocks nothing: activate it, or take the kill switch back."


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _time_zone(name: str) -> str:
    if name in _zones():
        return ""
    return f"There is no time zone {name!r}. Examples: UTC, Europe/Berlin, America/New_York."


def _threshold(threshold: int | None) -> str:
    if threshold is None or 1 <= threshold <= 100:
        return ""
    return "The warning threshold is a per cent of the limit: 1 to 100."


def _webhook_url(draft: Draft) -> str:
    url = draft.webhook_url
    if not url:
        needed = "A budget that notifies needs an address to notify."
        return needed if draft.action == "notify" else ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "This is no URL."
    if parts.scheme not in ("http", "https"):
        return "Webhooks go to http:// or https:// addresses."
    if not parts.hostname or port == 0 or any(sign.isspace() for sign in url):
        return "This is no URL: https://host/path."
    return ""
