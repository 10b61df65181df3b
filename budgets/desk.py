"""Where a worker's requests get their reservations: admitted from memory, or by the database.

`Desk.reserve` grants from leases that the worker holds and asks the database only where they
do not suffice; requests that need the same budget wait for one question together. Once a
second the worker looks at its budgets' counters, renews its leases, and gives back what it
does not need (`Desk.upkeep`).

How it fails: where the database does not answer within `PATIENCE`, or a lease could not be
renewed in time, a request is admitted against the last known spend or refused with a 503
(``TOKENWATCH_BUDGET_FAIL_MODE``). Nothing is granted from a lease whose end has passed.

All state belongs to the event loop's thread; the database is asked in threads of its own.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import Error, close_old_connections, connection

from budgets import bookkeeping
from budgets.accounts import Account, Reservation, grant, grant_unleased
from budgets.bookkeeping import Loan, Look, Wishes
from budgets.leases import BudgetGoneError, CounterGoneError, Taken
from budgets.refusals import KILLED, UNREACHABLE, Refusal, refusal
from budgets.scopes import BudgetSpec, ScopeIndex

PATIENCE = 5.0
"""Seconds that a request waits for the database before the failure mode decides. An overloaded
machine answers late, and workers that admit each by itself do not hold a budget together."""
ROUND = 1.0
"""Seconds between two rounds of upkeep."""
KEPT = 600.0
"""Seconds for which a period that has ended is kept, for requests that began in it."""

logger = logging.getLogger("tokenwatch.budgets")

T = TypeVar("T")


class Desk:
    """One worker's reservations. Make it in the worker, after any fork."""

    def __init__(
        self, specs: Callable[[], ScopeIndex], drained: Callable[[], bool], *, fail_open: bool
    ) -> None:
        self._specs = specs
        self._drained = drained
        self._fail_open = fail_open
        self.worker = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._current: dict[int, Account] = {}
        self._accounts: dict[tuple[int, float], Account] = {}
        self._taking: dict[Account, tuple[asyncio.Task[None], float]] = {}
        self._unreachable_until = 0.0
        self._failing = False
        self._renewed = float("-inf")
        self._threads = ThreadPoolExecutor(2, "budgets")
        self._upkeep: asyncio.Task[None] | None = None

    # What requests ask

    def accounts(self, budgets: Iterable[BudgetSpec], at: float) -> list[Account]:
        """The accounts of a request's budgets, by the moment of its arrival."""
        return [self._account(spec, at) for spec in budgets]

    def gate(self, accounts: Iterable[Account]) -> Refusal | None:
        """Refuse what is refused already: by a kill switch, or by a budget that is used up."""
        for account in accounts:
            if account.spec.killed:
                return refusal(account, KILLED)
            if account.spec.blocks and account.used_up:
                return refusal(account)
        return None

    async def reserve(
        self, accounts: Sequence[Account], needs: Sequence[int]
    ) -> Reservation | Refusal:
        """Hold units (one need for each account) of every budget that blocks, or of none."""
        wanted = [pair for pair in zip(accounts, needs, strict=True) if pair[0].spec.blocks]
        watched = [account for account in accounts if not account.spec.blocks]
        while True:
            now = time.monotonic()
            short = [pair for pair in wanted if not pair[0].can_grant(pair[1], now)]
            if any(account.gone for account, _ in short):
                break
            if not short:
                return Reservation(grant(wanted), watched)
            for account, need in short:
                if account.denies(need):
                    return refusal(account, needed=need)
            if not await self._top_up(*short[0]):
                break
        return self._without_database(wanted, watched, time.monotonic())

    def _without_database(
        self, wanted: Sequence[tuple[Account, int]], watched: list[Account], now: float
    ) -> Reservation | Refusal:
        leased = [pair for pair in wanted if pair[0].can_grant(pair[1], now)]
        others = [pair for pair in wanted if not pair[0].can_grant(pair[1], now)]
        for account, need in others:
            if not self._fail_open and not account.gone:
                return refusal(account, UNREACHABLE)
            if not account.admits_unleased(need):
                return refusal(account, needed=need)
        shares = [grant_unleased(account, need) for account, need in others]
        return Reservation([*grant(leased), *shares], watched)

    async def _top_up(self, account: Account, need: int) -> bool:
        """Have units leased, or wait for whoever does; False if the database does not answer."""
        now = time.monotonic()
        if now < self._unreachable_until:
            return False
        task, since = self._taking.get(account, (None, now))
        if task is None:
            task = asyncio.create_task(self._take(account, need))
            self._taking[account] = task, now
        done, _ = await asyncio.wait({task}, timeout=max(0.0, since + PATIENCE - now))
        return bool(done) and time.monotonic() >= self._unreachable_until

    async def _take(self, account: Account, need: int) -> None:
        """Lease units for an account; its outcome is in the account."""
        asked = time.monotonic()
        loan = Loan(account.spec, account.period, account.counter, account.lease)
        try:
            counter, taken = await self._in_thread(
                bookkeeping.lend, loan, account.lendable, need, self.worker
            )
        except CounterGoneError as exc:
            account.gone = isinstance(exc, BudgetGoneError) and account.spec is loan.spec
            account.counter = None
            account.lost_lease()
        except Error as exc:
            self._failed(exc)
        except Exception as exc:  # whatever it is, requests must not wait for it for ever
            logger.exception("Budgets: leasing hit an unexpected error")
            self._failed(exc)
        else:
            account.counter = counter
            self._took(account, need, taken, asked)
            if account.spec.limit < loan.spec.limit:
                account.grant_no_more()
        finally:
            del self._taking[account]

    def _took(self, account: Account, need: int, taken: Taken | None, asked: float) -> None:
        if taken is None:
            account.denied = need if account.denied is None else min(need, account.denied)
        else:
            account.leased_more(taken.lease, taken.units, asked + bookkeeping.TRUSTED)
            account.leased += taken.units

    def _account(self, spec: BudgetSpec, at: float) -> Account:
        account = self._current.get(spec.id)
        if account is not None and account.spec is spec and account.holds(at):
            return account
        period = spec.at(at)
        account = self._accounts.get((spec.id, period.start))
        if account is None or not account.spec.counts_as(spec):
            account = self._accounts[spec.id, period.start] = Account(spec, period)
        if spec.limit < account.spec.limit:
            account.grant_no_more()
        if account.spec is not spec:
            account.gone = False
        account.spec, account.period = spec, period
        newest = self._current.get(spec.id)
        if newest is None or newest.period.start <= period.start or newest.spec is not spec:
            self._current[spec.id] = account
        return account

    # Upkeep

    async def start(self) -> None:
        """Look at every budget once, then go on doing so each second."""
        await self._round()
        self._upkeep = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND)
            try:
                await self._round()
            except Exception:  # a fault in here must not end the upkeep
                logger.exception("Budgets: the upkeep hit an unexpected error")

    async def _round(self) -> None:
        """Look at all counters, renew the leases, give back what is not needed."""
        now = time.time()
        self._forget(now)
        accounts = self.accounts(self._specs().specs, now)
        if not accounts and not self._accounts:
            return
        held = {a: a.lease for a in self._accounts.values() if a.lease is not None}
        renewing = time.monotonic() - self._renewed >= bookkeeping.RENEW_EVERY
        returns = self._surpluses(held)
        wishes = Wishes(
            accounts=[Loan(a.spec, a.period, a.counter, a.lease) for a in accounts],
            returns=[
                (a.counter, a.lease, units)
                for a, units in returns.items()
                if a.counter is not None and a.lease is not None
            ],
            renew=list(held.values()) if renewing else [],
            expire=renewing,
        )
        drained = self._drained()
        asked = time.monotonic()
        try:
            look = await self._in_thread(bookkeeping.look, wishes)
        except Error as exc:
            for account in returns:  # nobody knows whether it went back: let the lease end
                account.lost_lease()
            self._failed(exc)
            return
        self._answered()
        if renewing:
            self._renewed = asked
        self._apply(accounts, held, look, asked, drained=drained, renewed=renewing)

    def _surpluses(self, held: Iterable[Account]) -> dict[Account, int]:
        """What to give back; from here on it cannot be granted."""
        returns = {}
        for account in held:
            if units := account.take_surplus():
                returns[account] = units
            account.end_round()
        return returns

    def _apply(
        self,
        accounts: Sequence[Account],
        held: Mapping[Account, int],
        look: Look,
        asked: float,
        *,
        drained: bool,
        renewed: bool,
    ) -> None:
        for account, counter in zip(accounts, look.counters, strict=True):
            if account.counter not in (None, counter):  # the ledger was reset
                account.lost_lease()
            account.counter = counter
            if counter is not None and counter in look.figures:
                account.looked_at(*look.figures[counter], drained=drained)
        if renewed:
            for account, lease in held.items():
                if lease != account.lease:  # it was replaced meanwhile
                    continue
                if lease in look.alive:
                    account.lease_ends = asked + bookkeeping.TRUSTED
                else:
                    account.lost_lease()

    def _forget(self, now: float) -> None:
        """Drop periods that ended a while ago, and budgets that are gone."""
        known = {spec.id for spec in self._specs().specs}
        for key, account in list(self._accounts.items()):
            end = account.period.end
            if key[0] not in known or (end is not None and end + KEPT < now):
                del self._accounts[key]
                if self._current.get(key[0]) is account:
                    del self._current[key[0]]

    def _failed(self, exc: Exception) -> None:
        self._unreachable_until = time.monotonic() + ROUND
        if not self._failing:
            reason = " ".join(str(exc).split())
            mode = "admit against the last known spend" if self._fail_open else "refuse"
            logger.error("Budgets cannot be read; those without a lease %s: %s", mode, reason)
        self._failing = True

    def _answered(self) -> None:
        if self._failing:
            logger.warning("Budgets are read again")
        self._failing = False
        self._unreachable_until = 0.0

    async def _in_thread(self, ask: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, _with_connection, ask, *args
        )

    async def stop(self) -> None:
        """End the upkeep; nothing is granted after it."""
        if self._upkeep is not None:
            self._upkeep.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._upkeep

    def release(self) -> None:
        """Give all leases back; call it when every row is written."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        try:
            bookkeeping.end(self.worker)
        except Error as exc:
            logger.warning("Leases of budgets end by themselves in a few seconds: %s", exc)
        finally:
            connection.close()


def _with_connection(ask: Callable[..., T], *args: object) -> T:
    close_old_connections()
    try:
        return ask(*args)
    except Error:
        connection.close()
        raise
