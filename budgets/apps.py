"""The budgets domain: limits on spend, and the reservations that make them hold."""

from django.apps import AppConfig


class BudgetsConfig(AppConfig):
    name = "budgets"

    def ready(self) -> None:
        from budgets.models import Budget
        from tokenwatch import policy

        policy.watch(Budget)
