"""The rows of a replay while it works: who works at a run, which prompts were sent.

A prompt is claimed by one conditional update before it is sent, so that it is sent once,
whoever else works. How it fails: a prompt whose sender died in between stays claimed; `settle`
finds in the ledger, by the session that was sent with it, what became of it. The database's
errors are passed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction
from django.db.models import Q

from experiments.prompt_models import (
    PromptText,
    ReplayAnswer,
    ReplayResult,
    ReplayRun,
    ResultState,
    RunState,
    StoredPrompt,
)
from experiments.replay_plan import ReplayError, chunks
from experiments.replay_rules import compare, parsed
from usage.models import UsageRecord

LOOK_AHEAD = 50


@dataclass(frozen=True, slots=True)
class Item:
    """A claimed prompt."""

    id: int
    request_id: str
    session: str
    api_type: str = ""
    endpoint: str = ""
    kind: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    request: str = ""
    """Empty where the prompt is gone."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came back for a prompt."""

    status: int
    body: str
    replay_id: str = ""
    cost: str = ""
    input_tokens: str = ""
    output_tokens: str = ""
    latency_ms: int | None = None
    error: str = ""


# Runs


def run_of(pk: int) -> ReplayRun:
    """
    Raises:
        ReplayError: there is no such run.
    """
    run = ReplayRun.objects.filter(pk=pk).first() if 0 < pk < 2**63 else None
    if run is None:
        raise ReplayError(f"there is no replay run {pk}")
    return run


def take(pk: int, runner: str, now: datetime, stale_after: float) -> bool:
    """Become the one that works at a run; False while somebody else is alive and does."""
    stale = now - timedelta(seconds=stale_after)
    free = Q(runner="") | Q(alive_at__isnull=True) | Q(alive_at__lt=stale)
    taken = ReplayRun.objects.filter(free, pk=pk).update(
        runner=runner, alive_at=now, state=RunState.RUNNING, note="", finished_at=None
    )
    return taken == 1


def alive(pk: int, runner: str, now: datetime) -> bool:
    """Give a sign of life; False where another one has taken the run over."""
    return ReplayRun.objects.filter(pk=pk, runner=runner).update(alive_at=now) == 1


def leave(pk: int, runner: str, state: RunState, note: str, now: datetime) -> None:
    """Stop working at a run."""
    finished = now if state == RunState.FINISHED else None
    ReplayRun.objects.filter(pk=pk, runner=runner).update(
        runner="", state=state, note=note[:500], finished_at=finished
    )


# Prompts


def claim(run: ReplayRun) -> Item | None:
    """The next prompt, claimed; None where none is left to send."""
    while True:
        waiting = ReplayResult.objects.filter(run=run, state=ResultState.PENDING)
        ids = list(waiting.order_by("id").values_list("pk", flat=True)[:LOOK_AHEAD])
        if not ids:
            return None
        for pk in ids:
            claimed = ReplayResult.objects.filter(pk=pk, state=ResultState.PENDING)
            if claimed.update(state=ResultState.SENDING) == 1:
                return item_of(run, pk)


def session_of(run: ReplayRun, pk: int) -> str:
    """The session under which the ledger knows a prompt of a run."""
    return f"replay-{run.key}-{pk}"


def item_of(run: ReplayRun, pk: int) -> Item:
    """A prompt of a run, as it is sent."""
    request_id = ReplayResult.objects.values_list("request_id", flat=True).get(pk=pk)
    session = session_of(run, pk)
    prompt = StoredPrompt.objects.filter(request_id=request_id).first()
    if prompt is None:
        return Item(pk, request_id, session)
    text = PromptText.objects.filter(prompt=prompt).values_list("request_body", flat=True).first()
    headers = parsed(prompt.api_headers or "")
    return Item(
        pk,
        request_id,
        session,
        prompt.api_type,
        prompt.endpoint,
        prompt.kind or "",
        headers if isinstance(headers, dict) else {},
        text or "",
    )


def unclaim(pk: int) -> None:
    """Put a prompt back that certainly was not sent to a provider."""
    ReplayResult.objects.filter(pk=pk, state=ResultState.SENDING).update(state=ResultState.PENDING)


