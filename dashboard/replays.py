"""Replay runs as the Experiments tab shows them, and stored prompts on a request's page.

What people wrote to models and got back is shown only to those who may view stored prompts.
How it fails: the database's errors are passed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q

from experiments import replay_results
from experiments.prompt_models import PromptText, ReplayResult, ReplayRun, ResultState
from experiments.replay_report import Outcome, report
from experiments.replay_rules import answer_text, difference, parsed
from experiments.replay_view import bars, figures

MOST = 50
SHOWN = 20_000
"""Characters of a stored text that a page shows."""
MAY_READ = "experiments.view_storedprompt"


@dataclass(frozen=True, slots=True)
class Run:
    """A run and how far it is."""

    run: ReplayRun
    done: int
    total: int

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt, side by side, and the lines that differ."""

    outcome: Outcome
    before: str
    after: str
    lines: Sequence[str]


def runs() -> list[Run]:
    """The newest runs with their progress."""
    found = list(ReplayRun.objects.order_by("-created_at", "-id")[:MOST])
    rows = (
        ReplayResult.objects.filter(run__in=[run.pk for run in found])
        .order_by()
        .values_list("run")
        .annotate(
            done=Count("pk", filter=Q(state=ResultState.DONE)),
            total=Count("pk"),
        )
    )
    counts = {pk: (done, total) for pk, done, total in rows}
    return [Run(run, *counts.get(run.pk, (0, 0))) for run in found]


def shown(run: ReplayRun) -> dict[str, Any]:
    """A run's figures and its least alike answers, without their texts."""
    found = report(replay_results.outcomes(run))
    return {
        "figures": figures(found, run.source_model, run.target_model),
        "bars": bars(found.histogram),
        "worst": found.worst,
        "errors": found.errors.items(),
    }


def pairs(run: ReplayRun, worst: Sequence[Outcome]) -> list[Pair]:
    """The answers of the least alike, side by side."""
    texts = {pair.id: pair for pair in replay_results.pairs(run, [one.id for one in worst])}
    found = []
    for one in worst:
        pair = texts.get(one.id)
        before = answer_text(parsed(pair.original)) if pair else ""
        after = answer_text(parsed(pair.answer)) if pair else ""
        lines = difference(before, after) if pair else []
        found.append(Pair(one, before[:SHOWN], after[:SHOWN], lines))
    return found


def prompt_of(request_id: str) -> PromptText | None:
    """What is stored of a request; None where nothing is."""
    return PromptText.objects.filter(prompt__request_id=request_id).select_related("prompt").first()
