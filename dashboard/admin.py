"""API tokens in the admin: the key is shown once, when it is made."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from dashboard import tokens
from dashboard.models import ApiToken


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):
    list_display = ("name", "hint", "scope", "state", "created_at", "last_used_at")
    list_filter = ("scope",)
    search_fields = ("name",)
    fields = ("name", "scope", "hint", "created_at", "last_used_at", "revoked_at")
    readonly_fields = ("hint", "created_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj is not None else ("name", "scope")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # A key in use does not gain rights: make another.
        return (*self.readonly_fields, "scope") if obj is not None else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if not change:
            key = tokens.new_key()
            obj.digest, obj.hint = tokens.digest(key), tokens.hint(key)
            self.message_user(request, f"The key, shown only now: {key}", level=messages.WARNING)
        super().save_model(request, obj, form, change)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        open_ones = queryset.order_by().filter(revoked_at__isnull=True)
        count = open_ones.update(revoked_at=datetime.now(UTC))
        self.message_user(request, f"{count} {'token' if count == 1 else 'tokens'} revoked.")

    @display(description="State", label={"open": "success", "revoked": "danger"})
    def state(self, token: ApiToken) -> str:
        return "open" if token.revoked_at is None else "revoked"
