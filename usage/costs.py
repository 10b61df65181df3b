"""Who spent what: cost by tag, app, model and session over a period.

By tag, app and model from the rollups, so that it does not grow with the rows. Sessions are
too many for rollups: they are summed from the period's rows, the dearest in the database.

How it fails: the database's errors are passed on. An unknown cost stays unknown.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from usage import stats
from usage.models import UsageRecord, UsageRollup
from usage.rollups import HOUR

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
DIMENSIONS: dict[str, stats.Dimension] = {
    "tag": "feature_tag",
    "app": "source_app",
    "model": "model",
}


@dataclass(frozen=True, slots=True)
class Attribution:
    """What one tag, app, model or session caused. ``name`` is empty where none was given."""

    name: str
    requests: int
    unpriced: int
    """Requests whose cost is unknown; ``cost`` leaves them out."""
    tokens: int
    """Input, output, cache reads and cache writes together."""
    cost: Decimal | None
    """US dollars; None where no request's cost is known."""
    saved: Decimal
    """What the cache saved, in US dollars."""
    share: float | None
    """Of the known cost of all requests; None where that is 0."""

    @property
    def average(self) -> Decimal | None:
        """US dollars a request of known cost."""
        priced = self.requests - self.unpriced
        return self.cost / priced if self.cost is not None and priced else None


def by(dimension: str, start: datetime | None, end: datetime) -> list[Attribution]:
    """All tags, apps or models of a period, the dearest first."""
    groups = stats.by(DIMENSIONS[dimension], start, end)
    total = sum((group.totals.cost for group in groups), Decimal(0))
    return [_of_totals(group.name, group.totals, total) for group in groups]


def total(start: datetime | None, end: datetime) -> Attribution:
    """All requests of a period."""
    totals = stats.summary(start, end)
    return _of_totals("", totals, totals.cost)


def _of_totals(name: str, totals: stats.Totals, total: Decimal) -> Attribution:
    return Attribution(
        name=name,
        requests=totals.requests,
        unpriced=totals.unpriced,
        tokens=totals.tokens,
        cost=totals.known_cost,
        saved=totals.saved_cost,
        share=_share(totals.cost, total),
    )


def by_session(
    start: datetime | None, end: datetime, top: int, where: stats.Names | None = None
) -> list[Attribution]:
    """The ``top`` dearest sessions of a period; requests without one are left out.

    ``where`` names the model, app or tag to keep to.
    """
    rows = _rows(start, end, where or {})
    all_cost = rows.aggregate(all=Sum("cost"))["all"] or Decimal(0)
    tokens = sum((F(name) for name in TOKENS), F("cache_write_1h_tokens"))
    zero = Value(Decimal(0), output_field=UsageRecord._meta.get_field("cost"))
    groups = (
        rows.order_by()
        .values("session_id")
        .annotate(
            requests=Count("pk"),
            unpriced=Count("pk", filter=Q(cost__isnull=True)),
            tokens=Sum(tokens),
            known=Coalesce(Sum("cost"), zero),
            saved=Coalesce(Sum("saved_cost"), zero),
        )
        .order_by("-known", "-requests", "session_id")
    )
    # One more, as the requests without a session are among them (NULL on Oracle).
    found = [_of_session(group, all_cost) for group in groups[: top + 1] if group["session_id"]]
    return found[:top]


@dataclass(frozen=True, slots=True)
class Routed:
    """What one routing rule did."""

    rule: str
    requests: int
    cost: Decimal
    saved: Decimal
    """US dollars against the models asked for; below 0 where more was spent."""


def by_rule(
    start: datetime | None, end: datetime, where: stats.Names | None = None
) -> list[Routed]:
    """The routing rules that had hits in a period, the most first. Reads the period's rows."""
    rows = _rows(start, end, where or {}).exclude(routing_rule="")
    groups = (
        rows.order_by()
        .values_list("routing_rule")
        .annotate(Count("pk"), Sum("cost"), Sum("routing_saved"))
    )
    found = [
        Routed(
            rule,
            requests,
            Decimal(cost or 0).quantize(stats.MONEY_STEP),
            Decimal(saved or 0).quantize(stats.MONEY_STEP),
        )
        for rule, requests, cost, saved in groups
        if rule
    ]
    return sorted(found, key=lambda one: (-one.requests, one.rule))


def _rows(start: datetime | None, end: datetime, where: stats.Names) -> QuerySet[UsageRecord]:
    rows = UsageRecord.objects.filter(created_at__lte=end)
    for column, name in where.items():
        if column == "model":  # the one that answered, else the one asked for, as in the rollups
            rows = rows.filter(Q(model_used=name) | Q(model_used="", model_requested=name))
        else:
            rows = rows.filter(**{column: name})
    return rows if start is None else rows.filter(created_at__gte=start)


def _of_session(group: dict, all_cost: Decimal) -> Attribution:
    cost = Decimal(group["known"]).quantize(stats.MONEY_STEP)
    return Attribution(
        name=group["session_id"],
        requests=group["requests"],
        unpriced=group["unpriced"],
        tokens=int(group["tokens"]),
        cost=None if group["unpriced"] == group["requests"] else cost,
        saved=Decimal(group["saved"]).quantize(stats.MONEY_STEP),
        share=_share(cost, Decimal(all_cost)),
    )


def _share(cost: Decimal, total: Decimal) -> float | None:
    return float(cost / total) if total else None


def daily(since: date | None, until: date) -> list[tuple[date, Decimal]]:
    """The cost of each day in UTC from the first with requests, days without any too.

    ``since`` (None: from the beginning) and ``until`` are the first and the last day asked for.
    """
    hours = UsageRollup.objects.filter(bucket_seconds=HOUR)
    if since is not None:
        hours = hours.filter(bucket_start__gte=_midnight(since))
    hours = hours.filter(bucket_start__lt=_midnight(until + timedelta(days=1)))
    sums: dict[date, Decimal] = {}
    rows = hours.order_by().values_list("bucket_start").annotate(Sum("cost"))
    for start, cost in rows:
        sums[start.date()] = sums.get(start.date(), Decimal(0)) + Decimal(cost or 0)
    return [
        (day, sums.get(day, Decimal(0)).quantize(stats.MONEY_STEP)) for day in _days(sums, until)
    ]


def _days(known: Iterable[date], until: date) -> list[date]:
    first = min(known, default=None)
    if first is None:
        return []
    return [first + timedelta(days=number) for number in range((until - first).days + 1)]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
