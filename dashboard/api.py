"""The JSON API: the dashboard's figures for scripts. Documented at ``/api/docs``.

Session of a staff user, or ``Authorization: Bearer tw_…`` with an API token. How it fails: a
parameter that is none is refused with 422 and its name; the database's errors are a 500.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from ninja import NinjaAPI, Query
from ninja.errors import HttpError
from ninja.security import HttpBearer
from ninja.security.session import SessionAuthIsStaff

from dashboard import (
    budgets,
    costs,
    experiments,
    overview,
    params,
    replays,
    schemas,
    system,
    tokens,
)
from dashboard.detail import detail
from dashboard.models import ApiToken, Scope
from dashboard.params import Params
from dashboard.period import cuts
from experiments import feedback
from experiments.feedback import FeedbackError, UnknownRequestError
from experiments.models import ABTest
from experiments.report import as_dict, report
from usage import listing, series, stats
from usage.models import UsageRecord

SAFE = ("GET", "HEAD", "OPTIONS")
TOP = 10
FORECAST_WAIT = 20.0
"""Seconds; the first forecast of a day takes some."""


class Token(HttpBearer):
    """An API token; one that may only read is refused where something would change."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        found = tokens.find(token, datetime.now(UTC))
        if found is not None and found.scope != Scope.WRITE and request.method not in SAFE:
            raise HttpError(403, "this API token may only read")
        return found


api = NinjaAPI(
    title="TokenWatch",
    version="1",
    description="What is spent, by whom, and what is wrong. Money: US dollars as decimal text.",
    auth=[Token(), SessionAuthIsStaff()],
    docs_decorator=admin.site.admin_view,
    urls_namespace="api",
)


def asked(query: schemas.ViewQuery) -> Params:
    """The view of a query; 422 with what is wrong."""
    given = query.model_dump(by_alias=True, exclude_none=True)
    texts = {name: str(value) for name, value in given.items()}
    found = params.read(texts, datetime.now(UTC))
    if found.problems:
        raise HttpError(422, "; ".join(found.problems))
    return found


@api.get("/stats", response=schemas.Stats, tags=["usage"])
def get_stats(request: HttpRequest, query: Query[schemas.ViewQuery]) -> Any:
    """The totals of a period, and of the period before."""
    view = asked(query)
    found = overview.figures(view)
    return {
        "start": view.period.start,
        "end": view.period.end,
        "total": found.now,
        "before": found.before,
        "latency_ms": found.latency,
        "overhead_ms": found.overhead,
    }


@api.get("/recent", response=schemas.RequestPage, tags=["usage"])
def get_recent(request: HttpRequest, query: Query[schemas.ListQuery]) -> Any:
    """Requests, newest first, a page at a time."""
    view = asked(query)
    cursor = None
    if query.before is not None:
        try:
            cursor = listing.Cursor.read(query.before)
        except ValueError:
            raise HttpError(422, "before: not a cursor of ours") from None
    found = listing.page(view.wanted, cursor, query.limit)
    return {
        "rows": [plain(row) for row in found.rows],
        "next": str(found.cursor) if found.cursor is not None else None,
        "searched_to": found.searched_to,
    }


@api.get("/timeseries", response=schemas.Timeseries, tags=["usage"])
def get_timeseries(
    request: HttpRequest, query: Query[schemas.ViewQuery], by: str = "model", top: int = TOP
) -> Any:
    """Figures over time, by model, app or tag: the dearest ``top``, and all others as one."""
    view = asked(query)
    if by not in params.COLUMNS:
        raise HttpError(422, "by: expected one of model, app, tag")
    if not 0 <= top <= 50:
        raise HttpError(422, "top: expected 0 to 50")
    dimension = params.COLUMNS[by]
    period = view.period
    cells = stats.cells(period.start, period.end, view.names)
    names = [group.name for group in stats.fold(cells, dimension)[:top]]
    start = period.start or series.first_request() or period.end - timedelta(hours=1)
    slices = cuts(start, period.end, period.zone)
    return {
        "start": start,
        "end": period.end,
        "zone": period.zone.key,
        "by": by,
        "lines": [
            {
                "name": None if line.name == series.OTHER else line.name or None,
                "other": line.name == series.OTHER,
                "slices": [
                    {
                        "start": cut,
                        "requests": one.requests,
                        "errors": one.errors,
                        "tokens": one.tokens,
                        "cost": one.cost,
                    }
                    for cut, one in zip(slices, line.slices, strict=True)
                ],
            }
            for line in series.lines(slices, period.end, dimension, names, view.names)
        ],
    }


