"""The price sheet in admin, beside the catalogue; a change holds within about a second."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import display

from tokenwatch import policy
from usage.models import ModelPrice
from usage.price_review import (
    UNPRICED_DAYS,
    catalogue_prices,
    review,
    reviewed,
    shown,
    unpriced_models,
)

LISTED_UNPRICED = 20


@admin.register(ModelPrice)
class ModelPriceAdmin(ModelAdmin):
    list_display = (
        "pattern",
        "price",
        "cache_price",
        "catalogue_price",
        "verdict",
        "state",
        "valid_from",
        "retired_at",
    )
    list_filter = ("retired_at",)
    search_fields = ("pattern",)
    actions = ("use_the_catalogue",)
    list_before_template = "usage/unpriced_models.html"
    fieldsets = (
        (None, {"fields": ("pattern", ("input_per_mtok", "output_per_mtok"))}),
        (
            "Prompt caching",
            {
                "fields": (
                    ("cache_read_per_mtok", "cache_write_per_mtok", "cache_write_1h_per_mtok"),
                ),
                "description": "A blank price stands to the input price as in the catalogue; "
                "for models that the catalogue does not know it is the input price.",
            },
        ),
        ("When", {"fields": ("valid_from", "retired_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelPrice]:
        return reviewed(timezone.now()).order_by("pattern", "-valid_from")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"valid_from": timezone.now(), **super().get_changeform_initial_data(request)}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        add = reverse("admin:usage_modelprice_add") if self.has_add_permission(request) else ""
        found = unpriced_models(timezone.now())[:LISTED_UNPRICED]
        context = {
            "unpriced_days": UNPRICED_DAYS,
            "unpriced_models": [
                {
                    "model": item.model,
                    "requests": item.requests,
                    "url": f"{add}?{urlencode({'pattern': item.model})}" if add else "",
                }
                for item in found
            ],
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    @admin.display(description="Input / output")
    def price(self, row: ModelPrice) -> str:
        return f"{shown(row.input_per_mtok)} / {shown(row.output_per_mtok)}"

    @admin.display(description="Cache read / write / 1 h")
    def cache_price(self, row: ModelPrice) -> str:
        prices = (row.cache_read_per_mtok, row.cache_write_per_mtok, row.cache_write_1h_per_mtok)
        return " / ".join(shown(price) for price in prices)

    @admin.display(description="Catalogue: input / output")
    def catalogue_price(self, row: ModelPrice) -> str:
        published = review(row, timezone.now()).published
        if not published:
            return "–"
        return f"{shown(published.get('input'))} / {shown(published.get('output'))}"

    @display(
        description="Compared",
        label={"differs": "warning", "same": "success", "not in the catalogue": "info"},
    )
    def verdict(self, row: ModelPrice) -> str:
        return review(row, timezone.now()).verdict

    @admin.display(description="State")
    def state(self, row: ModelPrice) -> str:
        return review(row, timezone.now()).state

    @admin.action(description="Use the catalogue's price", permissions=["change"])
    def use_the_catalogue(self, request: HttpRequest, queryset: QuerySet[ModelPrice]) -> None:
        """Retire the rows: from now on the catalogue speaks. What was billed stays billed."""
        now = timezone.now()
        retired = []
        for row in queryset.order_by("pattern", "pk"):
            if row.retired_at is not None and row.retired_at <= now:
                continue
            if "*" not in row.pattern and catalogue_prices(row.pattern, now)[1] is None:
                messages.warning(
                    request,
                    f"{row.pattern} stays: the catalogue has no price for it. "
                    "Set “retired at” in the row to retire it all the same.",
                )
                continue
            retired.append(row)
        if retired:
            ModelPrice.objects.filter(pk__in=[row.pk for row in retired]).update(retired_at=now)
            policy.bump()  # an update of many rows sends no signal
            for row in retired:
                self.log_change(request, row, "Retired: the catalogue's price is used.")
        noun = "row" if len(retired) == 1 else "rows"
        self.message_user(request, f"{len(retired)} {noun} retired.")
