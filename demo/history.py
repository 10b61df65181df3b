"""Plausible history for the ledger: rows and their rollups, written fast.

What several apps would have asked over some weeks: busier by day than by night and on working
days, a growing app, outages of a provider, cached answers, models without a price. The rows go
through the same arithmetic of rollups as real ones (`usage.rollups`, `usage.timings`), so every
page agrees with itself. Pure but for `fill`.
"""

import math
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from usage import writer
from usage.rollups import HOUR, MINUTE, Delta, deltas
from usage.rows import UsageRow
from usage.timings import TimingDelta, timing_deltas

BATCH = 20_000
MINUTES_KEPT = 8 * 24 * HOUR
"""How far back rollups by minute are worth having."""


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    """As it is asked for."""
    served: str
    provider: str
    input: float
    """US dollars for a million tokens; below 0: no price is known."""
    output: float
    pace: float
    """Median latency in milliseconds."""


@dataclass(frozen=True, slots=True)
class App:
    name: str
    models: tuple[int, ...]
    """Indexes of `MODELS`, the favourite first."""
    tags: tuple[str, ...]
    weight: float
    prompt: int
    """Median prompt in tokens."""
    answer: int
    growth: float = 0.0
    """By so much busier at the end than at the beginning."""
    streams: float = 0.5


