"""Which stored prompts a replay takes, what it would cost, and making a run of them.

How it fails: `ReplayError` says in one line why there is nothing to replay; the database's
errors are passed on.
"""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from experiments.prompt_models import ReplayResult, ReplayRun, StoredPrompt
from experiments.replay_rules import KINDS, native_dialect
from tokenwatch.tokens import TokenUsage
from usage.models import UsageRecord
from usage.pricebook import PriceBook

APP = "replay"
"""What replays call themselves; their own prompts are not replayed unless that app is asked for."""
CHUNK = 500
SEEN_DAYS = 30


class ReplayError(Exception):
    """A replay cannot begin or go on; the text is one line for the user."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be replayed."""

    source_model: str
    target_model: str
    since: datetime | None = None
    until: datetime | None = None
    app: str = ""
    tag: str = ""
    limit: int = 0
    """0: all."""
    judge_model: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The prompts that can be replayed, the newest first, and how many cannot, by reason."""

    request_ids: list[str]
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a replay would take: the originals' tokens at the target's price."""

    prompts: int
    left_out: dict[str, int]
    input_tokens: int
    output_tokens: int
    original_cost: Decimal | None
    cost: Decimal | None
    """US dollars; None where the target's price is unknown."""


def select(wish: Wish, now: datetime) -> Selection:
    """Find the prompts.

    Raises:
        ReplayError: none can be replayed.
    """
    rows = list(_matching(wish).values_list("request_id", "api_type", "media", "request_whole"))
    if not rows:
        raise ReplayError(f"no stored prompts of {wish.source_model} match{_hint(wish)}")
    foreign = _foreign_dialects({row[1] for row in rows}, wish.target_model, now)
    left_out: dict[str, int] = {}
    chosen: list[str] = []
    for request_id, api_type, media, whole in rows:
        reason = ""
        if api_type in foreign:
            reason = f"written in the {api_type} dialect, which {wish.target_model} does not speak"
        elif media:
            reason = "images or files, of which only the hash is kept"
        elif not whole:
            reason = "too long to be kept"
        if reason:
            left_out[reason] = left_out.get(reason, 0) + 1
        else:
            chosen.append(request_id)
    if not chosen:
        reasons = "; ".join(f"{number} {reason}" for reason, number in left_out.items())
        raise ReplayError(f"none of the stored prompts can be replayed: {reasons}")
    return Selection(chosen, left_out)


def _matching(wish: Wish) -> QuerySet[StoredPrompt]:
    rows = StoredPrompt.objects.filter(
        Q(model=wish.source_model) | Q(model_used=wish.source_model),
        kind__in=KINDS,
        status_code__gte=200,
        status_code__lt=300,
    )
    if wish.since is not None:
        rows = rows.filter(created_at__gte=wish.since)
    if wish.until is not None:
        rows = rows.filter(created_at__lt=wish.until)
    if wish.app:
        rows = rows.filter(app=wish.app)
    if wish.tag:
        rows = rows.filter(tag=wish.tag)
    if APP not in (wish.app, wish.tag):
        rows = rows.exclude(app=APP)
    rows = rows.order_by("-created_at", "-id")
    return rows[: wish.limit] if wish.limit else rows


def _hint(wish: Wish) -> str:
    if StoredPrompt.objects.exists():
        return ""
    return ": none are stored at all (TOKENWATCH_STORE_PROMPTS)"


def _foreign_dialects(api_types: set[str], target: str, now: datetime) -> set[str]:
    """The dialects in which the target cannot be asked: not its provider's own, and never
    answered in by it, as the ledger of the past `SEEN_DAYS` days has it."""
    native = native_dialect(target)
    others = {api_type for api_type in api_types if native and api_type != native}
    return {api_type for api_type in others if not _has_answered(api_type, target, now)}


def _has_answered(api_type: str, model: str, now: datetime) -> bool:
    return UsageRecord.objects.filter(
        Q(model_requested=model) | Q(model_used=model),
        api_type=api_type,
        created_at__gte=now - timedelta(days=SEEN_DAYS),
        status_code__lt=300,
    ).exists()


def chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Oracle takes no more than 1,000 values in one IN list."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def ledger_rows(request_ids: Sequence[str]) -> dict[str, UsageRecord]:
    """The ledger's rows by request id."""
    found: dict[str, UsageRecord] = {}
    for part in chunks(request_ids):
        for row in UsageRecord.objects.filter(request_id__in=part).order_by():
            found[row.request_id] = row
    return found


def estimate(wish: Wish, selection: Selection, prices: PriceBook, now: datetime) -> Estimate:
    """What the replay would cost."""
    rows = ledger_rows(selection.request_ids).values()
    cost: Decimal | None = Decimal(0)
    for row in rows:
        one = prices.cost(
            wish.target_model,
            _usage(row),
            api_type=row.api_type,
            base_url="",
            at=now.timestamp(),
        )
        cost = None if cost is None or one is None else cost + one
    known = [row.cost for row in rows if row.cost is not None]
    return Estimate(
        prompts=len(selection.request_ids),
        left_out=selection.left_out,
        input_tokens=sum(_prompt_tokens(row) for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        original_cost=sum(known, Decimal(0)) if len(known) == len(rows) else None,
        cost=cost if rows else None,
    )


def _prompt_tokens(row: UsageRecord) -> int:
    return (
        row.input_tokens
        + row.cache_read_tokens
        + row.cache_write_tokens
        + row.cache_write_1h_tokens
    )


def _usage(row: UsageRecord) -> TokenUsage:
    """At full input price: another model has nothing of the prompt in its cache."""
    return TokenUsage(input=_prompt_tokens(row), output=row.output_tokens)


def create(wish: Wish, selection: Selection, now: datetime) -> ReplayRun:
    """Make a run, ready to begin."""
    originals = ledger_rows(selection.request_ids)
    with transaction.atomic():
        run = ReplayRun.objects.create(
            key=secrets.token_hex(6),
            created_at=now,
            source_model=wish.source_model,
            target_model=wish.target_model,
            judge_model=wish.judge_model,
            url=wish.url,
            selection=_described(wish),
            prompts=len(selection.request_ids),
            left_out=sum(selection.left_out.values()),
        )
        for part in chunks(selection.request_ids):
            ReplayResult.objects.bulk_create(
                _result(run, request_id, originals.get(request_id)) for request_id in part
            )
    return run


def _result(run: ReplayRun, request_id: str, row: UsageRecord | None) -> ReplayResult:
    result = ReplayResult(run=run, request_id=request_id)
    if row is not None:
        result.original_cost = row.cost
        result.original_input = _prompt_tokens(row)
        result.original_output = row.output_tokens
        result.original_latency_ms = row.latency_ms
    return result


def _described(wish: Wish) -> str:
    chosen: dict[str, Any] = {
        "from": wish.since.isoformat() if wish.since else None,
        "to": wish.until.isoformat() if wish.until else None,
        "app": wish.app,
        "tag": wish.tag,
        "limit": wish.limit,
    }
    return json.dumps({name: value for name, value in chosen.items() if value})[:1000]
