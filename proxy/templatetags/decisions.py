"""The recorded decision of a request for templates: the ledger knows nothing of the proxy."""

from django import template

from proxy.explain import Stage
from proxy.recorded import Row, recorded

register = template.Library()


@register.filter
def decision_stages(row: Row) -> tuple[Stage, ...]:
    """What was decided for a request, stage by stage."""
    return recorded(row).stages
