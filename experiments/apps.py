"""The experiments domain: A/B tests, stored prompts and their replay."""

from django.apps import AppConfig


class ExperimentsConfig(AppConfig):
    name = "experiments"

    def ready(self) -> None:
        from experiments.models import ABTest
        from tokenwatch import policy

        policy.watch(ABTest)