def cost_table(query: schemas.ViewQuery, by: str) -> Any:
    view = asked(query)
    period = view.period
    cells = stats.cells(period.start, period.end, view.names)
    total = stats.total(cells)
    rows = [
        {
            "name": group.name or None,
            "requests": group.totals.requests,
            "unpriced": group.totals.unpriced,
            "tokens": group.totals.tokens,
            "cost": group.totals.known_cost,
            "saved_cost": group.totals.saved_cost,
            "share": float(group.totals.cost / total.cost) if total.cost else None,
        }
        for group in stats.fold(cells, params.COLUMNS[by])
    ]
    return {"start": period.start, "end": period.end, "total": total, "rows": rows}


@api.get("/cost/by-tag", response=schemas.CostTable, tags=["cost"])
def get_cost_by_tag(request: HttpRequest, query: Query[schemas.ViewQuery]) -> Any:
    return cost_table(query, "tag")


@api.get("/cost/by-app", response=schemas.CostTable, tags=["cost"])
def get_cost_by_app(request: HttpRequest, query: Query[schemas.ViewQuery]) -> Any:
    return cost_table(query, "app")


@api.get("/cost/by-model", response=schemas.CostTable, tags=["cost"])
def get_cost_by_model(request: HttpRequest, query: Query[schemas.ViewQuery]) -> Any:
    return cost_table(query, "model")


@api.get("/cost/by-session", response=schemas.CostTable, tags=["cost"])
def get_cost_by_session(request: HttpRequest, query: Query[schemas.ViewQuery]) -> Any:
    """The 50 dearest sessions among the newest requests of the period."""
    view = asked(query)
    period = view.period
    found = costs.sessions(view, 50)
    rows = [
        {
            "name": one.name,
            "requests": one.requests,
            "unpriced": one.unpriced,
            "tokens": one.tokens,
            "cost": one.cost,
            "saved_cost": one.saved,
            "share": one.share,
        }
        for one in found.rows
    ]
    total = stats.total(stats.cells(period.start, period.end, view.names))
    since = found.since
    return {"start": period.start, "end": period.end, "since": since, "total": total, "rows": rows}


@api.get(
    "/cost/forecast",
    response={200: schemas.ForecastOut, 503: schemas.Problem},
    tags=["cost"],
)
def get_forecast(request: HttpRequest, query: Query[schemas.ViewQuery]) -> Any:
    """Today and the 30 days after it, with the interval that holds 80% of days."""
    coming = costs.coming(asked(query), FORECAST_WAIT)
    if coming.found is None:
        raise HttpError(503, "the forecast is being worked out: ask again in a few seconds")
    spent, month = coming.month_spent, coming.month
    return {
        "method": coming.found.method,
        "weekly": coming.found.weekly,
        "history": coming.found.history,
        "month": {
            "spent": spent,
            "expected": month.expected if month else spent,
            "low": month.low if month else spent,
            "high": month.high if month else spent,
        },
        "days": coming.found.days,
    }


@api.get("/budget/status", response=list[schemas.BudgetOut], tags=["budgets"])
def get_budgets(request: HttpRequest) -> Any:
    """Active budgets, the nearest to its limit first. Amounts in the budget's unit.

    ``used_up`` is null where a budget lasts, and while the day's forecast is being worked out.
    """
    return [budget_out(burn) for burn in budgets.burns(datetime.now(UTC), most=200)]


def budget_out(burn: budgets.Burn) -> dict[str, Any]:
    status, spec = burn.status, burn.status.spec
    return {
        "id": spec.id,
        "name": spec.name,
        "scope": spec.scope,
        "pattern": spec.pattern,
        "unit": spec.unit,
        "period": spec.period,
        "action": spec.action,
        "state": status.state,
        "limit": burn.limit,
        "spent": burn.spent,
        "reserved": status.reserved / budgets.per_unit(spec),
        "share": status.share,
        "resets_at": burn.resets_at,
        "used_up": burn.ends.expected if burn.ends else None,
        "earliest": burn.ends.earliest if burn.ends else None,
    }


@api.get("/cache/stats", response=schemas.CacheStats, tags=["cache"])
def get_cache_stats(request: HttpRequest, query: Query[schemas.ViewQuery]) -> Any:
    """Hits and savings of a period."""
    view = asked(query)
    found = stats.total(stats.cells(view.period.start, view.period.end, view.names))
    return {
        "start": view.period.start,
        "end": view.period.end,
        "requests": found.requests,
        "hits": found.cache_hits,
        "hit_rate": found.cache_hits / found.requests if found.requests else None,
        "saved_cost": found.saved_cost,
    }


