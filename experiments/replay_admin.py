"""Replay runs and their results in the admin: to read; runs are made by the command."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from unfold.decorators import display

from experiments import replay_results
from experiments.prompt_admin import ReadOnlyAdmin, shown
from experiments.prompt_models import ReplayAnswer, ReplayResult, ReplayRun
from experiments.replay_report import report
from experiments.replay_view import figures

STATES = {
    "ready": "info",
    "running": "info",
    "interrupted": "warning",
    "finished": "success",
    "pending": "info",
    "sending": "warning",
    "done": "success",
}


@admin.register(ReplayRun)
class ReplayRunAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "created_at",
        "state_shown",
        "source_model",
        "target_model",
        "prompts",
        "results_link",
        "note",
    )
    list_filter = ("state",)
    search_fields = ("source_model", "target_model", "key")
    fieldsets = (
        (None, {"fields": ("source_model", "target_model", "judge_model", "state", "note")}),
        ("Figures", {"fields": ("figures_shown", "results_link")}),
        ("Prompts", {"fields": ("selection", "prompts", "left_out")}),
        ("Where", {"fields": ("url", "key", "created_at", "finished_at")}),
    )
    readonly_fields = ("figures_shown", "results_link")

    @display(description="State", label=STATES)
    def state_shown(self, run: ReplayRun) -> str:
        return run.state

    @display(description="Results")
    def results_link(self, run: ReplayRun) -> str:
        address = reverse("admin:experiments_replayresult_changelist")
        query = urlencode({"run__id__exact": run.pk})
        return format_html('<a class="text-primary-600" href="{}?{}">results</a>', address, query)

    @display(description="Report")
    def figures_shown(self, run: ReplayRun) -> str:
        found = report(replay_results.outcomes(run))
        lines = [
            "  ".join(part for part in row if part)
            for row in figures(found, run.source_model, run.target_model)
        ]
        return format_html('<pre class="whitespace-pre-wrap">{}</pre>', "\n".join(lines))


@admin.register(ReplayResult)
class ReplayResultAdmin(ReadOnlyAdmin):
    list_display = (
        "request_id",
        "state_shown",
        "status_code",
        "original_cost",
        "cost",
        "original_latency_ms",
        "latency_ms",
        "similarity",
        "text_ratio",
        "json_equal",
        "tools_equal",
        "verdict",
        "error",
    )
    list_filter = (
        "state",
        "verdict",
        "json_equal",
        "tools_equal",
        ("run", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("run",)
    search_fields = ("request_id", "replay_id", "error")
    readonly_fields = ("answer_shown",)
    exclude = ()

    def get_fields(self, request: HttpRequest, obj: ReplayResult | None = None) -> list[str]:
        names = [field.name for field in ReplayResult._meta.concrete_fields if field.name != "id"]
        return [*names, "answer_shown"]

    @display(description="State", label=STATES)
    def state_shown(self, result: ReplayResult) -> str:
        return result.state

    @display(description="Answer")
    def answer_shown(self, result: ReplayResult) -> str:
        answer = ReplayAnswer.objects.filter(pk=result.pk).values_list("body", flat=True).first()
        return shown(answer)
