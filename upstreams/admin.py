"""The operator's upstreams in admin: changes reach every worker within about a second."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from tokenwatch import policy
from upstreams.models import Upstream


@admin.register(Upstream)
class UpstreamAdmin(ModelAdmin):
    list_display = ("name", "api_type", "base_url", "priority", "enabled", "created_at")
    list_editable = ("priority", "enabled")
    list_filter = ("api_type", "enabled")
    search_fields = ("name", "base_url")
    readonly_fields = ("created_at",)
    actions = ("enable", "disable")
    fieldsets = (
        (None, {"fields": ("name", "api_type", "base_url")}),
        ("Use", {"fields": ("priority", "enabled", "created_at")}),
    )

    @admin.action(description="Enable the selected upstreams", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Disable the selected upstreams", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Upstream], *, enabled: bool) -> None:
        # order_by: Oracle and PostgreSQL update no ordered set, and the list is one.
        changed = queryset.order_by().exclude(enabled=enabled).update(enabled=enabled)
        if changed:
            policy.bump()  # an update of many rows sends no signal
        word = "enabled" if enabled else "disabled"
        noun = "upstream" if changed == 1 else "upstreams"
        self.message_user(request, f"{changed} {noun} {word}.")