@api.get("/upstreams", response=list[schemas.UpstreamOut], tags=["upstreams"])
def get_upstreams(request: HttpRequest) -> Any:
    """Upstreams and how their circuit breakers stand."""
    return [
        {
            "name": one.upstream.name,
            "api_type": one.upstream.api_type,
            "base_url": one.upstream.base_url,
            "priority": one.upstream.priority,
            "enabled": one.upstream.enabled,
            "state": one.standing.state,
            "error": one.standing.error,
            "until": one.standing.until,
        }
        for one in system.upstreams(datetime.now(UTC))
    ]


@api.get("/routing/stats", response=schemas.RoutingStats, tags=["routing"])
def get_routing_stats(request: HttpRequest, query: Query[schemas.ViewQuery]) -> Any:
    """Hits by rule, among the newest requests of the period."""
    view = asked(query)
    found = costs.rules(view)
    return {
        "start": view.period.start,
        "end": view.period.end,
        "since": found.since,
        "rows": found.rows,
    }


@api.get("/ab/list", response=list[schemas.ABTestOut], tags=["experiments"])
def get_tests(request: HttpRequest) -> Any:
    """A/B tests, the newest first."""
    return [
        {
            "name": one.test.name,
            "status": one.test.status,
            "model_a": one.test.model_a,
            "model_b": one.test.model_b,
            "share_a": float(one.test.share_a) / 100,
            "requests_a": one.a,
            "requests_b": one.b,
            "created_at": one.test.created_at,
        }
        for one in experiments.listed()
    ]


@api.get(
    "/ab/report/{name}",
    response={200: dict[str, Any], 404: schemas.Problem},
    tags=["experiments"],
)
def get_test_report(request: HttpRequest, name: str) -> Any:
    """A test's figures, their intervals and the verdict. Rates are from 0 to 1."""
    test = ABTest.objects.filter(name=name.replace("\0", "")).first()
    if test is None:
        raise HttpError(404, "there is no A/B test of this name")
    return as_dict(report(test))


@api.post(
    "/ab/feedback",
    response={200: schemas.FeedbackOut, 404: schemas.Problem},
    tags=["experiments"],
)
def post_feedback(request: HttpRequest, body: schemas.FeedbackIn) -> Any:
    """Rate an answer by its request id (the header X-TokenWatch-Request-Id)."""
    if not isinstance(request.auth, ApiToken) and not request.user.has_perm(  # type: ignore[attr-defined]
        "experiments.add_abfeedback"
    ):
        raise HttpError(403, "this user may not rate answers")
    try:
        return feedback.record(body.request_id, body.rating, body.labels)
    except UnknownRequestError as exc:
        raise HttpError(404, str(exc)) from None
    except FeedbackError as exc:
        raise HttpError(422, str(exc)) from None


@api.get("/replay/runs", response=list[schemas.ReplayOut], tags=["experiments"])
def get_replays(request: HttpRequest) -> Any:
    """Replay runs with their progress, the newest first."""
    return [
        {
            "id": one.run.pk,
            "source_model": one.run.source_model,
            "target_model": one.run.target_model,
            "state": one.run.state,
            "note": one.run.note or "",
            "done": one.done,
            "prompts": one.total,
            "created_at": one.run.created_at,
            "finished_at": one.run.finished_at,
        }
        for one in replays.runs()
    ]


@api.get(
    "/requests/{request_id}",
    response={200: schemas.RequestOut, 404: schemas.Problem},
    tags=["usage"],
)
def get_request(request: HttpRequest, request_id: str) -> Any:
    return plain(_record(request_id))


@api.get(
    "/requests/{request_id}/explanation",
    response={200: schemas.Explanation, 404: schemas.Problem},
    tags=["usage"],
)
def get_explanation(request: HttpRequest, request_id: str) -> Any:
    """Why a request went where it went, and its price line by line."""
    found = detail(_record(request_id))
    return {
        "request": plain(found.record),
        "price_source": found.source,
        "lines": found.lines,
        "attempts": found.attempts,
        "decision": dict(found.decision),
    }


def _record(request_id: str) -> UsageRecord:
    record = listing.by_request_id(request_id)
    if record is None:
        raise HttpError(404, "no request has this id, or it is not stored yet")
    return record


def plain(record: UsageRecord) -> dict[str, Any]:
    """A row's values; text that Oracle keeps as NULL is empty text."""
    values = {}
    for name, field in schemas.RequestOut.model_fields.items():
        value = getattr(record, name)
        values[name] = "" if value is None and field.annotation is str else value
    return values
