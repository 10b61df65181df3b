"""The dashboard's pages, inside unfold's frame. Whoever may see the admin may look.

How it fails: a parameter that is none is left out, and the page says so; the database's errors
are an error page.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from dashboard import (
    alerts,
    budgets,
    costs,
    experiments,
    export,
    overview,
    params,
    replays,
    system,
    worker,
)
from dashboard.detail import detail
from dashboard.params import Params
from dashboard.period import RANGES
from dashboard.present import ratio
from experiments.models import ABTest, Status
from experiments.prompt_models import ReplayRun
from experiments.store import StatusError, switch
from tokenwatch.conf import config
from tokenwatch.running import read as read_run
from usage import listing, tailing
from usage.stats import Cell, cells, fold, total

ROWS = 50
ZONE_COOKIE = "tokenwatch_zone"
TABS = (
    ("overview", "Overview"),
    ("cost", "Cost Intelligence"),
    ("experiments", "Experiments"),
    ("system", "System"),
)

View = Callable[..., HttpResponseBase]


def for_staff(view: View) -> View:
    """Behind the admin's login; answers GET only, and is not cached."""
    return admin.site.admin_view(require_GET(view))


def read(request: HttpRequest) -> Params:
    zone = request.COOKIES.get(ZONE_COOKIE, "")
    return params.read(request.GET.dict(), datetime.now(UTC), zone=zone)


def page(request: HttpRequest, tab: str, view: Params, context: dict[str, Any]) -> HttpResponse:
    """A tab in the frame."""
    frame = admin.site.each_context(request)
    title = dict(TABS).get(tab, tab.capitalize())
    shared = {
        **frame,
        "title": title,
        "is_fullwidth": "1",
        "tab": tab,
        "tabs": [(name, label, reverse(name)) for name, label in TABS],
        "params": view,
        "ranges": RANGES.items(),
        "csv": reverse("export") + view.url(),
    }
    return render(request, f"dashboard/{tab}.html", {**shared, **context})


@for_staff
def show_overview(request: HttpRequest) -> HttpResponse:
    view = read(request)
    found = overview.figures(view)
    here = worker.state()
    strip = alerts.strip(
        budgets.standing(view.period.end),
        found.models,
        errors=found.now.errors,
        requests=found.now.requests,
        spool_depth=here.spool_depth if here else None,
        database_ok=here.database_ok if here else None,
        resting=[
            f"{one.upstream.name}: {one.standing.shown}"
            for one in system.upstreams(view.period.end)
            if one.upstream.enabled and one.standing.state != "closed"
        ],
    )
    context = {
        "alerts": strip,
        "tiles": overview.tiles(found),
        "totals": found.now,
        "mix": overview.mix(found.now),
        "empty": not found.now.requests,
        "choices": choices(found.cells, view),
        "charts": overview.charts(view, found) if found.now.requests else None,
        "base_url": _proxy_url(request),
        "live_filters": json.dumps(dict(view.filters)),
        "live_after": tailing.highest_id(),
        **_table(request, view),
    }
    return page(request, "overview", view, context)


@for_staff
def show_requests(request: HttpRequest) -> HttpResponse:
    """The request table alone: a part of the Overview that is fetched again."""
    view = read(request)
    return render(
        request, "dashboard/panels/requests.html", {"params": view, **_table(request, view)}
    )


@for_staff
def show_request(request: HttpRequest, request_id: str) -> HttpResponse:
    record = listing.by_request_id(request_id)
    if record is None:
        raise Http404("no request has this id, or it is not stored yet")
    may_read = request.user.has_perm(replays.MAY_READ)
    context = {
        "detail": detail(record),
        "record": record,
        "prompt": replays.prompt_of(record.request_id) if may_read else None,
    }
    return page(request, "request", read(request), context)


@for_staff
def show_cost(request: HttpRequest) -> HttpResponse:
    view = read(request)
    tables, total, before = costs.tables(view)
    by_tag = [row.name for row in tables[0].rows if row.filter][: overview.LINES]
    context = {
        "tables": tables,
        "sessions": costs.sessions(view),
        "totals": total,
        "mix": overview.mix(total),
        "before": before,
        "unpriced": [row for row in tables[2].rows if row.totals.unpriced],
        "empty": not total.requests,
        "chart": costs.over_time(view, "feature_tag", by_tag) if total.requests else None,
        "base_url": _proxy_url(request),
    }
    return page(request, "cost", view, context)


