"""What a request will use, before it is sent. Pure, but for what `Habits` remembers.

Input is estimated from the body. Output is what the request allows (``max_tokens`` and its
other names) or, if that is less, what the model has produced of late: clients allow far more
than they get, and a budget that reserved all of it would refuse requests that fit.
"""

from dataclasses import dataclass
from typing import Any

from tokenwatch.tokens import TokenUsage
from upstreams.dialects.base import JSON, Dialect, Endpoint
from upstreams.dialects.estimate import prompt_tokens

UNSEEN = 4096
"""Output tokens for a model that has not been seen yet."""
REMEMBERED = 2048
"""Models whose habits are kept; the memory is emptied past it."""
SILENT = frozenset({"embeddings", "moderations", "count_tokens"})
"""Kinds of endpoints that produce no tokens."""

_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens", "max_tokens_to_sample")


@dataclass(slots=True)
class Spread:
    """A running mean with its mean deviation.

    The estimator that TCP uses for round-trip times (RFC 6298, section 2): smoothed with 1/8
    and 1/4, and four deviations above the mean as what will hardly be passed.
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, value: float) -> "Spread":
        return cls(value, value / 2)

    def learn(self, value: float) -> None:
        self.deviation += (abs(value - self.mean) - self.deviation) / 4
        self.mean += (value - self.mean) / 8

    @property
    def bound(self) -> float:
        return self.mean + 4 * self.deviation


class Habits:
    """What requests of each model and kind have used of late."""

    def __init__(self) -> None:
        self._output: dict[tuple[str, str], Spread] = {}
        self._cost: dict[tuple[str, str], Spread] = {}

    def learn(self, kind: str, model: str, *, output: int, cost: int) -> None:
        """Take in a request that was answered: output tokens, and units of a dollar."""
        _learn(self._output, (kind, model), output)
        _learn(self._cost, (kind, model), cost)

    def output(self, kind: str, model: str) -> int:
        """Tokens that an answer will hardly pass."""
        known = self._output.get((kind, model))
        return UNSEEN if known is None else round(known.bound)

    def cost(self, kind: str, model: str) -> int | None:
        """Units of a dollar that a request will hardly pass; None for a model not yet seen."""
        known = self._cost.get((kind, model))
        return None if known is None else round(known.bound)


def _learn(known: dict[tuple[str, str], Spread], key: tuple[str, str], value: int) -> None:
    spread = known.get(key)
    if spread is not None:
        spread.learn(value)
        return
    if len(known) >= REMEMBERED:
        known.clear()
    known[key] = Spread.of(value)


def expected_usage(
    dialect: Dialect, endpoint: Endpoint, body: JSON | None, model: str, habits: Habits
) -> TokenUsage:
    """The tokens of a request that is billed by tokens; nothing for any other."""
    if body is None or endpoint.billing != "tokens":
        return TokenUsage()
    output = 0
    if endpoint.kind not in SILENT:
        output = min(allowed_output(body), habits.output(endpoint.kind, model) * _choices(body))
    return TokenUsage(input=prompt_tokens(dialect, body), output=output)


def allowed_output(body: JSON) -> int:
    """Tokens that a request allows for all its answers together."""
    limits = [_count(body.get(name)) for name in _LIMITS]
    named = [limit for limit in limits if limit]
    return min(named) * _choices(body) if named else UNLIMITED


UNLIMITED = 2**53


def _choices(body: JSON) -> int:
    return max(1, min(_count(body.get("n")), 128))


def _count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return 0
