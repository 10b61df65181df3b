"""The ledger: one row a request, rollups that make statistics cheap, and the price sheet."""

from django.core.exceptions import ValidationError
from django.db import models

from usage.timings import SLOTS

NAME_LENGTH = 200
"""Longest model, app, session or tag kept; longer ones are cut when the row is made."""


class UsageRecord(models.Model):
    """One request, as `usage.rows.UsageRow` describes it. Written by ``usage.writer`` only."""

    request_id = models.CharField(max_length=32, unique=True)
    created_at = models.DateTimeField()
    api_type = models.CharField(max_length=20)
    method = models.CharField(max_length=10)
    endpoint = models.CharField(max_length=NAME_LENGTH)
    model_requested = models.CharField(max_length=NAME_LENGTH, blank=True)
    model_used = models.CharField(max_length=NAME_LENGTH, blank=True)
    model_routed = models.CharField(max_length=NAME_LENGTH, blank=True)
    upstream = models.CharField(max_length=100, blank=True)
    status_code = models.PositiveSmallIntegerField()
    error_type = models.CharField(max_length=100, blank=True)
    stream = models.BooleanField()
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    input_audio_tokens = models.BigIntegerField(default=0)
    output_audio_tokens = models.BigIntegerField(default=0)
    usage_estimated = models.BooleanField(default=False)
    service_tier = models.CharField(max_length=50, blank=True)
    finish_reason = models.CharField(max_length=50, blank=True)
    cost = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True)
    latency_ms = models.BigIntegerField(default=0)
    ttft_ms = models.BigIntegerField(null=True, blank=True)
    overhead_ms = models.FloatField(null=True, blank=True)
    source_app = models.CharField(max_length=NAME_LENGTH, blank=True)
    session_id = models.CharField(max_length=NAME_LENGTH, blank=True)
    feature_tag = models.CharField(max_length=NAME_LENGTH, blank=True)
    cache_tier = models.CharField(max_length=20, blank=True)
    cache_similarity = models.FloatField(null=True, blank=True)
    cache_note = models.CharField(max_length=100, blank=True)
    cache_entry = models.CharField(max_length=32, blank=True)
    saved_cost = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True)
    routing_saved = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True)
    routing_rule = models.CharField(max_length=100, blank=True)
    ab_test = models.CharField(max_length=100, blank=True)
    ab_variant = models.CharField(max_length=20, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    attempt_log = models.CharField(max_length=500, blank=True)
    decision = models.CharField(max_length=1000, blank=True)

    class Meta:
        db_table = "tw_usage"
        verbose_name = "request"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["created_at"], name="tw_usage_created"),
            models.Index(fields=["session_id", "created_at"], name="tw_usage_session"),
            # Only rows of A/B tests are in it. Oracle has no partial indexes and leaves the
            # condition out; rows whose columns are all empty (NULL there) are in none anyway.
            models.Index(
                fields=["ab_test", "ab_variant"],
                condition=~models.Q(ab_test=""),
                name="tw_usage_ab",
            ),
        ]

    def __str__(self) -> str:
        return self.request_id

    @property
    def priced(self) -> bool:
        return self.cost is not None


class UsageRollup(models.Model):
    """Sums over the requests of a day, an hour or a minute with the same model, app and tag.

    Written in the transaction that writes the rows, so rows and rollups cannot disagree.
    The key is a hash of the dimensions: Oracle stores "" as NULL, so neither a unique
    constraint nor a comparison over the text columns would be safe there.
    """

    DAY = 86_400
    HOUR = 3600
    MINUTE = 60

    key = models.CharField(max_length=32, primary_key=True)
    bucket_start = models.DateTimeField()
    bucket_seconds = models.PositiveIntegerField()
    model = models.CharField(max_length=NAME_LENGTH, blank=True)
    source_app = models.CharField(max_length=NAME_LENGTH, blank=True)
    feature_tag = models.CharField(max_length=NAME_LENGTH, blank=True)
    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0)
    estimated = models.BigIntegerField(default=0)
    cache_hits = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    saved_cost = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    routing_saved = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    latency_ms = models.BigIntegerField(default=0, help_text="Sum over the requests.")

    class Meta:
        db_table = "tw_usage_rollup"
        indexes = [
            models.Index(fields=["bucket_seconds", "bucket_start"], name="tw_rollup_bucket"),
        ]

    def __str__(self) -> str:
        return f"{self.bucket_start:%Y-%m-%d %H:%M} {self.model}"


class UsageTiming(models.Model):
    """How long the requests of a day, an hour or a minute took: counts on `usage.timings`' scale.

    Written in the transaction that writes the rows, like `UsageRollup`.
    """

    key = models.CharField(max_length=32, primary_key=True)
    kind = models.CharField(max_length=10)
    bucket_start = models.DateTimeField()
    bucket_seconds = models.PositiveIntegerField()
    model = models.CharField(max_length=NAME_LENGTH, blank=True)
    source_app = models.CharField(max_length=NAME_LENGTH, blank=True)

    class Meta:
        db_table = "tw_usage_timing"
        indexes = [
            models.Index(fields=["bucket_seconds", "bucket_start"], name="tw_timing_bucket"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.bucket_start:%Y-%m-%d %H:%M} {self.model}"


for _slot in SLOTS:
    UsageTiming.add_to_class(_slot, models.BigIntegerField(default=0))


PRICE_FIELDS = (
    "input_per_mtok",
    "output_per_mtok",
    "cache_read_per_mtok",
    "cache_write_per_mtok",
    "cache_write_1h_per_mtok",
)


class ModelPrice(models.Model):
    """A row of the operator's price sheet; it goes before the catalogue's price."""

    pattern = models.CharField(
        max_length=NAME_LENGTH,
        help_text="A model's name; dated names match too. * stands for any text.",
    )
    input_per_mtok = models.DecimalField("input", max_digits=14, decimal_places=6)
    output_per_mtok = models.DecimalField("output", max_digits=14, decimal_places=6)
    cache_read_per_mtok = models.DecimalField(
        "cache read", max_digits=14, decimal_places=6, null=True, blank=True
    )
    cache_write_per_mtok = models.DecimalField(
        "cache write (5 minutes)", max_digits=14, decimal_places=6, null=True, blank=True
    )
    cache_write_1h_per_mtok = models.DecimalField(
        "cache write (1 hour)", max_digits=14, decimal_places=6, null=True, blank=True
    )
    valid_from = models.DateTimeField(help_text="Requests before this keep the older price.")
    retired_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on this row no longer applies."
    )

    class Meta:
        db_table = "tw_model_price"
        ordering = ["pattern", "-valid_from"]
        verbose_name = "model price"

    def __str__(self) -> str:
        return self.pattern

    def clean(self) -> None:
        """Refuse names that match nothing and prices that nobody bills."""
        self.pattern = self.pattern.strip()
        problems: dict[str, str] = {}
        if not self.pattern or any(sign.isspace() for sign in self.pattern):
            problems["pattern"] = "Enter a model's name, without spaces."
        for name in PRICE_FIELDS:
            price = getattr(self, name)
            if price is not None and price < 0:
                problems[name] = "A price cannot be negative."
        if self.retired_at and self.valid_from and self.retired_at < self.valid_from:
            problems["retired_at"] = "This is before the row begins."
        if problems:
            raise ValidationError(problems)
