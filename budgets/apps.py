"""The budgets domain: limits on spend, and the reservations that make them hold."""

from django.apps import AppConfig


class BudgetsConfig(AppConfig):
    name = "budgets"

    def ready(self) -> None:
        from budgets.models import Budget
        from budgets.settlement import settle_rows
        from tokenwatch import policy
        from usage import writer

        policy.watch(Budget)
        if settle_rows not in writer.alongside:
            writer.alongside.append(settle_rows)
