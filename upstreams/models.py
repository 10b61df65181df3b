"""Where requests go: the providers' endpoints that an operator has added."""

from django.core.exceptions import ValidationError
from django.db import models

from tokenwatch.conf import http_url


class ApiType(models.TextChoices):
    """The wire format of an endpoint, and the first part of its proxy URL."""

    ANTHROPIC = "anthropic", "Anthropic"
    OPENAI = "openai", "OpenAI-compatible"


def validate_base_url(value: str) -> None:
    try:
        http_url(value)
    except ValueError as exc:
        raise ValidationError(f"{exc}.") from None


class Upstream(models.Model):
    """One endpoint. Where an api type has no enabled row, the configured URL serves."""

    name = models.CharField(max_length=100, unique=True, help_text="Shown in the ledger.")
    api_type = models.CharField(max_length=20, choices=ApiType.choices)
    base_url = models.CharField(
        max_length=500,
        validators=[validate_base_url],
        help_text="For example https://api.openai.com: what stands before /v1/…",
    )
    priority = models.IntegerField(
        default=100, help_text="The enabled endpoint with the lowest number is used."
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "tw_upstream"
        ordering = ["api_type", "priority", "name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.base_url = self.base_url.strip().rstrip("/")
