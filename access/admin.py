"""Client keys and rate limits in admin. Changes hold in every worker in about a second.

A key stands in the answer to the form that made it and nowhere else: a message would take it
through a cookie, and a long one through the sessions' table.
"""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.decorators import display

from access.models import Limits, ProxyKey, RateLimit
from access.store import new_key
from tokenwatch import policy

LIMITS = (
    "Limits",
    {"fields": ("requests_per_minute", "tokens_per_minute", "concurrent_requests")},
)


class _Switched(ModelAdmin):
    """Lists whose rows are switched on and off, many at a time."""

    nouns = ("row", "rows")

    def switch(
        self, request: HttpRequest, queryset: QuerySet[Any], word: str, *, enabled: bool
    ) -> None:
        # order_by: Oracle and PostgreSQL update no ordered set, and the list is one.
        with transaction.atomic():
            changed = queryset.order_by().exclude(enabled=enabled).update(enabled=enabled)
            if changed:
                policy.bump()  # an update of many rows sends no signal
        self.message_user(request, f"{changed} {self.nouns[changed != 1]} {word}.")

    @display(description="Limits")
    def limits(self, row: Limits) -> str:
        parts = (
            (row.requests_per_minute, "requests/min"),
            (row.tokens_per_minute, "tokens/min"),
            (row.concurrent_requests, "at once"),
        )
        return ", ".join(f"{number:,} {unit}" for number, unit in parts if number) or "-"


@admin.register(ProxyKey)
class ProxyKeyAdmin(_Switched):
    nouns = ("client key", "client keys")
    list_display = ("name", "shown", "app", "limits", "expires_at", "last_used_at", "enabled")
    list_filter = ("enabled",)
    search_fields = ("name", "shown", "app")
    readonly_fields = ("shown", "created_at", "last_used_at")
    actions = ("enable", "revoke", "rotate")
    fieldsets = (
        (None, {"fields": ("name", "enabled", "expires_at")}),
        ("Counts for", {"fields": ("app", "tag")}),
        ("May use", {"fields": ("models_allowed", "upstreams_allowed")}),
        LIMITS,
    )
    now = ("Now", {"fields": ("shown", "created_at", "last_used_at")})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = super().get_fieldsets(request, obj)
        return shown if obj is None else [*shown, self.now]

    def save_model(self, request: HttpRequest, obj: ProxyKey, form: Any, change: bool) -> None:
        if not change:
            obj.new_key = new_key()
            obj.set_key(obj.new_key)
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: ProxyKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._shown_once(request, [obj])

    def _shown_once(self, request: HttpRequest, rows: list[ProxyKey]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Copy the key now: it is not shown again",
            "opts": self.opts,
            "rows": rows,
        }
        return TemplateResponse(request, "admin/access/key.html", context)

    @admin.action(description="Enable again", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[ProxyKey]) -> None:
        self.switch(request, queryset, "enabled", enabled=True)

    @admin.action(description="Revoke: refuse at once", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ProxyKey]) -> None:
        self.switch(request, queryset, "revoked", enabled=False)

    @admin.action(description="Rotate: a new key, the present one ends", permissions=["change"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[ProxyKey]) -> HttpResponse:
        rows = list(queryset.order_by("name"))
        with transaction.atomic():
            for row in rows:
                row.new_key = new_key()
                row.set_key(row.new_key)
                row.save(update_fields=["shown", "digest"])
        return self._shown_once(request, rows)


@admin.register(RateLimit)
class RateLimitAdmin(_Switched):
    nouns = ("rate limit", "rate limits")
    list_display = ("name", "app_shown", "limits", "enabled")
    list_filter = ("enabled",)
    search_fields = ("name", "app")
    readonly_fields = ("created_at",)
    actions = ("enable", "disable")
    fieldsets = ((None, {"fields": ("name", "app", "enabled")}), LIMITS)

    @display(description="App")
    def app_shown(self, row: RateLimit) -> str:
        return row.app or "all requests"

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[RateLimit]) -> None:
        self.switch(request, queryset, "enabled", enabled=True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[RateLimit]) -> None:
        self.switch(request, queryset, "disabled", enabled=False)
