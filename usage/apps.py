from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "usage"
    verbose_name = "Ledger"

    def ready(self) -> None:
        from tokenwatch import policy
        from usage.models import ModelPrice

        policy.watch(ModelPrice)
