"""Leases: slices of a period's remaining budget that one worker may grant by itself.

A worker that asked the database for each request would be slow, and one that did not ask
would overspend. So it leases a slice with one conditional update and grants from it locally.
The rule that holds at every commit: ``spent + leased`` of a counter exceeds the limit by no
more than what answers cost above their estimates.

An amount goes through four hands: remaining in the budget; leased and available to a worker;
leased and held by a request; spent. `take` moves it from the first to the second, `settle`
(in the transaction that writes the request's row) from the third to the last, and `give_back`
and `expire` back to the first.

How it fails: the database's errors are passed on, and nothing has changed then. A worker that
dies keeps its amounts from the others until the lease expires.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F

from budgets.models import BudgetCounter, BudgetLease

SHARE = 8
"""A slice is this part of what remains, so slices shrink as the limit comes near."""
TRIES = 5


@dataclass(frozen=True, slots=True)
class Taken:
    """What `take` leased, in units."""

    lease: int
    units: int


@dataclass(frozen=True, slots=True)
class Hold:
    """What a finished request takes out of a lease, in units."""

    lease: int
    units: int


class CounterGoneError(Exception):
    """The counter was removed: its budget counts something else now, or the ledger was reset."""


class BudgetGoneError(CounterGoneError):
    """There is no such budget any more, or it counts something else by now."""


def slice_of(remaining: int, need: int) -> int:
    """How many units to lease where ``need`` are wanted; 0 where not even those remain."""
    return 0 if remaining < need else max(need, remaining // SHARE)


def take(
    counter: int, limit: int, need: int, *, worker: str, lease: int | None, until: datetime
) -> Taken | None:
    """Lease at least ``need`` units, on top of the worker's ``lease`` where it has one.

    None where the limit does not leave so many. A lease that has expired is replaced by a new
    one, which shows in the answer's ``lease``.

    Raises:
        CounterGoneError: there is no such counter.
    """
    for _ in range(TRIES):
        units = slice_of(_remaining(counter, limit), need)
        if not units:
            return None
        if taken := _lease(counter, limit, units, worker, lease, until):
            return taken
    with transaction.atomic():  # others were faster each time: they wait for once
        _lock(counter)
        units = slice_of(_remaining(counter, limit), need)
        return _lease(counter, limit, units, worker, lease, until) if units else None


def _remaining(counter: int, limit: int) -> int:
    row = BudgetCounter.objects.filter(pk=counter).values_list("spent", "leased").first()
    if row is None:
        raise CounterGoneError(counter)
    return limit - row[0] - row[1]


def _lease(
    counter: int, limit: int, units: int, worker: str, lease: int | None, until: datetime
) -> Taken | None:
    """Lease so many units; None where they are no longer there."""
    with transaction.atomic():
        room = BudgetCounter.objects.filter(pk=counter, leased__lte=limit - units - F("spent"))
        if not room.update(leased=F("leased") + units):
            return None
        if lease is not None:
            mine = BudgetLease.objects.filter(pk=lease, counter=counter, worker=worker)
            if mine.update(amount=F("amount") + units, expires_at=until):
                return Taken(lease, units)
        new = BudgetLease.objects.create(
            counter_id=counter, worker=worker, amount=units, expires_at=until
        )
        return Taken(new.pk, units)


def settle(spent: Mapping[int, int], holds: Iterable[Hold]) -> None:
    """Count what was spent, by counter, and take what was held for it out of the leases.

    Call it in the transaction that writes the rows. Holds of leases that have expired are
    passed over: their amounts went back to the budget then.
    """
    held: dict[int, int] = {}
    for hold in holds:
        held[hold.lease] = held.get(hold.lease, 0) + hold.units
    owner = dict(BudgetLease.objects.filter(pk__in=held).values_list("pk", "counter_id"))
    # In the order of their keys, so that two writers cannot wait for each other.
    for counter in sorted({*spent, *owner.values()}):
        BudgetCounter.objects.filter(pk=counter).update(spent=F("spent") + spent.get(counter, 0))
        for lease in (lease for lease, of in owner.items() if of == counter):
            _shrink(counter, lease, held[lease])


def give_back(counter: int, lease: int, units: int) -> bool:
    """Return units that no request holds; False where the lease has expired."""
    with transaction.atomic():
        _lock(counter)
        return _shrink(counter, lease, units)


def renew(kept: Iterable[int], until: datetime) -> set[int]:
    """Move the end of leases on; those of them that still exist."""
    with transaction.atomic():
        mine = BudgetLease.objects.filter(pk__in=list(kept))
        # Their counters first, in the order of `settle`: neither can wait for the other.
        for counter in sorted(set(mine.values_list("counter_id", flat=True))):
            _lock(counter)
        mine.update(expires_at=until)
        return set(mine.values_list("pk", flat=True))


def expire(now: datetime) -> int:
    """Return the amounts of leases that nobody renewed; how many leases ended."""
    return _end(BudgetLease.objects.filter(expires_at__lt=now).values_list("pk", "counter_id"), now)


def end_all(worker: str) -> int:
    """Return all amounts of a worker that stops, whose rows are written."""
    return _end(BudgetLease.objects.filter(worker=worker).values_list("pk", "counter_id"), None)


def _end(leases: Iterable[tuple[int, int]], expired_at: datetime | None) -> int:
    ended = 0
    for lease, counter in list(leases):
        with transaction.atomic():
            _lock(counter)
            found = BudgetLease.objects.filter(pk=lease)
            if expired_at is not None:  # it may have been renewed just now
                found = found.filter(expires_at__lt=expired_at)
            amount = found.values_list("amount", flat=True).first()
            if amount is not None and found.delete()[0]:
                BudgetCounter.objects.filter(pk=counter).update(leased=F("leased") - amount)
                ended += 1
    return ended


def _lock(counter: int) -> None:
    """Hold the counter's row until the transaction ends: leases change under it only."""
    BudgetCounter.objects.filter(pk=counter).update(leased=F("leased"))


def _shrink(counter: int, lease: int, units: int) -> bool:
    """Take units out of a lease; its counter's row is held."""
    if not BudgetLease.objects.filter(pk=lease).update(amount=F("amount") - units):
        return False
    BudgetCounter.objects.filter(pk=counter).update(leased=F("leased") - units)
    return True
