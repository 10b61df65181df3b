"""The policy version: one number that changes whenever a policy changes."""

from django.db import models


class PolicyVersion(models.Model):
    """A single row (``pk=1``). Workers compare ``version`` each second with their snapshot's."""

    version = models.BigIntegerField(default=0)

    class Meta:
        db_table = "tw_policy_version"

    def __str__(self) -> str:
        return f"policy version {self.version}"
