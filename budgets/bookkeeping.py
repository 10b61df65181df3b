"""What a worker asks the database about its budgets, each question in one call for a thread.

How it fails: the database's errors are passed on. A round that was cut off in the middle has
done what it had done: every step is a transaction of its own and right by itself.
"""

import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from budgets import leases
from budgets.leases import CounterGoneError, Taken
from budgets.models import BudgetCounter
from budgets.periods import Period
from budgets.scopes import BudgetSpec
from budgets.settlement import counter_of, due_for_check, reconcile

LIFE = timedelta(seconds=15)
"""How long a lease lives without being renewed."""
TRUSTED = 12.0
"""Seconds for which a worker grants from a lease after it asked for it: less than `LIFE`, by
what clocks and a slow answer may take."""
RENEW_EVERY = 2.5
"""Seconds between two renewals. By the clock and not by rounds, which take long under load."""
CHECK_EVERY = timedelta(hours=1)
IN_LIST = 500

logger = logging.getLogger("tokenwatch.budgets")


@dataclass(frozen=True, slots=True)
class Loan:
    """A budget in a period, with the counter and the lease that the worker knows of."""

    spec: BudgetSpec
    period: Period
    counter: int | None
    lease: int | None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a round of upkeep asks for."""

    accounts: Sequence[Loan]
    returns: Sequence[tuple[int, int, int]]
    """Counter, lease and units to give back."""
    renew: Sequence[int] = ()
    """Leases to keep; no others are renewed."""
    expire: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What it found."""

    counters: Sequence[int | None]
    """One for each of the accounts asked for; None where the budget is gone."""
    figures: Mapping[int, tuple[int, int]]
    """Spent and leased units by counter."""
    alive: set[int]
    """The leases that were renewed."""


def lend(loan: Loan, limit: int, need: int, worker: str) -> tuple[int, Taken | None]:
    """Lease units; the counter, and None where the limit does not leave so many.

    Raises:
        CounterGoneError: the counter was removed meanwhile.
        BudgetGoneError: so was the budget, or it counts something else.
    """
    counter = loan.counter
    if counter is None:
        counter = counter_of(loan.spec, loan.period)
    until = datetime.now(UTC) + LIFE
    taken = leases.take(counter, limit, need, worker=worker, lease=loan.lease, until=until)
    return counter, taken


def look(wishes: Wishes) -> Look:
    """One round: leases first, so that the figures show what they freed."""
    now = datetime.now(UTC)
    alive = leases.renew(wishes.renew, now + LIFE) if wishes.renew else set()
    for counter, lease, units in wishes.returns:
        leases.give_back(counter, lease, units)
    if wishes.expire and (ended := leases.expire(now)):
        logger.warning("Took back %d leases of budgets from workers that are gone", ended)
    figures = _figures([loan.counter for loan in wishes.accounts if loan.counter is not None])
    counters = [_counter(loan, figures) for loan in wishes.accounts]
    figures |= _figures([one for one in counters if one is not None and one not in figures])
    _check(wishes.accounts, now)
    return Look(counters, figures, alive)


def _counter(loan: Loan, known: Container[int]) -> int | None:
    if loan.counter is not None and loan.counter in known:
        return loan.counter
    try:
        return counter_of(loan.spec, loan.period)
    except CounterGoneError:
        return None


def _check(loans: Sequence[Loan], now: datetime) -> None:
    """Prove against the ledger one counter that nobody has checked for long."""
    cutoff = now - CHECK_EVERY
    counters = [loan.counter for loan in loans]
    due = BudgetCounter.objects.filter(due_for_check(cutoff), pk__in=counters[:IN_LIST])
    found = due.values_list("pk", flat=True).first()
    for loan in loans:
        if found is None or loan.counter != found:
            continue
        if off := reconcile(loan.spec, loan.period, checked_before=cutoff):
            logger.error(
                "The budget %r was off the ledger by %s; it is right again",
                loan.spec.name,
                loan.spec.shown(off),
            )


def end(worker: str) -> None:
    """Return all that a worker holds."""
    leases.end_all(worker)


def _figures(counters: Sequence[int]) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    for start in range(0, len(counters), IN_LIST):
        rows = BudgetCounter.objects.filter(pk__in=counters[start : start + IN_LIST])
        found |= {
            pk: (spent, leased) for pk, spent, leased in rows.values_list("pk", "spent", "leased")
        }
    return found
