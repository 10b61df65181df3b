"""Where requests go: the providers' endpoints that an operator has added, and their health."""

import os
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from tokenwatch.conf import PREFIX, Config, http_url
from upstreams.secrets import seal, unseal
from upstreams.validation import (
    credential_problem,
    host_problem,
    read_models,
    variable_problem,
)

SETTINGS = frozenset(PREFIX + name.upper() for name in Config.__dataclass_fields__)
SECONDS = (MinValueValidator(0.1), MaxValueValidator(86_400))


class ApiType(models.TextChoices):
    """The wire format of an endpoint, and the first part of its proxy URL."""

    ANTHROPIC = "anthropic", "Anthropic"
    OPENAI = "openai", "OpenAI-compatible"


def validate_base_url(value: str) -> None:
    try:
        http_url(value)
    except ValueError as exc:
        raise ValidationError(f"{exc}.") from None
    if problem := host_problem(urlsplit(value.strip()).hostname or ""):
        raise ValidationError(problem)


def validate_models(value: str) -> None:
    try:
        read_models(value)
    except ValueError as exc:
        raise ValidationError(str(exc)) from None


def validate_variable(value: str) -> None:
    if problem := variable_problem(value, SETTINGS):
        raise ValidationError(problem)


class CredentialMissing(Exception):
    """The environment variable that an upstream's credential is in is not set."""


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
        default=100,
        help_text="The lowest number goes first; the next serves where it fails.",
    )
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MaxValueValidator(1000)],
        help_text="Share among upstreams of the same priority. 0: only where the others fail.",
    )
    sealed_credential = models.CharField(max_length=2000, blank=True, editable=False)
    credential_env = models.CharField(
        "credential from variable",
        max_length=100,
        blank=True,
        validators=[validate_variable],
        help_text="Environment variable that holds the credential, instead of one kept here.",
    )
    forward_client_credential = models.BooleanField(
        default=False,
        help_text="Where it has no credential of its own, send it the client's. Only for the "
        "host that your clients' keys are for: without this a client's key never goes there.",
    )
    connect_timeout = models.FloatField(
        null=True, blank=True, validators=SECONDS, help_text="Seconds; empty: the setting's."
    )
    overall_timeout = models.FloatField(
        null=True, blank=True, validators=SECONDS, help_text="Seconds; empty: the setting's."
    )
    model_names = models.CharField(
        max_length=2000,
        blank=True,
        validators=[validate_models],
        help_text='What models are called there, as JSON: {"gpt-4o": "my-deployment"}.',
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "tw_upstream"
        ordering = ["api_type", "priority", "name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.base_url = self.base_url.strip().rstrip("/")
        if self.sealed_credential and self.credential_env:
            raise ValidationError(
                {"credential_env": "Keep one credential: here, or in a variable, not both."}
            )

    def set_credential(self, credential: str) -> None:
        """Keep a credential, encrypted; an empty one is none.

        Raises:
            ValidationError: it cannot be sent in a header.
        """
        if problem := credential_problem(credential):
            raise ValidationError({"credential": problem})
        self.sealed_credential = seal(credential) if credential else ""

    def credential(self) -> str:
        """Its own credential in the clear; empty where it has none.

        Raises:
            Unreadable: it was encrypted with another key.
            CredentialMissing: the variable that should hold it is not set, or is no credential.
        """
        if self.sealed_credential:
            return unseal(self.sealed_credential)
        if not self.credential_env:
            return ""
        found = os.environ.get(self.credential_env, "").strip()
        if not found:
            raise CredentialMissing(f"the variable {self.credential_env} is not set")
        if credential_problem(found):
            raise CredentialMissing(f"the variable {self.credential_env} holds no credential")
        return found


class _State(models.Model):
    """What a worker found out about an upstream."""

    api_type = models.CharField(max_length=20)
    upstream = models.CharField(max_length=100)
    state = models.CharField(max_length=20)
    failures = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=200, blank=True)
    cool_down_until = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=100)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.upstream}: {self.state}"


class UpstreamHealth(_State):
    """The present state of an upstream's circuit breaker, as the last worker saw it change."""

    since = models.DateTimeField()

    class Meta:
        db_table = "tw_upstream_health"
        verbose_name = verbose_name_plural = "upstream health"
        constraints = [
            models.UniqueConstraint(fields=["api_type", "upstream"], name="tw_upstream_health_key")
        ]


class UpstreamEvent(_State):
    """One change of an upstream's state; only the newest are kept."""

    created_at = models.DateTimeField()

    class Meta:
        db_table = "tw_upstream_event"
        ordering = ["-id"]


def as_values(event: UpstreamEvent) -> dict[str, Any]:
    """What an event and the present state have in common."""
    names = ("api_type", "upstream", "state", "failures", "last_error", "cool_down_until", "worker")
    return {name: getattr(event, name) for name in names}
