"""Budgets in admin: how they stand, and the switches. Changes reach workers in about a second."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.timezone import localtime
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from budgets.figures import BudgetStatus, statuses
from budgets.models import Budget, DeliveryState, WebhookDelivery
from tokenwatch import policy

LABELS = {
    "ok": "success",
    "approaching": "warning",
    "exceeded": "danger",
    "killed": "danger",
    "inactive": "info",
}


class BudgetForm(forms.ModelForm):
    webhook_secret = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(render_value=False),
        help_text="Signs what the webhook is told. Never shown again; empty keeps the present one.",
    )

    class Meta:
        model = Budget
        fields = "__all__"  # noqa: DJ007 - the fieldsets name them
        labels = {"webhook_url": "Webhook URL"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if (limit := self.initial.get("limit")) is not None:  # 50, not 50.0000000000
            self.initial["limit"] = f"{limit.normalize():f}"

    def clean_webhook_secret(self) -> str:
        return self.cleaned_data["webhook_secret"] or self.instance.webhook_secret or ""


@admin.register(Budget)
class BudgetAdmin(ModelAdmin):
    form = BudgetForm
    list_display = ("name", "scope_shown", "spent", "state", "action", "period", "resets")
    list_filter = ("scope", "period", "action", "active", "killed")
    search_fields = ("name", "pattern")
    list_fullwidth = True
    readonly_fields = ("spent", "resets", "created_at")
    actions = ("enable", "disable", "kill", "revive", "reset_period")
    fieldsets = (
        (None, {"fields": ("name", "active", "killed")}),
        ("What it counts", {"fields": ("scope", "pattern")}),
        ("Limit", {"fields": ("unit", "limit", "period", "time_zone", "action", "threshold")}),
        ("Webhook", {"fields": ("webhook_url", "webhook_secret")}),
    )
    now = ("Now", {"fields": ("spent", "resets", "created_at")})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """How it stands comes with the budget: one that is being added does not stand yet."""
        shown = super().get_fieldsets(request, obj)
        return shown if obj is None else [*shown, self.now]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        budgets = list(page.result_list)
        for budget, status in zip(budgets, statuses(budgets, datetime.now(UTC)), strict=True):
            budget.status = status
        page.result_list = budgets
        return page

    @display(description="Scope")
    def scope_shown(self, budget: Budget) -> str:
        return "everything" if budget.scope == "global" else f"{budget.scope} {budget.pattern}"

    @display(description="Spent")
    def spent(self, budget: Budget) -> str:
        status = _status(budget)
        if status is None:
            return "-"
        spec = status.spec
        return render_to_string(
            "admin/budgets/spent.html",
            {
                "spent": spec.shown(status.spent),
                "limit": spec.shown(spec.limit),
                "percent": round(status.share * 100),
                "width": min(100, round(status.share * 100)),
                "state": status.state,
            },
        )

    @display(description="State", label=LABELS)
    def state(self, budget: Budget) -> str | None:
        status = _status(budget)
        return status.state if status else None

    @display(description="Resets")
    def resets(self, budget: Budget) -> str:
        status = _status(budget)
        if status is None or status.period.end is None:
            return "never"
        end = localtime(datetime.fromtimestamp(status.period.end, UTC))
        return f"{end:%Y-%m-%d %H:%M} UTC"

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Budget]) -> None:
        self._change(request, queryset, "enabled", active=True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Budget]) -> None:
        self._change(request, queryset, "disabled", active=False)

    @admin.action(description="Kill: block at once", permissions=["change"])
    def kill(self, request: HttpRequest, queryset: QuerySet[Budget]) -> None:
        # One that is not active would block nothing.
        self._change(request, queryset, "blocked", killed=True, active=True)

    @admin.action(description="Revive: take the kill switch back", permissions=["change"])
    def revive(self, request: HttpRequest, queryset: QuerySet[Budget]) -> None:
        self._change(request, queryset, "revived", killed=False)

    @admin.action(description="Reset: begin the period anew", permissions=["change"])
    def reset_period(self, request: HttpRequest, queryset: QuerySet[Budget]) -> None:
        self._change(request, queryset, "begun anew", reset_at=datetime.now(UTC))

    def _change(
        self, request: HttpRequest, queryset: QuerySet[Budget], word: str, **values: Any
    ) -> None:
        # order_by: Oracle and PostgreSQL update no ordered set, and the list is one.
        with transaction.atomic():
            changed = queryset.order_by().update(**values)
            policy.bump()  # an update of many rows sends no signal
        self.message_user(request, f"{changed} {'budget' if changed == 1 else 'budgets'} {word}.")


def _status(budget: Budget) -> BudgetStatus | None:
    if budget._state.adding:
        return None
    status: BudgetStatus | None = getattr(budget, "status", None)
    if status is None:  # a budget's own page
        status = statuses([budget], datetime.now(UTC))[0]
        budget.status = status  # type: ignore[attr-defined]
    return status


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ModelAdmin):
    """The log of what webhooks were told; it goes with its budget, and nobody edits it."""

    list_display = (
        "created_at",
        "budget",
        "event",
        "state_shown",
        "attempts",
        "response_status",
        "next_attempt",
        "last_error",
    )
    list_filter = ("state", "event")
    list_select_related = ("budget",)
    search_fields = ("url", "budget__name")
    show_full_result_count = False
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(
        description="State",
        label={"pending": "info", "delivered": "success", "failed": "danger"},
    )
    def state_shown(self, delivery: WebhookDelivery) -> str:
        return delivery.state

    @display(description="Next attempt")
    def next_attempt(self, delivery: WebhookDelivery) -> datetime | None:
        return delivery.next_attempt_at if delivery.state == DeliveryState.PENDING else None
