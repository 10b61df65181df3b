"""What the exact tier stores: entries, their bodies, and what was cleared."""

from django.db import models

NAME_LENGTH = 200


class CacheEntry(models.Model):
    """A kept answer, without its body. Written by ``cache.store`` only.

    Several may have one key, where workers stored the same answer at once: the newest counts.
    """

    request_id = models.CharField(max_length=32, unique=True)
    cache_key = models.CharField(max_length=64)
    api_type = models.CharField(max_length=20)
    kind = models.CharField(max_length=20)
    endpoint = models.CharField(max_length=NAME_LENGTH)
    model = models.CharField(max_length=NAME_LENGTH, blank=True)
    model_used = models.CharField(max_length=NAME_LENGTH, blank=True)
    app = models.CharField(max_length=NAME_LENGTH, blank=True)
    stream = models.BooleanField()
    status_code = models.PositiveSmallIntegerField()
    headers = models.CharField(max_length=1000, help_text="Of the answer, as JSON.")
    usage = models.CharField(max_length=500, blank=True, help_text="Tokens, as JSON.")
    usage_estimated = models.BooleanField(default=False)
    service_tier = models.CharField(max_length=50, blank=True)
    finish_reason = models.CharField(max_length=50, blank=True)
    cost = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True)
    size_bytes = models.BigIntegerField()
    semantic = models.BooleanField(default=False, help_text="Similar prompts may find it.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    hits = models.BigIntegerField(default=0)

    class Meta:
        db_table = "tw_cache_entry"
        ordering = ["-id"]
        verbose_name = "cache entry"
        verbose_name_plural = "cache entries"
        indexes = [
            models.Index(fields=["cache_key"], name="tw_centry_key"),
            models.Index(fields=["expires_at"], name="tw_centry_expires"),
            models.Index(fields=["last_used_at"], name="tw_centry_used"),
        ]

    def __str__(self) -> str:
        return self.request_id


class CacheBody(models.Model):
    """An entry's answer, without content encoding."""

    request_id = models.CharField(max_length=32, primary_key=True)
    body = models.BinaryField()

    class Meta:
        db_table = "tw_cache_body"

    def __str__(self) -> str:
        return self.request_id


class CacheClearing(models.Model):
    """Something was cleared: workers that have it in memory read it here, within a second.

    An empty field stands for any value.
    """

    created_at = models.DateTimeField()
    model = models.CharField(max_length=NAME_LENGTH, blank=True)
    app = models.CharField(max_length=NAME_LENGTH, blank=True)
    before = models.DateTimeField(help_text="Entries that are not newer than this.")
    request_id = models.CharField(max_length=32, blank=True)

    class Meta:
        db_table = "tw_cache_clearing"
        indexes = [models.Index(fields=["created_at"], name="tw_cclear_created")]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M:%S}"
