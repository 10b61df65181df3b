"""The report of an A/B test: its rows in, figures and a verdict out.

What counts: requests that one upstream was asked for once, by the test's choice alone. Cache
hits, routed requests, those that failed over and those that were refused before anything was
sent are left out, and counted as left out.

The first `LIMIT` rows are read, in the order in which they were stored. What has been read once
is read again at the next look, which the verdict's promise needs; and past so many rows the
figures are known well enough. How it fails: the database's errors are passed on.
"""

import math
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Max, Min, OuterRef, Q, Subquery

from experiments.assign import A, B
from experiments.models import ABFeedback, ABTest
from experiments.verdict import Verdict, verdict

if TYPE_CHECKING:
    from experiments.statistics import Comparison, Observations

LIMIT = 200_000
"""Rows that are read for a report."""
CHUNK = 5_000
LABELS_SHOWN = 20
VARIANTS = (A, B)

COUNTED = Q(cache_tier="", routing_rule="", attempts=1)
COLUMNS = (
    "id",
    "session_id",
    "latency_ms",
    "ttft_ms",
    "output_tokens",
    "cost",
    "status_code",
    "error_type",
    "rating",
    "labels",
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A variant's requests that do not count, by why."""

    cache_hits: int
    routed: int
    failed_over: int
    not_sent: int

    @property
    def total(self) -> int:
        return self.cache_hits + self.routed + self.failed_over + self.not_sent


@dataclass(frozen=True, slots=True)
class Report:
    """What a test's requests say."""

    test: ABTest
    first: datetime | None
    """Arrival of the first request that counts."""
    last: datetime | None
    comparison: "Comparison"
    verdict: Verdict
    left_out: dict[str, LeftOut]
    """By variant."""
    labels: dict[str, list[tuple[str, int]]]
    """By variant, the most frequent first."""
    read: int | None
    """How many of its rows were read; None where all were."""

    @property
    def notes(self) -> list[str]:
        """What to know of the figures."""
        if self.read is None or self.last is None:
            return []
        return [
            f"The test's first {self.read:,} requests were read, until "
            f"{self.last:%Y-%m-%d %H:%M} UTC; later ones would change little."
        ]


def report(test: ABTest, limit: int = LIMIT) -> Report:
    """Read a test's rows, at most ``limit``, and judge them."""
    from experiments.statistics import MIN_UNITS, compare  # numpy and scipy: only where needed

    rows = {variant: _Rows.read(test, variant, limit) for variant in VARIANTS}
    last_id = _boundary(rows, limit)
    comparison = compare(
        rows[A].observations(last_id), rows[B].observations(last_id), float(test.share_a) / 100
    )
    around = _around(test, last_id)
    return Report(
        test=test,
        first=min((one["first"] for one in around.values() if one["first"]), default=None),
        last=max((one["last"] for one in around.values() if one["last"]), default=None),
        comparison=comparison,
        verdict=verdict(comparison, MIN_UNITS),
        left_out={variant: _left_out(around.get(variant, {})) for variant in VARIANTS},
        labels={variant: rows[variant].labels(last_id) for variant in VARIANTS},
        read=limit if last_id is not None else None,
    )


def as_dict(found: Report) -> dict[str, Any]:
    """A report for programs. Money in US dollars, durations in milliseconds, rates from 0 to 1;
    null where a figure is unknown or an interval open."""
    test, comparison = found.test, found.comparison
    requests = {A: comparison.requests_a, B: comparison.requests_b}
    unpriced = {A: comparison.unpriced_a, B: comparison.unpriced_b}
    sessions = {A: comparison.split.sessions_a, B: comparison.split.sessions_b}
    models = {A: test.model_a, B: test.model_b}
    return {
        "test": test.name,
        "status": test.status,
        "share_a": float(test.share_a) / 100,
        "first": found.first,
        "last": found.last,
        "variants": {
            variant: {
                "model": models[variant],
                "requests": requests[variant],
                "sessions": sessions[variant],
                "unpriced": unpriced[variant],
                "left_out": asdict(found.left_out[variant]),
                "labels": dict(found.labels[variant]),
            }
            for variant in VARIANTS
        },
        "metrics": [{**asdict(row), "winner": row.winner or None} for row in comparison.rows],
        "split": {"p": comparison.split.p, "uneven": comparison.split.uneven},
        "verdict": {
            "state": found.verdict.state,
            "winner": found.verdict.winner or None,
            "text": found.verdict.text,
        },
        "notes": found.notes,
    }


class _Rows:
    """One variant's rows that count, in columns: a tenth of what tuples would take."""

    def __init__(self) -> None:
        self.ids = array("q")
        self._units = array("q")
        self._columns = [array("d") for _ in range(6)]
        self._sessions: dict[str, int] = {}
        self._said: list[tuple[int, str]] = []
        self._alone = 0

    @classmethod
    def read(cls, test: ABTest, variant: str, limit: int) -> "_Rows":
        """The first rows, and one more where there are more than ``limit``."""
        said = ABFeedback.objects.filter(request_id=OuterRef("request_id")).order_by()
        found = (
            test.rows()
            .filter(COUNTED, ab_variant=variant)
            .annotate(
                rating=Subquery(said.values("rating")), labels=Subquery(said.values("labels"))
            )
            .order_by("id")
            .values_list(*COLUMNS)[: limit + 1]
        )
        rows = cls()
        for row in found.iterator(chunk_size=CHUNK):
            rows._add(*row)
        return rows

    def _add(
        self,
        pk: int,
        session: str | None,
        latency: int,
        ttft: int | None,
        tokens: int,
        cost: Any,
        status: int,
        error: str | None,
        rating: Any,
        labels: str | None,
    ) -> None:
        self.ids.append(pk)
        self._units.append(self._unit(session))
        failed = status >= 400 or bool(error)
        for column, value in zip(
            self._columns, (latency, ttft, tokens, cost, failed, rating), strict=True
        ):
            column.append(math.nan if value is None else float(value))
        if labels:
            self._said.append((pk, labels))

    def _unit(self, session: str | None) -> int:
        """The session's number: even; a request without one has an odd number of its own."""
        if session:
            return self._sessions.setdefault(session, 2 * len(self._sessions))
        self._alone += 1
        return 2 * self._alone - 1

    def observations(self, last_id: int | None) -> "Observations":
        """The rows up to an id as arrays."""
        import numpy as np

        from experiments.statistics import Observations

        count = len(self.ids)
        if last_id is not None:
            count = int(np.searchsorted(np.asarray(self.ids), last_id, side="right"))
        units = np.asarray(self._units, dtype=np.int64)[:count]
        return Observations(units, *(np.asarray(column)[:count] for column in self._columns))

    def labels(self, last_id: int | None) -> list[tuple[str, int]]:
        counts: Counter[str] = Counter()
        for pk, labels in self._said:
            if last_id is None or pk <= last_id:
                counts.update(labels.split("\n"))
        return counts.most_common(LABELS_SHOWN)


def _boundary(rows: Mapping[str, _Rows], limit: int) -> int | None:
    """The id up to which both variants' rows are read, so that both stand for the same time;
    None where all are."""
    ids = sorted([*rows[A].ids, *rows[B].ids])
    return ids[limit - 1] if len(ids) > limit else None


def _around(test: ABTest, last_id: int | None) -> dict[str, dict[str, Any]]:
    """By variant: when its requests came, and how many do not count, by why."""
    hit, routed = ~Q(cache_tier=""), Q(cache_tier="") & ~Q(routing_rule="")
    sent = Q(cache_tier="", routing_rule="")
    rows = test.rows() if last_id is None else test.rows().filter(id__lte=last_id)
    found = rows.values("ab_variant").annotate(
        first=Min("created_at", filter=COUNTED),
        last=Max("created_at", filter=COUNTED),
        cache_hits=Count("pk", filter=hit),
        routed=Count("pk", filter=routed),
        failed_over=Count("pk", filter=sent & Q(attempts__gt=1)),
        not_sent=Count("pk", filter=sent & Q(attempts=0)),
    )
    return {one["ab_variant"]: one for one in found}


def _left_out(counts: Mapping[str, Any]) -> LeftOut:
    return LeftOut(
        *(counts.get(name, 0) for name in ("cache_hits", "routed", "failed_over", "not_sent"))
    )
