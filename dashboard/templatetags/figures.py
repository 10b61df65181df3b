"""The figures of `dashboard.present` as template filters, and links that keep the view."""

from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard import present
from dashboard.params import NONE, Params

register = template.Library()
register.filter("dollars", present.dollars)
register.filter("exact_dollars", present.exact_dollars)
register.filter("count", present.count)
register.filter("ms", present.milliseconds)
register.filter("share", present.share)


@register.filter
def whole(number: int | None) -> str:
    return present.NONE if number is None else f"{number:,}"


@register.filter
def percent_width(part: float | None) -> str:
    """A bar's length as CSS: 0 to 100, with a point whatever the locale."""
    return f"{min(1.0, max(0.0, part or 0.0)) * 100:.2f}"


@register.filter
def moment(value: datetime | None) -> SafeString:
    """A time that the page's script shows in the chosen zone; without script it is UTC."""
    if value is None:
        return format_html("{}", present.NONE)
    utc = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" class="d-time">{} UTC</time>',
        utc.isoformat().replace("+00:00", "Z"),
        f"{utc:%Y-%m-%d %H:%M:%S}",
    )


@register.simple_tag
def link(params: Params, **changes: Any) -> str:
    """The query of this view with some parameters changed; an empty name asks for none."""
    return params.url(**{k: None if v is None else str(v) or NONE for k, v in changes.items()})