MODELS = (
    Model("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "openai", 0.15, 0.60, 700),
    Model("gpt-4o", "gpt-4o-2024-08-06", "openai", 2.50, 10.00, 1500),
    Model("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "anthropic", 3.00, 15.00, 4200),
    Model("claude-opus-4-6", "claude-opus-4-6", "anthropic", 5.00, 25.00, 7500),
    Model("claude-haiku-4-5", "claude-haiku-4-5-20251001", "anthropic", 1.00, 5.00, 900),
    Model("gpt-5-mini", "gpt-5-mini-2025-08-07", "openai", 0.25, 2.00, 2600),
    Model("o3-mini", "o3-mini-2025-01-31", "openai", 1.10, 4.40, 5200),
    Model("text-embedding-3-small", "text-embedding-3-small", "openai", 0.02, 0.0, 120),
    Model("glm-4.7", "glm-4.7", "openai", 0.60, 2.20, 1900),
    Model("acme-small", "acme-small", "openai", -1.0, -1.0, 300),
)
APPS = (
    App("support-bot", (0, 1), ("triage", "reply", "summary"), 6, 900, 180),
    App("coding-agent", (2, 3), ("edit", "review"), 5, 9000, 700, 0.8, 0.95),
    App("release-notes", (4,), ("draft", "translate"), 2, 2500, 400),
    App("analytics", (5, 6), ("report", "sql"), 3, 3200, 600),
    App("search", (7,), ("index", "query"), 5, 300, 0, 0.3, 0.0),
    App("newsletter", (8, 9), ("subject", ""), 1, 700, 60),
    App("meeting-notes", (0, 4), ("transcript", "actions"), 2, 5200, 350),
    App("", (0,), ("",), 0.6, 500, 150),
)
AB_TEST, AB_APP = "support: mini or 4o", "support-bot"
AB_FROM = 0.6
"""From this part of the period on, the app's sessions are split."""
ERRORS = ((429, "rate_limit_error"), (529, "overloaded_error"), (500, "api_error"))


def busy(moment: float) -> float:
    """How busy an hour is: working hours, working days. 0.05 to 1."""
    when = datetime.fromtimestamp(moment, UTC)
    hour = when.hour + when.minute / 60
    day = 0.25 if when.weekday() >= 5 else 1.0
    return max(0.05, day * (0.15 + 0.85 * math.exp(-(((hour - 13.5) / 4.2) ** 2))))


def arrivals(count: int, start: float, end: float, draw: random.Random) -> list[float]:
    """About ``count`` moments between two, oldest first, in proportion to `busy`."""
    hours = [start + HOUR * number for number in range(max(1, math.ceil((end - start) / HOUR)))]
    weights = [busy(hour) * (0.8 + 0.4 * draw.random()) for hour in hours]
    total, found = sum(weights), []
    carried = 0.0
    for hour, weight in zip(hours, weights, strict=True):
        carried += count * weight / total
        length = min(HOUR, end - hour)
        found += sorted(hour + length * draw.random() for _ in range(int(carried)))
        carried -= int(carried)
    return found


def rows(count: int, start: float, end: float, seed: int = 7) -> Iterator[UsageRow]:
    """Requests between two moments, oldest first; the same ones for the same seed."""
    draw = random.Random(seed)
    outage = start + (end - start) * 0.72
    for number, moment in enumerate(arrivals(count, start, end, draw)):
        yield _row(draw, moment, number, (moment - start) / (end - start), outage)


def _row(draw: random.Random, moment: float, number: int, age: float, outage: float) -> UsageRow:
    weights = [app.weight * (1 + app.growth * age) for app in APPS]
    app = draw.choices(APPS, weights)[0]
    model = MODELS[app.models[0 if draw.random() < 0.7 else -1]]
    session = f"{app.name}-{int(moment // 1800) % 4096:x}{draw.randrange(4)}" if app.name else ""
    variant = ""
    if app.name == AB_APP and age > AB_FROM:
        variant = "A" if zlib.crc32(session.encode()) % 2 else "B"
        model = MODELS[app.models[0 if variant == "A" else 1]]
    broken = abs(moment - outage) < 2400 and model.provider == "anthropic" and draw.random() < 0.6
    row = UsageRow(
        request_id=f"{int(moment * 1000):012x}{number & 0xFFFFFFFF:08x}{draw.getrandbits(48):012x}",
        created_at=moment,
        api_type=model.provider,
        method="POST",
        endpoint="v1/messages" if model.provider == "anthropic" else "v1/chat/completions",
        model_requested=model.name,
        model_used=model.served,
        upstream=model.provider,
        status_code=200,
        stream=draw.random() < app.streams,
        source_app=app.name,
        session_id=session if variant or draw.random() < 0.8 else "",
        ab_test=AB_TEST if variant else "",
        ab_variant=variant,
        feature_tag=draw.choice(app.tags),
        overhead_ms=round(draw.lognormvariate(-0.9, 0.5), 3),
        attempts=1,
    )
    if broken or draw.random() < 0.012:
        return _failed(row, draw, broken=broken)
    if draw.random() < 0.09:
        return _cached(row, app, model, draw)
    _answered(row, app, model, draw)
    return row


def _failed(row: UsageRow, draw: random.Random, *, broken: bool) -> UsageRow:
    row.status_code, row.error_type = ERRORS[1] if broken else draw.choice(ERRORS)
    row.latency_ms = int(draw.lognormvariate(5, 0.6))
    row.cost = "0.0000000000"
    return row


def _tokens(row: UsageRow, app: App, draw: random.Random) -> None:
    prompt = int(draw.lognormvariate(math.log(app.prompt), 0.7))
    read = int(prompt * 0.7) if app.prompt > 2000 and draw.random() < 0.6 else 0
    row.input_tokens, row.cache_read_tokens = prompt - read, read
    if read and draw.random() < 0.2:
        row.cache_write_tokens = prompt // 6
    row.output_tokens = int(draw.lognormvariate(math.log(app.answer), 0.6)) if app.answer else 0
    row.usage_estimated = row.stream and draw.random() < 0.01


def _answered(row: UsageRow, app: App, model: Model, draw: random.Random) -> None:
    _tokens(row, app, draw)
    row.latency_ms = int(draw.lognormvariate(math.log(model.pace), 0.55))
    if row.stream:
        row.ttft_ms = row.latency_ms // 6
    row.finish_reason = "stop"
    row.cost = _cost(row, model)


def _cached(row: UsageRow, app: App, model: Model, draw: random.Random) -> UsageRow:
    _tokens(row, app, draw)
    row.cache_tier = "exact" if draw.random() < 0.6 else "semantic"
    if row.cache_tier == "semantic":
        row.cache_similarity = round(draw.random() * 0.05, 4)
    row.latency_ms, row.attempts, row.upstream = draw.randint(1, 6), 0, ""
    row.saved_cost, row.cost = _cost(row, model), "0.0000000000"
    return row


def _cost(row: UsageRow, model: Model) -> str | None:
    if model.input < 0:
        return None
    prompt = row.input_tokens + row.cache_read_tokens * 0.1 + row.cache_write_tokens * 1.25
    return f"{(prompt * model.input + row.output_tokens * model.output) / 1e6:.10f}"


def fill(
    found: Iterator[UsageRow], now: float, progress: Callable[[int], None] = lambda _: None
) -> int:
    """Write rows that come oldest first, and their rollups; how many there were.

    Raises:
        django.db.Error: the database refuses; batches before stay.
    """
    stored = 0
    for batch in _batches(found):
        with transaction.atomic():
            writer.insert_rows(batch)
            writer.add_rollups(
                [delta for delta in deltas(batch) if _kept(delta, now)],
                [delta for delta in timing_deltas(batch) if _kept(delta, now)],
            )
        stored += len(batch)
        progress(stored)
    return stored


def _kept(delta: Delta | TimingDelta, now: float) -> bool:
    bucket = delta.bucket
    return bucket.seconds != MINUTE or bucket.start // HOUR * HOUR >= now - MINUTES_KEPT


def _batches(found: Iterator[UsageRow]) -> Iterator[list[UsageRow]]:
    """Batches of about `BATCH` rows."""
    batch: list[UsageRow] = []
    for row in found:
        batch.append(row)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
