"""The policy version, one number that changes whenever a policy changes; and the jobs' record."""

from django.db import models


class PolicyVersion(models.Model):
    """A single row (``pk=1``). Workers compare ``version`` each second with their snapshot's."""

    version = models.BigIntegerField(default=0)

    class Meta:
        db_table = "tw_policy_version"

    def __str__(self) -> str:
        return f"policy version {self.version}"


class Job(models.Model):
    """When a job is due, who runs it now, and how it ended last. See ``tokenwatch.jobs``."""

    name = models.CharField(max_length=50, primary_key=True)
    due_at = models.DateTimeField()
    claimed_by = models.CharField(max_length=100, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    last_run_at = models.DateTimeField(null=True, blank=True)
    last_ms = models.BigIntegerField(null=True, blank=True)
    last_outcome = models.CharField(max_length=500, blank=True)
    failures = models.PositiveSmallIntegerField(default=0)

    class Meta:
        db_table = "tw_job"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