def record(pk: int, request_id: str, sent: Sent, now: datetime) -> None:
    """Store what came back for a claimed prompt."""
    original = parsed(original_answer(request_id))
    answer = parsed(sent.body)
    ok = 200 <= sent.status < 300
    values: dict[str, Any] = {
        "state": ResultState.DONE,
        "replay_id": sent.replay_id[:32],
        "status_code": sent.status or None,
        "error": sent.error[:500],
        "latency_ms": sent.latency_ms,
        "cost": _money(sent.cost),
        "input_tokens": _count(sent.input_tokens),
        "output_tokens": _count(sent.output_tokens),
    }
    if ok and original is not None and answer is not None:
        found = compare(original, answer)
        values["text_ratio"] = found.text_ratio
        values["json_valid"] = found.json_valid
        values["json_equal"] = found.json_equal
        values["tools_equal"] = found.tools_equal
    with transaction.atomic():
        mine = ReplayResult.objects.filter(pk=pk, state=ResultState.SENDING)
        if mine.update(**values) == 1 and sent.body:
            ReplayAnswer.objects.filter(pk=pk).delete()
            ReplayAnswer(result_id=pk, created_at=now, body=sent.body).save(force_insert=True)


def original_answer(request_id: str) -> str:
    """The stored answer to a prompt; empty where it is gone."""
    texts = PromptText.objects.filter(prompt__request_id=request_id)
    return texts.values_list("response_body", flat=True).first() or ""


def _money(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return None


def _count(text: str) -> int | None:
    return int(text) if text.isdigit() else None


# What the ledger knows


def settle(run: ReplayRun, now: datetime) -> int:
    """Record claimed prompts that the ledger knows to have been sent; how many stay unclear."""
    open_ids = list(
        ReplayResult.objects.filter(run=run, state=ResultState.SENDING).values_list(
            "pk", "request_id"
        )
    )
    rows = _by_session([session_of(run, pk) for pk, _ in open_ids])
    unclear = 0
    for pk, request_id in open_ids:
        row = rows.get(session_of(run, pk))
        if row is None:
            unclear += 1
            continue
        kept = original_answer(row.request_id)  # where TokenWatch stores prompts, the answer too
        note = "" if kept else "answered, but the replay was interrupted and the answer is lost"
        status_note = "" if row.status_code < 300 else f"HTTP {row.status_code} {row.error_type}"
        record(
            pk,
            request_id,
            Sent(row.status_code, kept, row.request_id, error=status_note or note),
            now,
        )
    return unclear


def release_unsent(run: ReplayRun) -> int:
    """Put back all claimed prompts: the ledger is complete and does not know them. Where it
    knows none of the run's prompts, TokenWatch writes another ledger: these then count as sent,
    as a prompt must not be sent twice. Returns how many were put back."""
    sending = ReplayResult.objects.filter(run=run, state=ResultState.SENDING)
    if _foreign_ledger(run):
        sending.update(state=ResultState.DONE, error="interrupted: nobody can say if it was sent")
        return 0
    return sending.update(state=ResultState.PENDING)


def _foreign_ledger(run: ReplayRun) -> bool:
    done = ReplayResult.objects.filter(run=run, state=ResultState.DONE).exclude(replay_id="")
    ids = list(done.order_by("id").values_list("replay_id", flat=True)[:LOOK_AHEAD])
    return bool(ids) and not UsageRecord.objects.filter(request_id__in=ids).exists()


def reconcile(run: ReplayRun) -> int:
    """Take cost, tokens and latency of sent prompts from the ledger's rows, which are the
    record; how many have none yet."""
    done = ReplayResult.objects.filter(run=run, state=ResultState.DONE)
    missing = 0
    sent = [result for result in done.order_by("id") if result.replay_id]
    for part in chunks([result.replay_id for result in sent]):
        rows = {row.request_id: row for row in UsageRecord.objects.filter(request_id__in=part)}
        missing += len(part) - len(rows)
        with transaction.atomic():
            for result in sent:
                if (row := rows.get(result.replay_id)) is not None:
                    _take_over(result, row)
    return missing


def _take_over(result: ReplayResult, row: UsageRecord) -> None:
    prompt = row.input_tokens + row.cache_read_tokens
    prompt += row.cache_write_tokens + row.cache_write_1h_tokens
    figures = {
        "cost": row.cost,
        "input_tokens": prompt,
        "output_tokens": row.output_tokens,
        "latency_ms": row.latency_ms,
    }
    if any(getattr(result, name) != value for name, value in figures.items()):
        ReplayResult.objects.filter(pk=result.pk).update(**figures)


def _by_session(sessions: Sequence[str]) -> dict[str, UsageRecord]:
    """Rows of requests that went on to a provider; a refused one was not sent."""
    found: dict[str, UsageRecord] = {}
    for part in chunks(sessions):
        for row in UsageRecord.objects.filter(session_id__in=part, attempts__gt=0).order_by():
            found[row.session_id] = row
    return found
