"""Tag rules in admin, with a page that tries them on a text. Changes hold in about a second.

Routing rules are in `routing.rules_admin`.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from routing.models import TagRule
from routing.patterns import Pattern, PatternError, check
from routing.store import load_tag_rules, tag_spec
from routing.tags import REGEX, TagRules, matches_app
from tokenwatch import policy


class TryForm(forms.Form):
    """A request to try rules on."""

    app = forms.CharField(required=False, max_length=200, widget=UnfoldAdminTextInputWidget)
    text = forms.CharField(
        required=False, label="Last user message", widget=UnfoldAdminTextareaWidget({"rows": 6})
    )
    pattern = forms.CharField(
        required=False,
        max_length=1000,
        label="A regular expression that is not saved yet",
        widget=UnfoldAdminTextInputWidget,
    )

    def clean_pattern(self) -> str:
        pattern: str = self.cleaned_data["pattern"]
        if pattern:
            try:
                check(pattern)
            except PatternError as exc:
                raise forms.ValidationError(str(exc)) from None
        return pattern


@admin.register(TagRule)
class TagRuleAdmin(ModelAdmin):
    list_display = ("name", "priority", "kind", "pattern", "tag", "enabled")
    list_filter = ("kind", "enabled")
    search_fields = ("name", "pattern", "tag")
    readonly_fields = ("created_at",)
    actions = ("enable", "disable")
    list_before_template = "admin/routing/try_link.html"
    change_form_outer_after_template = "admin/routing/try_link.html"
    fieldsets = (
        (None, {"fields": ("name", "kind", "pattern", "tag")}),
        ("Use", {"fields": ("priority", "enabled", "created_at")}),
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.try_view)
        return [path("try/", view, name="routing_tagrule_try"), *super().get_urls()]

    def try_view(self, request: HttpRequest) -> HttpResponse:
        """Which rule would give a request its tag, and why not the others."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = TryForm(request.POST or None)
        context = {
            **self.admin_site.each_context(request),
            "title": "Try the tag rules on a request",
            "opts": self.opts,
            "form": form,
            "tried": tried(form.cleaned_data) if form.is_bound and form.is_valid() else None,
        }
        return TemplateResponse(request, "admin/routing/try.html", context)

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[TagRule]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[TagRule]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[TagRule], *, enabled: bool) -> None:
        # order_by: Oracle and PostgreSQL update no ordered set, and the list is one.
        changed = queryset.order_by().exclude(enabled=enabled).update(enabled=enabled)
        if changed:
            policy.bump()  # an update of many rows sends no signal
        noun = "tag rule" if changed == 1 else "tag rules"
        self.message_user(request, f"{changed} {noun} {'enabled' if enabled else 'disabled'}.")


def tried(request: dict[str, Any]) -> dict[str, Any]:
    """What the rules say of a request, for the page."""
    app, text = request["app"].strip(), request["text"]
    winner = load_tag_rules().match(app, lambda: text)
    rules = [_row(rule, app, text, winner.id if winner else None) for rule in TagRule.objects.all()]
    unsaved = None
    if request["pattern"]:
        unsaved = _parts(text, Pattern(request["pattern"]).span(text))
    return {"winner": winner, "rules": rules, "unsaved": unsaved, "pattern": request["pattern"]}


def _row(rule: TagRule, app: str, text: str, winner: int | None) -> dict[str, Any]:
    spec = tag_spec(rule)
    if spec.kind == REGEX:
        try:
            matches = TagRules([spec]).match(app, lambda: text) is not None
        except PatternError:
            matches = False
    else:
        matches = matches_app(spec, app)
    return {"rule": rule, "matches": matches, "wins": rule.pk == winner}


def _parts(text: str, span: tuple[int, int] | None) -> dict[str, str] | None:
    """A text in three: before, within and behind a match."""
    if span is None:
        return {"before": text, "match": "", "after": ""}
    start, end = span
    before, after = text[max(0, start - 80) : start], text[end : end + 80]
    return {"before": before, "match": text[start:end] or "(the empty text)", "after": after}


from routing import rules_admin  # noqa: E402, F401 - registers the routing rules
