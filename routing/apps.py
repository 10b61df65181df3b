"""The routing domain: which tag a request gets."""

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"

    def ready(self) -> None:
        from routing.models import TagRule
        from tokenwatch import policy

        policy.watch(TagRule)
