"""Which rate limits a request counts against, and what a client is told of them. Pure.

A limit is a number of requests or tokens in any 60 seconds (a sliding window, kept in half
seconds: never more than the number, at most 0.8 % less), and a number of requests at the same
time. Header names after the providers' references.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

Pairs = list[tuple[bytes, bytes]]

KEY, RATE_LIMIT = 1, 2
"""What a limit belongs to: a client key, or a rule for an app or the whole service."""

REQUESTS, TOKENS, CONCURRENT = "requests", "tokens", "concurrent"


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """One set of limits; None for none."""

    kind: int
    id: int
    name: str
    """For people: ``key 'ci'``, ``app 'shop'``, ``the whole service``."""
    requests: int | None = None
    """In 60 seconds."""
    tokens: int | None = None
    """In 60 seconds: estimated on arrival, corrected by the answer."""
    concurrent: int | None = None

    @property
    def tag(self) -> int:
        """Its name in what workers share."""
        return self.kind << 56 | self.id

    def __bool__(self) -> bool:
        return (self.requests, self.tokens, self.concurrent) != (None, None, None)


class LimitIndex:
    """Finds the limits of a request."""

    def __init__(
        self, service: Iterable[LimitSpec] = (), apps: Iterable[tuple[str, LimitSpec]] = ()
    ) -> None:
        self._service = tuple(service)
        self._apps: dict[str, tuple[LimitSpec, ...]] = {}
        for app, spec in apps:
            self._apps[app] = (*self._apps.get(app, ()), spec)

    def matching(self, app: str, own: LimitSpec | None) -> tuple[LimitSpec, ...]:
        """Those of the service, of the app, and of the request's key."""
        found = self._service
        if not found and not self._apps:
            return () if own is None else (own,)
        if self._apps:
            found += self._apps.get(app, ())
        return (*found, own) if own is not None else found


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A limit that does not admit a request."""

    spec: LimitSpec
    what: str
    """requests, tokens or concurrent."""
    limit: int
    remaining: int
    wait: float | None
    """Seconds until there is room; None where nobody can know, or there never will be."""

    @property
    def hopeless(self) -> bool:
        """The request alone is larger than the limit."""
        return self.what == TOKENS and self.wait is None

    @property
    def code(self) -> str:
        return "too_many_concurrent_requests" if self.what == CONCURRENT else "rate_limit_exceeded"

    @property
    def message(self) -> str:
        """A sentence or two for people."""
        if self.what == CONCURRENT:
            return (
                f"TokenWatch serves at most {self.limit} requests at the same time for "
                f"{self.spec.name}. Try again when one of them has ended."
            )
        text = f"TokenWatch's limit of {self.limit:,} {self.what} a minute for {self.spec.name}"
        if self.hopeless:
            return f"{text} is smaller than this request alone."
        return f"{text} is reached. Try again in {self.seconds} s."

    @property
    def seconds(self) -> int:
        return max(1, math.ceil(self.wait if self.wait is not None else 1.0))

    def headers(self, api_type: str, now: float) -> Pairs:
        """When to come again, and how the limit stands, in the provider's own headers."""
        if self.hopeless:
            return [(b"x-should-retry", b"false")]
        pairs = [(b"retry-after", b"%d" % self.seconds)]
        if self.wait is not None:
            pairs.append((b"retry-after-ms", b"%d" % math.ceil(self.wait * 1000)))
        if self.what == CONCURRENT:
            return pairs
        limit, remaining = b"%d" % self.limit, b"%d" % max(0, self.remaining)
        what = self.what.encode()
        if api_type == "anthropic":
            reset = datetime.fromtimestamp(now + self.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            stem = b"anthropic-ratelimit-" + what
            return [
                *pairs,
                (stem + b"-limit", limit),
                (stem + b"-remaining", remaining),
                (stem + b"-reset", reset.encode()),
            ]
        return [
            *pairs,
            (b"x-ratelimit-limit-" + what, limit),
            (b"x-ratelimit-remaining-" + what, remaining),
            (b"x-ratelimit-reset-" + what, b"%ds" % self.seconds),
        ]
