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

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tokenwatch.conf import config
from tokenwatch.telemetry.names import BREAKER_STATES
from upstreams.models import Upstream
from upstreams.store import standings
from usage import backlog, stats
from usage.presence import health
from usage.stats import Group, Totals

Families = Iterator[CounterMetricFamily | GaugeMetricFamily | SummaryMetricFamily]

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
    """Why a scraper may not see them: with a token set it must know it, else come from here."""
    if config.metrics_token:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        expected = config.metrics_token.encode()
        if scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), expected):
            return None
        answer = _plain(401, "Send TOKENWATCH_METRICS_TOKEN as a bearer token.")
        answer["WWW-Authenticate"] = 'Bearer realm="TokenWatch"'
        return answer
    if _is_local(request):
        return None
    return _plain(403, "Set TOKENWATCH_METRICS_TOKEN to read metrics from another machine.")


def _is_local(request: HttpRequest) -> bool:
    """Whether it comes from this machine, and not through a reverse proxy that runs on it."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(text + "\n", status=status, content_type="text/plain; charset=utf-8")


class _Metrics(Collector):
    """What one scrape finds."""

    def collect(self) -> Families:
        yield GaugeMetricFamily(
            "tokenwatch_spool_depth",
            "Rows of this machine's workers that wait for the database.",
            value=backlog.depth(config.spool_dir),
        )
        try:
            families = [*_ledger(datetime.now(UTC)), _breakers(datetime.now(UTC))]
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
