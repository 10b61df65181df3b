"""Kept answers in the admin: to read and to clear; nobody edits one."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from cache import store
from cache.entries import CacheBody, CacheEntry
from cache.models import CacheVector
from usage.admin import CappedPaginator

SHOWN = 100_000
"""Characters of an answer that a page shows."""


@admin.register(CacheEntry)
class CacheEntryAdmin(ModelAdmin):
    list_display = ("created_at", "model", "app", "kind", "stream", "hits", "cost", "expires_at")
    list_filter = ("api_type", "kind", "stream", "semantic")
    search_fields = ("request_id", "model", "model_used", "app")
    search_help_text = "Request id, model or app"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    list_per_page = 50
    list_fullwidth = True
    actions = ("clear",)
    fieldsets = (
        (None, {"fields": ("request_id", "model", "model_used", "app", "endpoint")}),
        ("Use", {"fields": ("hits", "cost", "created_at", "last_used_at", "expires_at")}),
        ("Answer", {"fields": ("prompt_shown", "body_shown")}),
    )
    readonly_fields = ("prompt_shown", "body_shown")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # `clear` tells the workers, which have it in memory

    def has_clear_permission(self, request: HttpRequest) -> bool:
        """Those who may delete entries, as the permission is called."""
        return bool(request.user.has_perm("cache.delete_cacheentry"))

    @admin.action(description="Clear", permissions=["clear"])
    def clear(self, request: HttpRequest, queryset: QuerySet[CacheEntry]) -> None:
        """Remove entries, from the workers' memory too."""
        ids = list(queryset.order_by().values_list("request_id", flat=True))
        count = sum(store.clear(now=datetime.now(UTC), request_id=one) for one in ids)
        noun = "entry" if count == 1 else "entries"
        self.message_user(request, f"Cleared {count} {noun}; gone everywhere within a second.")

    @display(description="Similar prompts are compared with")
    def prompt_shown(self, entry: CacheEntry) -> str:
        vector = CacheVector.objects.filter(entry_id=entry.request_id).only("prompt").first()
        return _block(vector.prompt if vector else "")

    @display(description="Body")
    def body_shown(self, entry: CacheEntry) -> str:
        found = CacheBody.objects.filter(pk=entry.request_id).first()
        return _block(bytes(found.body).decode("utf-8", "replace") if found else "")


def _block(text: str) -> str:
    with contextlib.suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    if len(text) > SHOWN:
        text = f"{text[:SHOWN]}\n… {len(text) - SHOWN:,} more characters"
    return format_html('<pre class="whitespace-pre-wrap break-words">{}</pre>', text or "(none)")
