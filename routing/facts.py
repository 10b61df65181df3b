"""What routing rules may know of a request. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

ZERO = Decimal(0)


class Facts(Protocol):
    """A request as the rules see it. What is a method costs something: it is called only
    where a rule that could win asks for it, and once a request for each argument."""

    @property
    def model(self) -> str:
        """The model that was asked for; names are empty where the request has none."""
        ...

    @property
    def app(self) -> str: ...

    @property
    def tag(self) -> str: ...

    @property
    def session(self) -> str: ...

    @property
    def at(self) -> float:
        """Arrival, seconds since the epoch."""
        ...

    @property
    def stream(self) -> bool: ...

    @property
    def has_tools(self) -> bool: ...

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """By name in lower case; of one that was sent several times, any value."""
        ...

    def last_user_text(self) -> str: ...

    def input_tokens(self) -> int:
        """About how many tokens the prompt has."""
        ...

    def cost_today(self, of: str) -> Decimal:
        """US dollars since midnight UTC, of the request's ``app``, its ``tag`` or ``all``."""
        ...


@dataclass(frozen=True, slots=True)
class PlainFacts:
    """A request that somebody imagines, as plain values."""

    model: str = ""
    app: str = ""
    tag: str = ""
    session: str = ""
    at: float = 0.0
    stream: bool = False
    has_tools: bool = False
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    text: str = ""
    tokens: int = 0
    costs: Mapping[str, Decimal] = field(default_factory=dict)
    """By ``app``, ``tag`` and ``all``; 0 where one is not there."""

    def last_user_text(self) -> str:
        return self.text

    def input_tokens(self) -> int:
        return self.tokens

    def cost_today(self, of: str) -> Decimal:
        return self.costs.get(of, ZERO)
