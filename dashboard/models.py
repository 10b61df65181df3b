"""Keys for the JSON API."""

from django.db import models


class Scope(models.TextChoices):
    """What a token may do."""

    READ = "read", "Read"
    WRITE = "write", "Read and change"


class ApiToken(models.Model):
    """A key for the JSON API. Only its hash is stored: the key itself is shown once."""

    name = models.CharField(max_length=100, unique=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(
        "key", max_length=20, editable=False, help_text="How the key begins; no more is kept."
    )
    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.READ)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on it opens nothing."
    )

    class Meta:
        db_table = "tw_api_token"
        ordering = ["name"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.name
