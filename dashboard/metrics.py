"""`/metrics` for Prometheus: what the ledger holds, and how this installation is.

The counters are sums over the ledger's rollups, so they are one number for all workers and
machines that share a database, and outlast restarts. They go down only when rows are removed
(`reset`, retention), which Prometheus takes for a restart. Works whether OpenTelemetry is on or
not. How it fails: without a database ``tokenwatch_database_up`` is 0 and the counters are
missing, rather than wrong.
"""

import hmac
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import accumulate

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dashboard import tokens
from tokenwatch.conf import config
from tokenwatch.telemetry.names import BREAKER_STATES
from upstreams.models import Upstream
from upstreams.store import standings
from usage import backlog, series, stats
from usage.presence import health
from usage.stats import Group, Totals
from usage.timings import BOUNDS, Kind

Families = Iterator[Metric]

_TOKENS: tuple[tuple[str, Callable[[Totals], int]], ...] = (
    ("input", lambda totals: totals.input_tokens),
    ("output", lambda totals: totals.output_tokens),
    ("cache_read", lambda totals: totals.cache_read_tokens),
    ("cache_write", lambda totals: totals.cache_write_tokens + totals.cache_write_1h_tokens),
)
_COUNTS: tuple[tuple[str, str, Callable[[Totals], float]], ...] = (
    ("requests", "Requests that were answered.", lambda totals: totals.requests),
    ("errors", "Requests that ended in an error.", lambda totals: totals.errors),
    ("requests_unpriced", "Requests of unknown cost.", lambda totals: totals.unpriced),
    ("cache_hits", "Requests answered by the cache.", lambda totals: totals.cache_hits),
    ("budget_refusals", "Requests that a budget refused.", lambda totals: totals.refused),
    ("cost", "Cost in US dollars, where it is known.", lambda totals: float(totals.cost)),
)


@require_GET
def show_metrics(request: HttpRequest) -> HttpResponse:
    """The metrics, in the format that the scraper asks for."""
    if refusal := _refusal(request):
        return refusal
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """Why a scraper may not see them; None where it knows a token, or comes from here and no
    token is set for metrics."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return None if _opens(key.strip()) else _unauthorized("This token opens nothing.")
    if config.metrics_token:
        return _unauthorized("Send TOKENWATCH_METRICS_TOKEN, or an API token, as a bearer token.")
    if _is_local(request):
        return None
    return _unauthorized("Send an API token as a bearer token, or set TOKENWATCH_METRICS_TOKEN.")


def _opens(key: str) -> bool:
    """Whether it is the setting's, which is known without a database, or an API token."""
    expected = config.metrics_token
    if expected and hmac.compare_digest(key.encode(), expected.encode()):
        return True
    try:
        return tokens.find(key, datetime.now(UTC)) is not None
    except Error:
        return False


def _unauthorized(text: str) -> HttpResponse:
    answer = HttpResponse(text + "\n", status=401, content_type="text/plain; charset=utf-8")
    answer["WWW-Authenticate"] = 'Bearer realm="TokenWatch"'
    return answer


def _is_local(request: HttpRequest) -> bool:
    """Whether it comes from this machine, and not through a reverse proxy that runs on it."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


class _Metrics(Collector):
    """What one scrape finds."""

    def collect(self) -> Families:
        yield GaugeMetricFamily(
            "tokenwatch_spool_depth",
            "Rows of this machine's workers that wait for the database.",
            value=backlog.depth(config.spool_dir),
        )
        try:
            now = datetime.now(UTC)
            families = [*_ledger(now), *_times(now), _breakers(now)]
        except Error:
            families = []
        stored, _ = health(config.spool_dir)
        yield GaugeMetricFamily(
            "tokenwatch_database_up",
            "Whether the database answers, and takes the rows that it is given.",
            value=int(bool(families) and stored),
        )
        yield from families


def _ledger(now: datetime) -> Families:
    """The counters by model, app and tag, each apart: together they would be too many."""
    dimensions: tuple[tuple[str, stats.Dimension], ...] = (
        ("model", "model"),
        ("app", "source_app"),
        ("tag", "feature_tag"),
    )
    for label, dimension in dimensions:
        prefix = "tokenwatch" if label == "model" else f"tokenwatch_{label}"
        yield from _by(prefix, label, stats.by(dimension, None, now))


def _times(now: datetime) -> Families:
    """How long all requests took, from the ledger's counts on its own scale.

    Its buckets leave their upper bound out, where Prometheus' take it in: a request of exactly
    4 ms, say, counts in the next one.
    """
    seconds = stats.summary(None, now).latency_ms / 1000
    kinds: tuple[tuple[Kind, str, str, float | None], ...] = (
        ("total", "latency", "Time from a request's arrival to the end of its answer.", seconds),
        ("overhead", "overhead", "What TokenWatch took before the request went out.", None),
    )
    for kind, name, text, total in kinds:
        bounds = [f"{bound / 1000:.6g}" for bound in BOUNDS[kind]]
        reached = accumulate(series.counts(kind, None, now, {}))
        family = HistogramMetricFamily(f"tokenwatch_{name}_seconds", text)
        family.add_metric([], list(zip([*bounds, "+Inf"], reached, strict=True)), total)
        yield family


def _by(prefix: str, label: str, groups: Iterable[Group]) -> Families:
    groups = list(groups)
    for name, text, of in _COUNTS:
        counter = CounterMetricFamily(f"{prefix}_{name}", text, labels=[label])
        for group in groups:
            counter.add_metric([group.name], of(group.totals))
        yield counter
    tokens = CounterMetricFamily(f"{prefix}_tokens", "Tokens by kind.", labels=[label, "type"])
    for group in groups:
        for kind, of in _TOKENS:
            tokens.add_metric([group.name, kind], of(group.totals))
    yield tokens
    times = SummaryMetricFamily(
        f"{prefix}_request_duration_seconds",
        "Time from a request's arrival to the end of its answer.",
        labels=[label],
    )
    for group in groups:
        totals = group.totals
        times.add_metric([group.name], totals.requests, totals.latency_ms / 1000)
    yield times


def _breakers(now: datetime) -> GaugeMetricFamily:
    """As the last worker saw each change."""
    family = GaugeMetricFamily(
        "tokenwatch_upstream_breaker",
        "Whether an upstream's circuit breaker is in this state; problem: it cannot serve.",
        labels=["api_type", "upstream", "state"],
    )
    upstreams = list(Upstream.objects.filter(enabled=True).order_by("api_type", "name"))
    for upstream, standing in zip(upstreams, standings(upstreams, now), strict=True):
        for state in (*BREAKER_STATES, "problem"):
            family.add_metric(
                [upstream.api_type, upstream.name, state], int(state == standing.state)
            )
    return family
