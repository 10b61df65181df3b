"""One request in full: decision, usage, price line by line, timing, attempts. Read-only.

How it fails: the database's errors are passed on. What was decided is stored as text; text
that is no JSON is shown as it is.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tokenwatch.tokens import TokenUsage
from usage.models import UsageRecord
from usage.pricebook import Explanation, load_price_book

UNIT_NAMES = {
    "input": "Input",
    "cache_read": "Cache read",
    "cache_write": "Cache write (5 minutes)",
    "cache_write_1h": "Cache write (1 hour)",
    "output": "Output",
    "reasoning": "Reasoning",
    "input_audio": "Input audio",
    "output_audio": "Output audio",
    "request": "Request",
}


@dataclass(frozen=True, slots=True)
class PriceLine:
    name: str
    quantity: str
    rate: str
    amount: Decimal
    """US dollars; the lines add up to the request's cost."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection tried; ``sent``: the request went out on it, so it may be billed."""

    upstream: str
    outcome: str
    sent: bool


@dataclass(frozen=True, slots=True)
class Detail:
    record: UsageRecord
    lines: list[PriceLine]
    source: str
    """Where the prices come from, in words."""
    attempts: list[Attempt]
    decision: list[tuple[str, str]]


def detail(record: UsageRecord) -> Detail:
    explained = _explained(record)
    return Detail(
        record,
        _lines(record, explained),
        _source(record, explained),
        list(attempts(record)),
        decision(record.decision),
    )


def _explained(record: UsageRecord) -> Explanation:
    usage = TokenUsage(
        input=record.input_tokens,
        output=record.output_tokens,
        cache_read=record.cache_read_tokens,
        cache_write=record.cache_write_tokens,
        cache_write_1h=record.cache_write_1h_tokens,
        reasoning=record.reasoning_tokens,
        input_audio=record.input_audio_tokens,
        output_audio=record.output_audio_tokens,
    )
    return load_price_book().explain(
        record.model_used or record.model_requested,
        usage,
        api_type=record.api_type,
        at=record.created_at.timestamp(),
        service_tier=record.service_tier,
    )


def _lines(record: UsageRecord, explained: Explanation) -> list[PriceLine]:
    """The bill; what the rows do not say (searches, images, prices changed since) is one line,
    so that the lines always add up to what was booked."""
    if record.cost is None or not record.cost:
        return []
    found = [
        PriceLine(
            UNIT_NAMES.get(line.unit, line.unit.replace("_", " ").capitalize()),
            f"{line.quantity:,}",
            f"${float(line.rate):g} per {line.per}",
            line.amount,
        )
        for line in explained.lines
    ]
    rest = record.cost - sum((line.amount for line in found), Decimal(0))
    if rest:
        found.append(PriceLine("Not itemised, or priced otherwise since", "", "", rest))
    return found


def _source(record: UsageRecord, explained: Explanation) -> str:
    if record.cost is None:
        return explained.unknown or "its price was unknown when it came"
    if not record.cost:
        return "nothing was billed"
    resolved = explained.resolved
    if resolved.row is not None:
        return f"price sheet, row {resolved.row.pattern}"
    return f"catalogue, {resolved.entry.name}" if resolved.entry is not None else ""


def attempts(record: UsageRecord) -> Iterator[Attempt]:
    """The failed ones from the log (``upstream:reason``, ``!`` where sent), then the last."""
    failed = [part for part in record.attempt_log.replace(",", " ").split() if part]
    for part in failed:
        upstream, _, reason = part.rstrip("!").partition(":")
        yield Attempt(upstream, reason or "failed", part.endswith("!"))
    if record.attempts > len(failed):
        ending = f"{record.status_code} {record.error_type}".strip()
        yield Attempt(record.upstream or "configured URL", ending, True)


def decision(text: str) -> list[tuple[str, str]]:
    """What was decided, as names and values."""
    if not text:
        return []
    try:
        found: Any = json.loads(text)
    except ValueError:
        return [("decision", text)]
    if not isinstance(found, dict):
        return [("decision", text)]
    return [(str(name), _words(value)) for name, value in found.items()]


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
