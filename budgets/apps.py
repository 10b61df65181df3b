"""The budgets domain: limits on spend, and the reservations that make them hold."""

from django.apps import AppConfig


class BudgetsConfig(AppConfig):
    name = "budgets"

    def ready(self) -> None:
        from budgets import webhooks
        from budgets.models import Budget
        from budgets.settlement import keep_pruned, settle_rows
        from tokenwatch import policy
        from usage import retention, writer

        policy.watch(Budget)
        if settle_rows not in writer.alongside:
            writer.alongside.append(settle_rows)
        if keep_pruned not in retention.alongside:
            retention.alongside.append(keep_pruned)
        retention.register(
            retention.Part(
                name="webhook messages",
                kept=lambda: f"{webhooks.KEPT.days} days",
                count=lambda now: webhooks.finished(now).count(),
                step=webhooks.clean,
            )
        )
