"""The ledger in the admin: to read, search and filter; nobody edits a request.

Pages stay fast with millions of rows: they are read newest first along the index, counting
ends at `COUNT_LIMIT`, and what the filters offer comes from the rollups. A search for a name
has to look into the rows themselves; a period beside it bounds that.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.decorators import display

from usage.models import UsageRecord, UsageRollup
from usage.rollups import HOUR

COUNT_LIMIT = 10_000
CHOICES_LIMIT = 100
CHOICES_DAYS = 90
NONE = "(none)"

Lookups = Iterable[tuple[str, str]]
_REQUEST_ID = re.compile(r"[0-9a-f]{32}")


class CappedPaginator(Paginator):
    """Pages over the newest `COUNT_LIMIT` rows of what was asked for; counts no further."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return rows.order_by()[:COUNT_LIMIT].count()


class PeriodFilter(admin.SimpleListFilter):
    title = "period"
    parameter_name = "period"
    lengths = {
        "1h": ("Past hour", timedelta(hours=1)),
        "24h": ("Past 24 hours", timedelta(hours=24)),
        "7d": ("Past 7 days", timedelta(days=7)),
        "30d": ("Past 30 days", timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return [("today", "Today (UTC)")] + [(k, label) for k, (label, _) in self.lengths.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = datetime.now(UTC)
        if self.value() == "today":
            return queryset.filter(created_at__gte=now.replace(hour=0, minute=0, second=0))
        if self.value() in self.lengths:
            return queryset.filter(created_at__gte=now - self.lengths[str(self.value())][1])
        return queryset


class StatusFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return [
            ("2", "2xx"),
            ("3", "3xx"),
            ("4", "4xx"),
            ("5", "5xx"),
            ("error", "With an error"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value == "error":
            return queryset.filter(Q(status_code__gte=400) | ~Q(error_type=""))
        if value in ("2", "3", "4", "5"):
            low = int(value) * 100
            return queryset.filter(status_code__gte=low, status_code__lt=low + 100)
        return queryset


class CostFilter(admin.SimpleListFilter):
    title = "cost"
    parameter_name = "cost"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return [("known", "Known"), ("unknown", "Unknown")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in ("known", "unknown"):
            return queryset.filter(cost__isnull=self.value() == "unknown")
        return queryset


class NameFilter(admin.SimpleListFilter):
    """Offers the names that the rollups of the past `CHOICES_DAYS` days have."""

    column: str
    """The rollups' column."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        since = datetime.now(UTC) - timedelta(days=CHOICES_DAYS)
        names = (
            UsageRollup.objects.filter(bucket_seconds=HOUR, bucket_start__gte=since)
            .order_by(self.column)
            .values_list(self.column, flat=True)
            .distinct()[:CHOICES_LIMIT]
        )
        return [(name or NONE, name or NONE) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(self.matching("" if value == NONE else value))

    def matching(self, name: str) -> Q:
        return Q(**{self.column: name})


class ModelFilter(NameFilter):
    title = "model"
    parameter_name = "model"
    column = "model"

    def matching(self, name: str) -> Q:
        """The model that answered, else the one asked for, as in the statistics."""
        return Q(model_used=name) | Q(model_used="", model_requested=name)


class AppFilter(NameFilter):
    title = "app"
    parameter_name = "app"
    column = "source_app"


class TagFilter(NameFilter):
    title = "tag"
    parameter_name = "tag"
    column = "feature_tag"


@admin.register(UsageRecord)
class UsageRecordAdmin(ModelAdmin):
    list_display = (
        "created_at",
        "source_app",
        "model",
        "status",
        "tokens_in",
        "tokens_out",
        "tokens_cached",
        "price",
        "latency",
        "feature_tag",
    )
    list_filter = (PeriodFilter, ModelFilter, AppFilter, TagFilter, StatusFilter, CostFilter)
    search_fields = (
        "request_id",
        "model_used",
        "model_requested",
        "source_app",
        "session_id",
        "feature_tag",
    )
    search_help_text = "Request id, model, app, session or tag"
    ordering = ("-created_at", "-id")
    sortable_by = ()  # other orders have no index
    paginator = CappedPaginator
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = None
    list_fullwidth = True
    change_form_outer_after_template = "admin/usage/decision.html"
    fieldsets = (
        (None, {"fields": ("request_id", "created_at", "source_app", "session_id", "feature_tag")}),
        ("Request", {"fields": ("api_type", "method", "endpoint", "model_requested", "stream")}),
        (
            "Answer",
            {
                "fields": (
                    "status_code",
                    "error_type",
                    "model_used",
                    "service_tier",
                    "finish_reason",
                    "latency_ms",
                    "ttft_ms",
                    "overhead_ms",
                )
            },
        ),
        (
            "Tokens",
            {
                "fields": (
                    "usage_estimated",
                    "input_tokens",
                    "output_tokens",
                    "cache_read_tokens",
                    "cache_write_tokens",
                    "cache_write_1h_tokens",
                    "reasoning_tokens",
                    "input_audio_tokens",
                    "output_audio_tokens",
                )
            },
        ),
        ("Cost", {"fields": ("price", "saved_cost", "routing_saved")}),
        (
            "Route",
            {
                "fields": (
                    "model_routed",
                    "upstream",
                    "attempts",
                    "attempt_log",
                    "routing_rule",
                    "ab_test",
                    "ab_variant",
                    "cache_tier",
                    "cache_similarity",
                    "cache_note",
                    "cache_entry",
                    "decision",
                )
            },
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """A whole request id is looked up by its index; anything else is searched for."""
        term = search_term.strip().lower()
        if _REQUEST_ID.fullmatch(term):
            return queryset.filter(request_id=term), False
        return super().get_search_results(request, queryset, search_term)

    @display(description="Model")
    def model(self, record: UsageRecord) -> str:
        return record.model_used or record.model_requested

    @display(description="Status", label={"ok": "success", "client": "warning", "server": "danger"})
    def status(self, record: UsageRecord) -> tuple[str, str]:
        if record.status_code >= 500 or (record.status_code < 400 and record.error_type):
            kind = "server"
        else:
            kind = "client" if record.status_code >= 400 else "ok"
        return kind, f"{record.status_code} {record.error_type}".strip()

    @display(description="Input")
    def tokens_in(self, record: UsageRecord) -> str:
        return _tokens(record, record.input_tokens)

    @display(description="Output")
    def tokens_out(self, record: UsageRecord) -> str:
        return _tokens(record, record.output_tokens)

    @display(description="Cache read / written")
    def tokens_cached(self, record: UsageRecord) -> str:
        written = record.cache_write_tokens + record.cache_write_1h_tokens
        return f"{record.cache_read_tokens:,} / {written:,}"

    @display(description="Cost")
    def price(self, record: UsageRecord) -> str:
        return "unknown" if record.cost is None else f"${record.cost:.10f}"

    @display(description="Latency")
    def latency(self, record: UsageRecord) -> str:
        return f"{record.latency_ms:,} ms"


def _tokens(record: UsageRecord, count: int) -> str:
    """A count; ``~`` says that it is an estimate."""
    return f"~{count:,}" if record.usage_estimated else f"{count:,}"


from usage import prices_admin  # noqa: E402, F401 - registers the price sheet