@for_staff
def show_coming(request: HttpRequest) -> HttpResponse:
    """Budgets with their last day, and the forecast: fetched after the page, and again while
    the day's forecasts are being worked out."""
    view = read(request)
    found = costs.coming(view)
    burns = budgets.burns(view.period.end)
    context = {
        "params": view,
        "burns": burns,
        "waiting": found.found is None or any(burn.ends is None for burn in burns),
        "coming": found,
        "drawn": costs.drawn(found),
        "explained": costs.explained(found.found),
        "may_set_budgets": request.user.has_perm("budgets.add_budget"),
    }
    return render(request, "dashboard/panels/coming.html", context)


@for_staff
def show_experiments(request: HttpRequest) -> HttpResponse:
    context = {
        "tests": experiments.listed(),
        "runs": replays.runs(),
        "may_add": request.user.has_perm("experiments.add_abtest"),
        "may_change": request.user.has_perm("experiments.change_abtest"),
    }
    return page(request, "experiments", read(request), context)


@for_staff
def show_report(request: HttpRequest, pk: int) -> HttpResponse:
    """A test's report: fetched after the page, as it reads all requests of the test."""
    test = get_object_or_404(ABTest, pk=pk)
    return render(request, "dashboard/panels/ab_report.html", experiments.shown(test))


@for_staff
def show_replay(request: HttpRequest, pk: int) -> HttpResponse:
    """A run's figures; its answers for those who may view stored prompts."""
    run = get_object_or_404(ReplayRun, pk=pk)
    found = replays.shown(run)
    may_read = request.user.has_perm(replays.MAY_READ)
    pairs = replays.pairs(run, found["worst"]) if may_read else []
    context = {**found, "run": run, "pairs": pairs, "may_read": may_read}
    return page(request, "replay", read(request), context)


@admin.site.admin_view
@require_POST
@permission_required("experiments.change_abtest", raise_exception=True)
def switch_test(request: HttpRequest, pk: int) -> HttpResponse:
    """Start, pause or complete a test."""
    test = get_object_or_404(ABTest, pk=pk)
    try:
        switch(test, Status(request.POST.get("status", "")), datetime.now(UTC))
    except (StatusError, ValueError) as exc:
        messages.error(request, str(exc))
    else:
        messages.success(request, f"The test {test.name} is {test.status}.")
    return redirect("experiments")


@for_staff
def show_system(request: HttpRequest) -> HttpResponse:
    view = read(request)
    totals = total(cells(view.period.start, view.period.end, view.names))
    context = {
        "serving": system.serving(),
        "writing": system.writing(),
        "upstreams": system.upstreams(view.period.end),
        "events": system.events(),
        "routed": costs.rules(view),
        "openai_url": config.openai_url,
        "anthropic_url": config.anthropic_url,
        "budgets": budgets.standing(view.period.end),
        "totals": totals,
        "hit_share": ratio(totals.cache_hits, totals.requests),
        "overhead": overview.overhead(view),
    }
    return page(request, "system", view, context)


@for_staff
def export_requests(request: HttpRequest) -> StreamingHttpResponse:
    """CSV of exactly the view's requests."""
    wanted = read(request).wanted
    return StreamingHttpResponse(
        export.stream(wanted),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{export.file_name(wanted)}"'},
    )


def choices(cells: list[Cell], view: Params) -> dict[str, list[str]]:
    """What the filters offer: the names of the view's period, the dearest first."""
    found: dict[str, list[str]] = {}
    for name, column in params.COLUMNS.items():
        names = [group.name or params.NONE for group in fold(cells, column)][:100]
        chosen = view.filters.get(name)
        found[name] = names if chosen is None or chosen in names else [chosen, *names]
    return found


def _table(request: HttpRequest, view: Params) -> dict[str, Any]:
    """A page of requests: those of the view, or the one whose id is searched for."""
    sought = request.GET.get("q", "").strip()
    if sought:
        record = listing.by_request_id(sought)
        return {"q": sought, "requests": listing.Page([record] if record else [], None)}
    cursor = None
    text = request.GET.get("before", "")
    if text:
        try:
            cursor = listing.Cursor.read(text)
        except ValueError:
            raise Http404("not a page of this list") from None
    return {
        "q": "",
        "before": text,
        "requests": listing.page(view.wanted, cursor, ROWS),
        "statuses": listing.STATUSES,
        "caches": listing.CACHES,
        "cost_kinds": listing.COSTS,
    }


def _proxy_url(request: HttpRequest) -> str:
    """The proxy's address as seen from where the page was opened."""
    run = read_run(config.run_file)
    port = run.proxy_port if run is not None else config.proxy_port
    host = request.get_host().rsplit(":", 1)[0]
    return f"http://{host}:{port}"
