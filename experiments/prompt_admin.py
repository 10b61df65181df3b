"""Stored prompts in the admin: to read and to search; nobody edits one.

A search looks into names and, with ``text:``, into the bodies of the prompts that the filters
leave, the newest `TEXT_SEARCHED` of them.
"""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from experiments.prompt_models import PromptText, StoredPrompt
from usage.admin import CappedPaginator, PeriodFilter

TEXT_SEARCHED = 5_000
SHOWN = 200_000
"""Characters of a body that a page shows."""


class ReadOnlyAdmin(ModelAdmin):
    """A list that nobody adds to or changes."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    list_per_page = 50
    list_max_show_all = 0
    list_fullwidth = True
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(StoredPrompt)
class StoredPromptAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "app",
        "model",
        "kind",
        "status_code",
        "tag",
        "session_id",
        "redactions",
    )
    list_filter = (PeriodFilter, "api_type", "kind")
    search_fields = ("request_id", "model", "model_used", "app", "tag", "session_id")
    search_help_text = "Request id, model, app, tag or session; text:word looks into the texts"
    ordering = ("-created_at", "-id")
    sortable_by = ()
    fieldsets = (
        (None, {"fields": ("request_id", "created_at", "app", "tag", "session_id")}),
        ("Request", {"fields": ("api_type", "endpoint", "model", "stream", "request_shown")}),
        ("Answer", {"fields": ("status_code", "model_used", "response_shown")}),
        (
            "What is kept",
            {"fields": ("redacted", "redactions", "media", "request_whole", "response_whole")},
        ),
    )
    readonly_fields = ("request_shown", "response_shown")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        before, sign, word = search_term.partition("text:")
        if not sign or not word.strip():
            return super().get_search_results(request, queryset, search_term)
        found, duplicates = super().get_search_results(request, queryset, before.strip())
        newest = found.order_by("-created_at").values_list("pk", flat=True)[:TEXT_SEARCHED]
        return found.filter(pk__in=_with_text(list(newest), word.strip())), duplicates

    @display(description="Body")
    def request_shown(self, prompt: StoredPrompt) -> str:
        text = PromptText.objects.filter(prompt=prompt).first()
        return shown(text.request_body if text else "")

    @display(description="Body")
    def response_shown(self, prompt: StoredPrompt) -> str:
        text = PromptText.objects.filter(prompt=prompt).first()
        return shown(text.response_body if text else "")


def _with_text(pks: list[int], word: str) -> list[int]:
    """The prompts among these whose bodies have the word."""
    found: list[int] = []
    for start in range(0, len(pks), 500):
        texts = PromptText.objects.filter(prompt_id__in=pks[start : start + 500])
        matching = texts.filter(request_body__icontains=word) | texts.filter(
            response_body__icontains=word
        )
        found += matching.values_list("prompt_id", flat=True)
        if len(found) > 500:  # Oracle takes no more than 1,000 values in one IN list
            return found[:1000]
    return found


def shown(body: str | None) -> str:
    """A body, JSON with its lines broken; as text, whatever it holds."""
    try:
        text = json.dumps(json.loads(body or ""), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        text = body or ""
    if len(text) > SHOWN:
        text = f"{text[:SHOWN]}\n… {len(text) - SHOWN:,} more characters"
    return format_html('<pre class="whitespace-pre-wrap break-words">{}</pre>', text or "(none)")
