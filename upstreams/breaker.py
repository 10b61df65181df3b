"""The circuit breaker of one upstream. Pure: time and random numbers are arguments.

Closed, it lets everything through and counts. It opens after so many failures in a row, at an
error rate, or at once for a cool-down that the upstream asked for. When its pause is over it is
half-open: one attempt is let through as a probe, whose success closes it and whose failure
begins a longer pause. Times are seconds on any one clock that never goes back.
"""

from dataclasses import dataclass

CLOSED = "closed"
OPEN = "open"
HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a breaker opens, and for how long."""

    failures: int = 5
    """In a row."""
    error_rate: float = 0.5
    """Share of the attempts within `window`, once there are `least` of them."""
    window: float = 60.0
    least: int = 20
    pause: float = 5.0
    """The first; each that follows is twice as long."""
    longest: float = 300.0


class Breaker:
    """What one worker knows of one upstream."""

    __slots__ = (
        "_cool_until",
        "_earlier",
        "_errors",
        "_is_open",
        "_limits",
        "_pauses",
        "_probing",
        "_total",
        "_turn",
        "error",
        "failures",
        "unreachable",
        "until",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._is_open = False
        self._probing = False
        self.until = 0.0
        """When it may be tried again."""
        self._cool_until = 0.0
        """As far as that is the upstream's own wish."""
        self._pauses = 0
        self.failures = 0
        """In a row."""
        self.error = ""
        """The last failure."""
        self.unreachable = False
        """The last failure was that of a connection: any answer would prove it wrong."""
        self._turn = 0.0
        self._total = self._errors = 0
        self._earlier = (0, 0)
        """Attempts and failures of the half window before this one."""

    @property
    def state(self) -> str:
        if not self._is_open:
            return CLOSED
        return HALF_OPEN if self._probing else OPEN

    def due(self, now: float) -> float:
        """When to try it; 0 for now. While a probe is under way, only in need."""
        if not self._is_open:
            return 0.0
        if self._probing:
            return max(self.until, now + self._limits.pause)
        return self.until if now < self.until else 0.0

    def begin(self, now: float) -> bool:
        """An attempt begins; whether it is the probe, as `succeeded` and `failed` want to know."""
        if not self._is_open or self._probing or now < self.until:
            return False
        self._probing = True
        return True

    def abandoned(self, *, probe: bool) -> None:
        """An attempt ended and says nothing: its client left, or a limit of ours was reached."""
        if probe:
            self._probing = False

    def succeeded(self, now: float, *, probe: bool) -> bool:
        """An attempt was answered; whether that closed the breaker.

        Only the probe closes it: other answers were under way when it opened.
        """
        if not self._is_open:
            self.failures = 0
            if now < self._turn:
                self._total += 1
            else:
                self._count(now, 0)
            return False
        if not probe:
            return False
        self._probing = False
        if now < self.until:  # a cool-down has begun since
            return False
        self._is_open = False
        self.failures = self._pauses = self._total = self._errors = 0
        self._earlier = (0, 0)
        self.error = ""
        return True

    def failed(
        self,
        now: float,
        error: str,
        number: float,
        *,
        probe: bool = False,
        unreachable: bool = False,
        cool_down: float = 0.0,
    ) -> bool:
        """An attempt failed; whether that opened the breaker, or keeps it open for longer.

        ``number`` is random, in [0, 1): it spreads the pauses of several workers by a quarter.
        A cool-down that runs longer is never shortened.
        """
        limits = self._limits
        self.failures += 1
        self.error, self.unreachable = error, unreachable
        opens = probe
        if probe:
            self._probing = False
        elif not self._is_open:
            self._count(now, 1)
            opens = self.failures >= limits.failures or self._too_many()
        until = 0.0
        if opens:
            pause = min(limits.pause * 2.0 ** min(self._pauses, 30), limits.longest)
            until = now + pause * (0.75 + number / 2)
            self._pauses += 1
        if cool_down > 0:
            self._cool_until = max(self._cool_until, now + cool_down)
            until = max(until, self._cool_until)
        if not until:
            return False
        changed = not self._is_open or probe or until > self.until
        self._is_open = True
        self.until = max(self.until, until)
        return changed

    def reopen(self, until: float, error: str) -> None:
        """Take over what another worker, or an earlier process, found out."""
        self._is_open = True
        self.until = self._cool_until = until
        self.error = error
        self._pauses = 1

    def reached(self, now: float) -> bool:
        """It can be reached again: due now, unless it asked for its cool-down."""
        if not self._is_open or self._probing or not self.unreachable:
            return False
        until = max(min(self.until, now), self._cool_until)
        changed = until < self.until
        self.until = until
        return changed

    def _count(self, now: float, errors: int) -> None:
        """Count into two half windows, the one under way and the one before."""
        if now >= self._turn:
            half = self._limits.window / 2
            recent = now < self._turn + half
            self._earlier = (self._total, self._errors) if recent else (0, 0)
            self._total = self._errors = 0
            self._turn = now + half
        self._total += 1
        self._errors += errors

    def _too_many(self) -> bool:
        total = self._total + self._earlier[0]
        errors = self._errors + self._earlier[1]
        return total >= self._limits.least and errors >= self._limits.error_rate * total
