"""A/B tests in the database: loading them for a snapshot, and their life.

How it fails: the database's errors are passed on. A test's status changes by one conditional
update, so of two people who change it at once one is told that it was too late.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Count

from experiments.assign import A, B, TestSet, TestSpec, overlaps, shadows
from experiments.models import ABTest, Status
from tokenwatch import policy
from usage.models import UsageRecord

_FROM = {
    Status.ACTIVE: (Status.PAUSED,),
    Status.PAUSED: (Status.ACTIVE,),
    Status.COMPLETED: (Status.ACTIVE, Status.PAUSED),
}


class StatusError(ValueError):
    """A test cannot change its status so; the text says why."""


def load_tests() -> TestSet:
    """The tests that are not completed; paused ones have no part, but can say so."""
    return TestSet(map(spec_of, ABTest.objects.exclude(status=Status.COMPLETED)))


def spec_of(test: ABTest) -> TestSpec:
    return TestSpec(
        id=test.pk or 2**63,  # one that is not saved yet is the youngest
        name=test.name,
        model_a=test.model_a,
        model_b=test.model_b,
        share=float(test.share_a) / 100,
        salt=test.salt,
        api_type=test.api_type or "",  # Oracle keeps an empty text as NULL
        app=test.app or "",
        tag=test.tag or "",
        model=test.model or "",
        status=test.status,
    )


def switch(test: ABTest, status: Status, now: datetime) -> None:
    """Resume, pause or complete a test.

    Raises:
        StatusError: it is completed, or has that status already.
    """
    values = {"completed_at": now} if status == Status.COMPLETED else {}
    found = ABTest.objects.filter(pk=test.pk, status__in=_FROM[status])
    if found.order_by().update(status=status, **values):
        policy.bump()  # an update sends no signal
        test.status = status
        test.completed_at = values.get("completed_at")
        return
    present = ABTest.objects.filter(pk=test.pk).values_list("status", flat=True).first()
    if present == Status.COMPLETED and status != Status.COMPLETED:
        raise StatusError(
            f"the test {test.name} is completed, which is final: create a new one instead"
        )
    raise StatusError(f"the test {test.name} is {present or 'gone'} already")


def counts(names: Iterable[str]) -> dict[str, dict[str, int]]:
    """How many requests of each variant were stored, by test; those that do not count too."""
    found: dict[str, dict[str, int]] = {name: {A: 0, B: 0} for name in names}
    rows = UsageRecord.objects.filter(ab_test__in=list(found)).exclude(ab_test="").order_by()
    for row in rows.values("ab_test", "ab_variant").annotate(requests=Count("pk")):
        found[row["ab_test"]][row["ab_variant"]] = row["requests"]
    return found


def overlapping(test: ABTest) -> list[str]:
    """What other active tests make of this one's requests, a sentence each."""
    mine = spec_of(test)
    if mine.status != Status.ACTIVE:
        return []
    found = []
    for other in load_tests().specs:
        if other.id == mine.id or other.status != Status.ACTIVE or not overlaps(mine, other):
            continue
        older, younger = (other, mine) if other.id < mine.id else (mine, other)
        if shadows(older, younger):
            found.append(f"{older.name} is older and takes every request of {younger.name}.")
        else:
            found.append(
                f"{older.name} is older and takes the requests that fit both it and {younger.name}."
            )
    return found


def too_wide(test: ABTest) -> str:
    """What to say of a test that takes in requests that its models may be unable to answer."""
    if test.model or test.api_type:
        return ""
    return (
        f"Requests of both APIs for any model take part, and all get {test.model_a} or "
        f"{test.model_b}. Name an API or a model asked for if some must not."
    )
