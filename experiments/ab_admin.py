"""A/B tests in admin, each with its report. Changes reach workers in about a second."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.decorators import display

from experiments.models import FIXED, ABFeedback, ABTest, Status
from experiments.store import StatusError, counts, overlapping, switch, too_wide

LABELS = {"active": "success", "paused": "warning", "completed": "info"}


@admin.register(ABTest)
class ABTestAdmin(ModelAdmin):
    list_display = ("name", "state", "variant_a", "variant_b", "scope", "created_at")
    list_filter = ("status",)
    search_fields = ("name", "model_a", "model_b", "app", "tag", "model")
    list_fullwidth = True
    readonly_fields = ("state", "others", "salt", "created_at", "completed_at")
    actions = ("start", "pause", "complete")
    change_form_outer_before_template = "admin/experiments/report.html"
    fieldsets = (
        (None, {"fields": ("name", "model_a", "model_b", "share_a")}),
        ("Whose requests take part", {"fields": ("api_type", "app", "tag", "model", "others")}),
        ("Life", {"fields": ("state", "salt", "created_at", "completed_at")}),
    )

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        tests = list(page.result_list)
        found = counts(test.name for test in tests)
        for test in tests:
            test.requests = found[test.name]
        page.result_list = tests
        return page

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What its requests were made by stays as it is."""
        fixed = FIXED if obj is not None and obj.rows().exists() else ()
        return (*self.readonly_fields, *fixed)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = dict(extra_context or {})
        test = self.get_object(request, object_id)
        if request.method == "GET" and test is not None:
            context["report"] = reported(test)
        return super().change_view(request, object_id, form_url, context)

    def save_model(self, request: HttpRequest, obj: ABTest, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for note in filter(None, (too_wide(obj), *overlapping(obj))):
            self.message_user(request, note, messages.WARNING)

    @display(description="Status", label=LABELS)
    def state(self, test: ABTest) -> str:
        return test.status

    @display(description="A")
    def variant_a(self, test: ABTest) -> str:
        return _variant(test, test.model_a, float(test.share_a), "A")

    @display(description="B")
    def variant_b(self, test: ABTest) -> str:
        return _variant(test, test.model_b, 100 - float(test.share_a), "B")

    @display(description="Scope")
    def scope(self, test: ABTest) -> str:
        named = (("", test.api_type), ("app ", test.app), ("tag ", test.tag), ("", test.model))
        return ", ".join(f"{word}{value}" for word, value in named if value) or "all requests"

    @display(description="Other tests")
    def others(self, test: ABTest) -> str:
        if test._state.adding:
            return "-"
        return " ".join(overlapping(test)) or "No other active test takes its requests."

    @admin.action(description="Start or resume", permissions=["change"])
    def start(self, request: HttpRequest, queryset: QuerySet[ABTest]) -> None:
        self._switch(request, queryset, Status.ACTIVE)

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[ABTest]) -> None:
        self._switch(request, queryset, Status.PAUSED)

    @admin.action(description="Complete: for good", permissions=["change"])
    def complete(self, request: HttpRequest, queryset: QuerySet[ABTest]) -> None:
        self._switch(request, queryset, Status.COMPLETED)

    def _switch(self, request: HttpRequest, queryset: QuerySet[ABTest], status: Status) -> None:
        done = 0
        for test in queryset:
            try:
                switch(test, status, datetime.now(UTC))
            except StatusError as exc:
                self.message_user(request, f"{str(exc)[0].upper()}{str(exc)[1:]}.", messages.ERROR)
                continue
            done += 1
            for note in overlapping(test):
                self.message_user(request, note, messages.WARNING)
        if done:
            noun = "A/B test is" if done == 1 else "A/B tests are"
            self.message_user(request, f"{done} {noun} {status.value}.")


@admin.register(ABFeedback)
class ABFeedbackAdmin(ModelAdmin):
    """What was said of answers; to read."""

    list_display = ("created_at", "request_id", "rating", "labels")
    search_fields = ("request_id",)
    ordering = ("-id",)
    show_full_result_count = False
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def reported(test: ABTest) -> dict[str, Any]:
    """A test's report for the page."""
    from experiments.report import report
    from experiments.words import heading, sides, table

    found = report(test)
    return {
        "heading": heading(found),
        "verdict": found.verdict,
        "sides": sides(found),
        "table": table(found),
        "notes": found.notes,
    }


def _variant(test: ABTest, model: str, share: float, variant: str) -> str:
    requests: dict[str, int] = getattr(test, "requests", {})
    return f"{model} ({share:g} %): {requests.get(variant, 0):,} requests"
