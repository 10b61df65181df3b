"""What one worker knows of its budgets, and what it may still grant of each. In memory, no I/O.

An `Account` is one budget in one period. Its ``available`` units were leased from the database
(`budgets.leases`); a request holds some of them while it is served, and its row names what it
took. Everything here belongs to the event loop's thread and never awaits, so a request gets
its units from all of its budgets or from none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from budgets.periods import Period
from budgets.scopes import BudgetSpec

TICKS = 3
"""Rounds of upkeep over which the demand of an account is remembered."""
IDLE_TICKS = 10
"""Rounds without a grant after which a worker gives back what it holds."""


@dataclass(slots=True, eq=False)
class Account:
    """One budget in one period, in units."""

    spec: BudgetSpec
    period: Period
    counter: int | None = None
    """The counter's id; None until the database has been asked."""
    spent: int = 0
    """What the database said last."""
    leased: int = 0
    """Likewise, of all workers."""
    lease: int | None = None
    available: int = 0
    unwanted: int = 0
    """Units that are leased and not to be granted: the limit was lowered since."""
    gone: bool = False
    """The budget was removed, or counts something else: the next snapshot will say so."""
    lease_ends: float = 0.0
    """On the monotonic clock; a little before the database thinks so."""
    denied: int | None = None
    """The smallest need that the database refused since it was last asked how things stand."""
    finished: list[int] = field(default_factory=lambda: [0, 0])
    """Units that requests of this worker used since the last two looks at the database."""
    unleased_held: int = 0
    """Units that requests hold without a lease, admitted while the database was away."""
    unleased_used: int = 0
    """Units that such requests used and that the database may not know yet."""
    granted: list[int] = field(default_factory=lambda: [0] * TICKS)
    """Units granted in the last rounds of upkeep, the present one last."""
    idle: int = 0
    """Rounds of upkeep since the last grant."""

    @property
    def known_spent(self) -> int:
        """The best figure to show: may lag behind by what other workers do not yet report."""
        return self.spent + self.finished[1]

    @property
    def used_up(self) -> bool:
        """Whether nothing can be granted before the period ends or rows are corrected."""
        return self.spent >= self.spec.limit

    def holds(self, moment: float) -> bool:
        """Whether a moment, in seconds since the epoch, lies in the period."""
        end = self.period.end
        return self.period.start <= moment and (end is None or moment < end)

    def can_grant(self, units: int, now: float) -> bool:
        return self.available >= units and now < self.lease_ends

    def denies(self, units: int) -> bool:
        """Whether the database would refuse, as it did a moment ago."""
        return self.used_up or (self.denied is not None and units >= self.denied)

    def admits_unleased(self, units: int) -> bool:
        """Whether the last known spend leaves room, for the time without a database."""
        known = self.spent + sum(self.finished) + self.unleased_held
        return known + units <= self.spec.limit

    @property
    def lendable(self) -> int:
        """The limit, less what no lease covers and the database does not know yet."""
        return self.spec.limit - self.unleased_held - self.unleased_used

    def leased_more(self, lease: int, units: int, ends: float) -> None:
        """The database granted units; a new lease means that the old one is gone."""
        if lease != self.lease:
            self.lost_lease()
            self.lease = lease
        self.available += units
        self.lease_ends = ends

    def lost_lease(self) -> None:
        self.lease, self.available, self.unwanted = None, 0, 0

    def grant_no_more(self) -> None:
        """What is available was leased under a higher limit: the next round gives it back."""
        self.unwanted += self.available
        self.available = 0

    def take_surplus(self) -> int:
        """Take out the units to give back at the end of a round."""
        units = self._surplus()
        self.available -= units
        units += self.unwanted
        self.unwanted = 0
        return units

    def _surplus(self) -> int:
        """All when idle; where others may want them, what goes beyond twice the demand of late."""
        wanted = 2 * max(self.granted)
        remaining = self.spec.limit - self.spent - self.leased
        if self.idle >= IDLE_TICKS:
            return self.available
        if remaining < self.available and self.available > 2 * wanted:
            return self.available - wanted
        return 0

    def end_round(self) -> None:
        self.idle = 0 if self.granted[-1] else self.idle + 1
        self.granted = [*self.granted[1:], 0]

    def looked_at(self, spent: int, leased: int, *, drained: bool) -> None:
        """Take in what the database says; ``drained``: no row of this worker's was waiting."""
        self.spent, self.leased = spent, leased
        if drained:
            self.unleased_used = 0
        self.denied = None
        self.finished = [self.finished[1], 0]


@dataclass(frozen=True, slots=True)
class Share:
    """What a request holds of one account; ``lease`` None where there was no database."""

    account: Account
    lease: int | None
    units: int


class Reservation:
    """What one request holds of all its budgets, until `settle`."""

    __slots__ = ("_shares", "_watched")

    def __init__(self, shares: Iterable[Share], watched: Iterable[Account]) -> None:
        self._shares = list(shares)
        self._watched = list(watched)
        """Accounts of budgets that do not block: they only count."""

    def settle(self, usd: int, tokens: int) -> list[tuple[int, int]]:
        """Exchange the estimates for what was used; pairs of lease and units for the row.

        What was held too much can be granted again at once. What was used beyond the estimate
        comes out of the same lease as far as it has units left. A second call changes nothing.
        """
        shares, self._shares = self._shares, []
        watched, self._watched = self._watched, []
        for account in watched:
            account.finished[1] += tokens if account.spec.unit == "tokens" else usd
        return [
            hold
            for share in shares
            if (hold := _settle(share, tokens if share.account.spec.unit == "tokens" else usd))
        ]


def _settle(share: Share, used: int) -> tuple[int, int] | None:
    account = share.account
    account.finished[1] += used
    if share.lease is None:
        account.unleased_held -= share.units
        account.unleased_used += used
        return None
    if share.lease != account.lease:  # it has expired; the row counts without it
        return (share.lease, min(used, share.units)) if used else None
    taken = min(used, share.units + account.available)
    account.available += share.units - taken
    return (share.lease, taken) if taken else None


def grant(accounts: Iterable[tuple[Account, int]]) -> list[Share]:
    """Hold units of accounts that can all grant them."""
    shares = []
    for account, units in accounts:
        account.available -= units
        account.granted[-1] += units
        shares.append(Share(account, account.lease, units))
    return shares


def grant_unleased(account: Account, units: int) -> Share:
    """Hold units against the last known spend."""
    account.unleased_held += units
    return Share(account, None, units)
