"""What a replay has found so far, and what is found out about it afterwards.

The database's errors are passed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.prompt_models import ReplayAnswer, ReplayResult, ReplayRun, ResultState
from experiments.replay_report import Outcome
from experiments.replay_store import Item, item_of, original_answer


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt."""

    id: int
    item: Item
    original: str
    answer: str


def pairs(run: ReplayRun, pks: Sequence[int]) -> list[Pair]:
    """The texts of these results; those that are gone are left out."""
    found: list[Pair] = []
    for pk in pks:
        answer = ReplayAnswer.objects.filter(pk=pk).values_list("body", flat=True).first()
        if not answer:
            continue
        item = item_of(run, pk)
        found.append(Pair(pk, item, original_answer(item.request_id), answer))
    return found


def to_embed(run: ReplayRun) -> list[int]:
    """Answered prompts whose similarity is not known."""
    return _answered(run, similarity__isnull=True)


def to_judge(run: ReplayRun) -> list[int]:
    """Answered prompts without a verdict."""
    return _answered(run, verdict="")


def _answered(run: ReplayRun, **without: Any) -> list[int]:
    rows = ReplayResult.objects.filter(
        run=run, state=ResultState.DONE, status_code__gte=200, status_code__lt=300, **without
    )
    return list(rows.order_by("id").values_list("pk", flat=True))


def note(pk: int, **values: Any) -> None:
    """Store what was found out about a result afterwards."""
    ReplayResult.objects.filter(pk=pk).update(**values)


def progress(run: ReplayRun) -> tuple[int, int]:
    """How many prompts are done, of how many."""
    rows = ReplayResult.objects.filter(run=run)
    return rows.filter(state=ResultState.DONE).count(), rows.count()


def outcomes(run: ReplayRun) -> list[Outcome]:
    """All prompts of a run, as the report takes them."""
    rows = ReplayResult.objects.filter(run=run).order_by("id")
    return [_outcome(row) for row in rows]


def _outcome(row: ReplayResult) -> Outcome:
    done = row.state == ResultState.DONE and row.status_code is not None
    return Outcome(
        id=row.pk,
        request_id=row.request_id,
        sent=done,
        ok=done and 200 <= (row.status_code or 0) < 300,
        error=row.error or "",
        original_cost=row.original_cost,
        cost=row.cost,
        original_tokens=_sum(row.original_input, row.original_output),
        tokens=_sum(row.input_tokens, row.output_tokens),
        original_latency_ms=row.original_latency_ms,
        latency_ms=row.latency_ms,
        similarity=row.similarity,
        text_ratio=row.text_ratio,
        json_valid=row.json_valid,
        json_equal=row.json_equal,
        tools_equal=row.tools_equal,
        verdict=row.verdict or "",
        judge_score=row.judge_score,
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
