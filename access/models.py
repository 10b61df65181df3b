"""Who may use the proxy, and how much at a time: client keys and rate limits."""

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from access.keys import SHOWN, digest, names
from access.limits import KEY, RATE_LIMIT, LimitSpec
from tokenwatch.globs import matches_nothing

COUNTS = (MinValueValidator(1), MaxValueValidator(10**9))
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*")


def validate_patterns(value: str) -> None:
    for pattern in names(value):
        if matches_nothing(pattern):
            raise ValidationError(f"No name can match {pattern!r}.")


def validate_line(value: str) -> None:
    if not (_PRINTABLE.fullmatch(value) and value.isprintable()):
        raise ValidationError("Write printable characters on one line.")


class Limits(models.Model):
    """What keys and rate limits have in common. Empty numbers are no limit."""

    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNTS, help_text="In any 60 seconds; empty: no limit."
    )
    tokens_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=COUNTS,
        help_text="Estimated when a request comes, corrected by its answer; empty: no limit.",
    )
    concurrent_requests = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNTS, help_text="At the same time; empty: no limit."
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    def _limit(self, kind: int, name: str) -> LimitSpec | None:
        spec = LimitSpec(
            kind,
            self.pk or 0,
            name,
            self.requests_per_minute,
            self.tokens_per_minute,
            self.concurrent_requests,
        )
        return spec if spec else None


class ProxyKey(Limits):
    """A client key. The key itself is shown once, when it is made, and stored nowhere."""

    name = models.CharField(
        max_length=100, unique=True, validators=[validate_line], help_text="Who uses it."
    )
    shown = models.CharField("begins with", max_length=20, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    app = models.CharField(
        max_length=200,
        blank=True,
        validators=[validate_line],
        help_text="The app that its requests count for, whatever they say of themselves; a budget "
        "for this app is a budget for the key. Empty: the requests' own word counts.",
    )
    tag = models.CharField(
        max_length=200,
        blank=True,
        validators=[validate_line],
        help_text="The tag of its requests. Empty: their own, or the tag rules'.",
    )
    models_allowed = models.CharField(
        "models",
        max_length=1000,
        blank=True,
        validators=[validate_patterns],
        help_text="Names or patterns with commas between: gpt-4o-mini, claude-*. Empty: all.",
    )
    upstreams_allowed = models.CharField(
        "upstreams",
        max_length=1000,
        blank=True,
        validators=[validate_patterns],
        help_text="Names or patterns of the upstreams that may serve it. Empty: all.",
    )
    expires_at = models.DateTimeField(null=True, blank=True, help_text="UTC; empty: never.")
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    new_key = ""
    """The key itself, where it was made just now; never stored."""

    class Meta:
        db_table = "tw_proxy_key"
        ordering = ["name"]
        verbose_name = "client key"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.name, self.app, self.tag = self.name.strip(), self.app.strip(), self.tag.strip()

    def set_key(self, key: str) -> None:
        """Make this row the one of a key; the key it was of before is worth nothing any more."""
        self.shown, self.digest = key[:SHOWN], digest(key.encode())

    def limit(self) -> LimitSpec | None:
        return self._limit(KEY, f"the key {self.name!r}")


class RateLimit(Limits):
    """A limit for all requests of one app, or of the whole service, with or without a key."""

    name = models.CharField(max_length=100, unique=True, validators=[validate_line])
    app = models.CharField(
        max_length=200,
        blank=True,
        validators=[validate_line],
        help_text="Whose requests it counts. Empty: all requests.",
    )

    class Meta:
        db_table = "tw_rate_limit"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.name, self.app = self.name.strip(), self.app.strip()
        if not self.limit():
            raise ValidationError({"requests_per_minute": "Give at least one limit."})

    def limit(self) -> LimitSpec | None:
        return self._limit(RATE_LIMIT, f"the app {self.app!r}" if self.app else "the whole service")


def as_dict(row: ProxyKey | RateLimit) -> dict[str, Any]:
    """A row for people and programs; of a key nothing that could be used."""
    hidden = {"digest"}
    fields = (field.attname for field in row._meta.concrete_fields)
    return {name: getattr(row, name) for name in fields if name not in hidden}
