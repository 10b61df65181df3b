"""Routing rules in admin, with what is odd about them, and a page that tries them on a request.

Changes hold in about a second.
"""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html_join
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from routing.conditions import EXAMPLES
from routing.models import ConditionKind, RoutingCondition, RoutingRule
from routing.store import all_rules, reviewed
from routing.trying import TryRulesForm, tried
from tokenwatch import policy


class ConditionInline(TabularInline):
    model = RoutingCondition
    hide_title = True
    verbose_name_plural = "Conditions: all must hold; without any, the rule is for every request"

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 1 if obj is None else 0


@admin.register(RoutingRule)
class RoutingRuleAdmin(ModelAdmin):
    list_display = ("name", "priority", "when", "goes_to", "enabled", "notes")
    list_filter = ("enabled",)
    search_fields = ("name", "model", "upstreams", "fallbacks", "conditions__value")
    list_fullwidth = True
    readonly_fields = ("notes", "created_at")
    inlines = (ConditionInline,)
    actions = ("enable", "disable")
    list_before_template = "admin/routing/try_link.html"
    change_form_outer_after_template = "admin/routing/rule_help.html"
    fieldsets = (
        (None, {"fields": ("name", "priority", "enabled")}),
        ("Where the requests go", {"fields": ("model", "upstreams", "fallbacks")}),
        ("Now", {"fields": ("notes", "created_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[RoutingRule]:
        return super().get_queryset(request).prefetch_related("conditions")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.try_view)
        return [path("try/", view, name="routing_routingrule_try"), *super().get_urls()]

    def try_view(self, request: HttpRequest) -> HttpResponse:
        """Which rule would decide where a request goes, and why not the others."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = TryRulesForm(request.POST or None)
        context = {
            **self.admin_site.each_context(request),
            "title": "Try the routing rules on a request",
            "opts": self.opts,
            "form": form,
            "tried": tried(form.facts()) if form.is_bound and form.is_valid() else None,
        }
        return TemplateResponse(request, "admin/routing/try_rules.html", context)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        found = reviewed(all_rules())
        rules = list(page.result_list)
        for rule in rules:
            rule.found = found.get(rule.pk, [])
        page.result_list = rules
        return page

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        labels = dict(ConditionKind.choices)
        examples = [(labels[kind], values) for kind, values in EXAMPLES.items()]
        context = {"examples": examples, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def save_related(
        self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        for note in reviewed(all_rules()).get(form.instance.pk, ()):
            self.message_user(request, note, messages.WARNING)

    @display(description="When")
    def when(self, rule: RoutingRule) -> str:
        return rule.when

    @display(description="Goes to")
    def goes_to(self, rule: RoutingRule) -> str:
        return rule.goes_to

    @display(description="Notes")
    def notes(self, rule: RoutingRule) -> str:
        if rule._state.adding:
            return "-"
        found = getattr(rule, "found", None)
        if found is None:  # a rule's own page
            found = reviewed(all_rules()).get(rule.pk, [])
        marked = '<span class="text-orange-700 dark:text-orange-400">{}</span>'
        return format_html_join(" ", marked, ((note,) for note in found))

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[RoutingRule]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[RoutingRule]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(
        self, request: HttpRequest, queryset: QuerySet[RoutingRule], *, enabled: bool
    ) -> None:
        # order_by: Oracle and PostgreSQL update no ordered set, and the list is one.
        changed = queryset.order_by().exclude(enabled=enabled).update(enabled=enabled)
        if changed:
            policy.bump()  # an update of many rows sends no signal
        noun = "routing rule" if changed == 1 else "routing rules"
        self.message_user(request, f"{changed} {noun} {'enabled' if enabled else 'disabled'}.")
