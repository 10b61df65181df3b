"""The routing domain: where a request goes, and which tag it gets."""

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"

    def ready(self) -> None:
        from routing.models import RoutingCondition, RoutingRule, TagRule
        from tokenwatch import policy

        policy.watch(TagRule, RoutingRule, RoutingCondition)
