"""Budgets, what was spent of each in a period, and the slices that workers hold of them.

Amounts in `BudgetCounter` and `BudgetLease` are whole *units*: ten-billionths of a US dollar,
or tokens. SQLite adds decimals up in binary floating point; integers are exact everywhere.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from budgets.validation import Draft, problems


class Scope(models.TextChoices):
    """Whose requests a budget counts."""

    GLOBAL = "global", "Everything"
    APP = "app", "App"
    MODEL = "model", "Model"
    TAG = "tag", "Tag"
    SESSION = "session", "Session"


class Unit(models.TextChoices):
    USD = "usd", "US dollars"
    TOKENS = "tokens", "Tokens"


class PeriodKind(models.TextChoices):
    HOURLY = "hourly", "Hourly"
    DAILY = "daily", "Daily"
    WEEKLY = "weekly", "Weekly"
    MONTHLY = "monthly", "Monthly"
    TOTAL = "total", "Total"


class Action(models.TextChoices):
    """What happens at the limit."""

    BLOCK = "block", "Block"
    WARN = "warn", "Warn"
    NOTIFY = "notify", "Notify"


class Budget(models.Model):
    """A limit on what a scope may spend in a period."""

    name = models.CharField(max_length=100, unique=True)
    scope = models.CharField(max_length=20, choices=Scope.choices, default=Scope.GLOBAL)
    pattern = models.CharField(
        max_length=200,
        blank=True,
        help_text="The app, model, tag or session; * and ? stand for any text.",
    )
    unit = models.CharField(max_length=10, choices=Unit.choices, default=Unit.USD)
    limit = models.DecimalField(max_digits=20, decimal_places=10)
    period = models.CharField(max_length=10, choices=PeriodKind.choices, default=PeriodKind.MONTHLY)
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="Where its days begin, for example Europe/Berlin."
    )
    action = models.CharField(max_length=10, choices=Action.choices, default=Action.BLOCK)
    threshold = models.PositiveSmallIntegerField(
        default=80, help_text="Per cent of the limit from which answers carry a warning."
    )
    webhook_url = models.CharField(max_length=500, blank=True)
    webhook_secret = models.CharField(max_length=200, blank=True)
    active = models.BooleanField(default=True)
    killed = models.BooleanField(
        "kill switch",
        default=False,
        help_text="Blocks the scope at once, whatever was spent and whatever the action is.",
    )
    reset_at = models.DateTimeField(
        null=True, blank=True, help_text="The period was begun anew by hand at this moment."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "tw_budget"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Counters of another scope, unit or period count something else: they are built anew."""
        with transaction.atomic():
            before = Budget.objects.filter(pk=self.pk).first()
            super().save(*args, **kwargs)
            if before is not None and before.counts != self.counts:
                BudgetCounter.objects.filter(budget=self).delete()

    @property
    def counts(self) -> tuple[str, str, str, str, str]:
        """What it counts, in which unit, and in which periods. A week and its Monday begin at
        the same moment, so counters do not survive a change of the period either."""
        pattern = self.pattern or ""  # Oracle keeps an empty one as NULL
        return self.scope, pattern, self.unit, self.period, self.time_zone

    def clean(self) -> None:
        """Refuse what could never match or never act.

        Raises:
            ValidationError: by field.
        """
        draft = Draft(
            scope=self.scope,
            pattern=self.pattern or "",
            unit=self.unit,
            limit=self.limit,
            time_zone=self.time_zone,
            action=self.action,
            threshold=self.threshold,
            webhook_url=self.webhook_url or "",
            active=self.active,
            killed=self.killed,
        )
        if found := problems(draft):
            raise ValidationError(found)


class BudgetCounter(models.Model):
    """What was spent of a budget in one period, and what workers hold to spend.

    ``spent`` is the sum over the ledger's rows and changes in the transaction that writes
    them; ``pruned`` is the part of it whose rows retention has removed since. ``leased`` is
    the sum of the leases' amounts. Whoever changes a lease has updated its counter's row before
    in the same transaction, which puts such changes one after another.
    """

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="counters")
    period_start = models.DateTimeField()
    spent = models.BigIntegerField(default=0)
    pruned = models.BigIntegerField(default=0)
    leased = models.BigIntegerField(default=0)
    checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "tw_budget_counter"
        constraints = [
            models.UniqueConstraint(fields=["budget", "period_start"], name="tw_counter_period")
        ]

    def __str__(self) -> str:
        return f"{self.budget_id} from {self.period_start:%Y-%m-%d %H:%M}"


class BudgetLease(models.Model):
    """A slice of a counter's remaining budget that one worker grants from.

    It belongs to the worker until ``expires_at``; a living worker moves that moment on.
    """

    counter = models.ForeignKey(BudgetCounter, on_delete=models.CASCADE, related_name="leases")
    worker = models.CharField(max_length=64)
    amount = models.BigIntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "tw_budget_lease"
        indexes = [
            models.Index(fields=["worker"], name="tw_lease_worker"),
            models.Index(fields=["expires_at"], name="tw_lease_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of {self.counter_id} for {self.worker}"


class Event(models.TextChoices):
    """What a webhook tells."""

    APPROACHING = "approaching", "Approaching"
    EXCEEDED = "exceeded", "Exceeded"


class DeliveryState(models.TextChoices):
    PENDING = "pending", "Pending"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class WebhookDelivery(models.Model):
    """One message to a budget's webhook: one for each budget, period and event."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=20, choices=Event.choices)
    period_start = models.DateTimeField()
    url = models.CharField(max_length=500)
    payload = models.TextField()
    state = models.CharField(
        max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    response_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "tw_webhook_delivery"
        ordering = ["-created_at"]
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["budget", "period_start", "event"], name="tw_delivery_once"
            )
        ]
        indexes = [
            models.Index(fields=["state", "next_attempt_at"], name="tw_delivery_due"),
            models.Index(fields=["created_at"], name="tw_delivery_created"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.url}"
