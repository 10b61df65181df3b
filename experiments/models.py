"""A/B tests between two models, and what people said of the answers.

Stored prompts and replays have their models in `experiments.prompt_models`.
"""

import secrets

from django.core.exceptions import ValidationError
from django.db import models

from experiments import prompt_models  # noqa: F401 - where Django looks for models
from experiments.validation import Draft, problems
from upstreams.models import ApiType
from usage.models import UsageRecord

FIXED = ("name", "model_a", "model_b", "share_a")
"""What cannot change any more once a test has rows: they bear its name, and were made by these
models at this share. Rows made otherwise would be compared as if they were the same."""


class Status(models.TextChoices):
    """Whether a test splits traffic. Completed is final."""

    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"
    COMPLETED = "completed", "Completed"


def new_salt() -> str:
    return secrets.token_hex(8)


class ABTest(models.Model):
    """Two models that share a scope's requests. Its rows in the ledger bear its name."""

    name = models.CharField(max_length=100, unique=True)
    model_a = models.CharField("model A", max_length=200)
    model_b = models.CharField("model B", max_length=200)
    share_a = models.DecimalField(
        "share of A",
        max_digits=6,
        decimal_places=3,
        default=50,
        help_text="Per cent of the sessions that get model A; the others get model B.",
    )
    api_type = models.CharField(
        "API",
        max_length=20,
        choices=ApiType.choices,
        blank=True,
        help_text="Whose requests take part: a model of one API cannot answer the other's. "
        "Empty: both.",
    )
    app = models.CharField(max_length=200, blank=True, help_text="Empty: any.")
    tag = models.CharField(max_length=200, blank=True, help_text="Empty: any.")
    model = models.CharField(
        "model asked for",
        max_length=200,
        blank=True,
        help_text="Only requests that ask for this model. Empty: any, whatever it is.",
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    salt = models.CharField(max_length=32, default=new_salt, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    completed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "tw_ab_test"
        ordering = ["id"]
        verbose_name = "A/B test"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse what could never tell anything, and what would mix two tests in one report.

        Raises:
            ValidationError: by field.
        """
        draft = Draft(
            name=self.name or "",
            model_a=self.model_a or "",
            model_b=self.model_b or "",
            share_a=self.share_a,
            app=self.app or "",  # Oracle keeps an empty text as NULL
            tag=self.tag or "",
            model=self.model or "",
        )
        found = problems(draft) or self._conflicts()
        if found:
            raise ValidationError(found)

    def rows(self) -> models.QuerySet[UsageRecord]:
        """Its requests in the ledger, those that do not count included."""
        # The second condition is the index's own: SQLite uses a partial index only with it.
        return UsageRecord.objects.filter(ab_test=self.name).exclude(ab_test="").order_by()

    def _conflicts(self) -> dict[str, str]:
        """What the rows that are stored already forbid."""
        before = None if self._state.adding else ABTest.objects.filter(pk=self.pk).first()
        if before is None:
            taken = "Requests of an earlier test bear this name: choose another."
            return {"name": taken} if self.rows().exists() else {}
        if before.status == Status.COMPLETED and self.status != Status.COMPLETED:
            return {"status": "The test is completed, which is final: create a new one."}
        changed = [name for name in FIXED if getattr(self, name) != getattr(before, name)]
        if not changed or not before.rows().exists():
            return {}
        fixed = (
            "The test has requests, which this would mix with different ones: "
            "pause or complete it, and create a new one."
        )
        return dict.fromkeys(changed, fixed)


class ABFeedback(models.Model):
    """What somebody said of one answer. The request's row may be stored later than this."""

    request_id = models.CharField(max_length=32, unique=True)
    rating = models.DecimalField(max_digits=7, decimal_places=4)
    labels = models.CharField(max_length=600, blank=True, help_text="One a line.")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "tw_ab_feedback"
        verbose_name = "feedback"
        verbose_name_plural = "feedback"

    def __str__(self) -> str:
        return self.request_id
