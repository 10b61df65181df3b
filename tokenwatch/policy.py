"""Policies change rarely and are read on every request: this tells the readers when to re-read.

A domain registers its policy models with `watch`; every save or delete of one bumps
`PolicyVersion` in the same transaction, and each worker replaces its snapshot within about
a second of the commit. Bulk operations (``QuerySet.update``, ``bulk_create``) send no
signals: call `bump` after them.
"""

from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.models import F
from django.db.models.signals import post_delete, post_save

from tokenwatch.models import PolicyVersion


def bump() -> None:
    """Make every worker reload its policies."""
    if PolicyVersion.objects.filter(pk=1).update(version=F("version") + 1):
        return
    try:
        with transaction.atomic():
            PolicyVersion.objects.create(pk=1, version=1)
    except IntegrityError:  # another process made the row first
        PolicyVersion.objects.filter(pk=1).update(version=F("version") + 1)


def current() -> int:
    """The version in the database; 0 before the first policy was saved."""
    row = PolicyVersion.objects.filter(pk=1).values_list("version", flat=True).first()
    return row or 0


def watch(*policy_models: type[models.Model]) -> None:
    """Bump the policy version whenever an instance of these models is saved or deleted."""
    for model in policy_models:
        uid = f"policy:{model._meta.label}"
        post_save.connect(_changed, sender=model, dispatch_uid=uid)
        post_delete.connect(_changed, sender=model, dispatch_uid=uid)


def _changed(**_: Any) -> None:
    bump()
