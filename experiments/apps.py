"""The experiments domain: A/B tests, stored prompts and their replay."""

from datetime import timedelta

from django.apps import AppConfig


class ExperimentsConfig(AppConfig):
    name = "experiments"

    def ready(self) -> None:
        from experiments import prompts
        from experiments.models import ABTest
        from tokenwatch import policy
        from tokenwatch.conf import config
        from usage import retention

        policy.watch(ABTest)
        days = config.prompt_retention_days
        kept = timedelta(days=days)
        retention.register(
            retention.Part(
                "stored prompts",
                lambda: f"{days} days",
                lambda now: prompts.count_older(now - kept),
                lambda now, size: prompts.remove_older(now - kept, size),
            )
        )
