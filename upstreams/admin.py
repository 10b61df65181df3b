"""The operator's upstreams in admin: changes reach every worker within about a second."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanWidget

from tokenwatch import policy
from upstreams.models import Upstream, UpstreamEvent
from upstreams.store import Standing, standings

LABELS = {"well": "success", "to be tried": "warning", "resting": "danger", "left out": "danger"}
WORDS = {"closed": "well", "problem": "left out"}


class UpstreamForm(forms.ModelForm):
    credential = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(
            render_value=False, attrs={"autocomplete": "new-password"}
        ),
        help_text="Goes out in place of the client's. Kept encrypted and never shown again; "
        "empty keeps the present one.",
    )
    clear_credential = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Forget the credential that is kept here.",
    )

    class Meta:
        model = Upstream
        fields = "__all__"  # noqa: DJ007 - the fieldsets name them

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        given = self.cleaned_data.get("credential", "")
        if given and self.cleaned_data.get("clear_credential"):
            self.add_error("clear_credential", "Replace the credential, or clear it.")
        elif self.cleaned_data.get("clear_credential"):
            self.instance.sealed_credential = ""
        elif given:
            try:
                self.instance.set_credential(given)
            except ValidationError as exc:
                self.add_error("credential", exc.message_dict["credential"])
        return cleaned


@admin.register(Upstream)
class UpstreamAdmin(ModelAdmin):
    form = UpstreamForm
    list_display = (
        "name",
        "api_type",
        "base_url",
        "priority",
        "weight",
        "enabled",
        "credential_shown",
        "state",
        "detail",
    )
    list_editable = ("priority", "weight", "enabled")
    list_filter = ("api_type", "enabled")
    search_fields = ("name", "base_url")
    list_fullwidth = True
    readonly_fields = ("credential_state", "state", "detail", "since", "worker", "created_at")
    actions = ("enable", "disable")
    fieldsets = (
        (None, {"fields": ("name", "api_type", "base_url", "enabled")}),
        ("Order", {"fields": ("priority", "weight")}),
        (
            "Credential",
            {
                "fields": (
                    "credential_state",
                    "credential",
                    "clear_credential",
                    "credential_env",
                    "forward_client_credential",
                )
            },
        ),
        ("Details", {"fields": ("connect_timeout", "overall_timeout", "model_names")}),
        ("Now", {"fields": ("state", "detail", "since", "worker", "created_at")}),
    )

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        upstreams = list(page.result_list)
        for upstream, standing in zip(
            upstreams, standings(upstreams, datetime.now(UTC)), strict=True
        ):
            upstream.standing = standing
        return page

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        first = not Upstream.objects.exists()
        return {"forward_client_credential": first, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Upstream, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not (obj.sealed_credential or obj.credential_env or obj.forward_client_credential):
            self.message_user(
                request,
                f"Requests go to {obj.name} without any credential.",
                messages.WARNING,
            )
        elif problem := _problem(obj):
            self.message_user(request, f"{obj.name} is left out: {problem}.", messages.ERROR)

    @display(description="Credential")
    def credential_shown(self, upstream: Upstream) -> str:
        if upstream.sealed_credential:
            return "own"
        if upstream.credential_env:
            return f"from {upstream.credential_env}"
        return "the client's" if upstream.forward_client_credential else "none"

    @display(description="Credential kept here")
    def credential_state(self, upstream: Upstream) -> str:
        if not upstream.sealed_credential:
            return "not set"
        problem = _problem(upstream)
        return f"set, but {problem}" if problem else "set"

    @display(description="State", label=LABELS)
    def state(self, upstream: Upstream) -> str | None:
        standing = _standing(upstream)
        if standing is None:
            return None
        return WORDS.get(standing.state, "resting" if standing.until else "to be tried")

    @display(description="Why")
    def detail(self, upstream: Upstream) -> str:
        standing = _standing(upstream)
        if standing is None or standing.state == "closed":
            return "-"
        until = f", until {standing.until:%Y-%m-%d %H:%M:%S} UTC" if standing.until else ""
        return f"{standing.error}{until}"

    @display(description="Since")
    def since(self, upstream: Upstream) -> str:
        standing = _standing(upstream)
        return f"{standing.since:%Y-%m-%d %H:%M:%S} UTC" if standing and standing.since else "-"

    @display(description="Seen by worker")
    def worker(self, upstream: Upstream) -> str:
        standing = _standing(upstream)
        return (standing.worker if standing else "") or "-"

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


def _standing(upstream: Upstream) -> Standing | None:
    if upstream._state.adding:
        return None
    standing: Standing | None = getattr(upstream, "standing", None)
    if standing is None:  # an upstream's own page
        (standing,) = standings([upstream], datetime.now(UTC))
        upstream.standing = standing  # type: ignore[attr-defined]
    return standing


def _problem(upstream: Upstream) -> str:
    (standing,) = standings([upstream], datetime.now(UTC))
    return standing.error if standing.state == "problem" else ""


@admin.register(UpstreamEvent)
class UpstreamEventAdmin(ModelAdmin):
    """The history of the upstreams' states; nobody edits it."""

    list_display = (
        "created_at",
        "upstream",
        "api_type",
        "state",
        "last_error",
        "failures",
        "cool_down_until",
        "worker",
    )
    list_filter = ("api_type", "state")
    search_fields = ("upstream", "last_error")
    show_full_result_count = False
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
