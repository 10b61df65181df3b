"""The W3C trace context of a request, and its attempts as they come and go. Pure but for chance.

https://www.w3.org/TR/trace-context/ - a ``traceparent`` that is malformed, or comes twice, does
not count, and its ``tracestate`` then says nothing either. Made on the hot path: ids are random
numbers, nothing is formatted for a request without a trace.
"""

import random
import re
from collections.abc import Mapping
from typing import NamedTuple

Pairs = list[tuple[bytes, bytes]]

TRACEPARENT = b"traceparent"
TRACESTATE = b"tracestate"
SAMPLED = 1
RANDOM = 2

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Parent(NamedTuple):
    """What a ``traceparent`` says."""

    trace_id: int
    span_id: int
    flags: int


def parse(value: bytes) -> Parent | None:
    """What a ``traceparent`` says; None where it is malformed."""
    match = _TRACEPARENT.fullmatch(value.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    parent = Parent(int(trace_id, 16), int(span_id, 16), int(flags, 16))
    return parent if parent.trace_id and parent.span_id else None


def incoming(fields: Mapping[bytes, bytes], headers: Pairs) -> Parent | None:
    """The context that a request came with."""
    value = fields.get(TRACEPARENT)
    if value is None or sum(1 for name, _ in headers if name == TRACEPARENT) > 1:
        return None
    return parse(value)


class Attempt:
    """One try at an upstream."""

    __slots__ = ("base_url", "began", "ended", "model", "reason", "span_id", "status", "upstream")

    def __init__(self, upstream: str, base_url: str, model: str, began: float) -> None:
        self.upstream = upstream
        self.base_url = base_url
        self.model = model
        """As the request and the ledger name it."""
        self.began = began
        """On the monotonic clock."""
        self.ended = 0.0
        """0 where it ended with the request."""
        self.status = 0
        """Of the answer's head; 0 where none came."""
        self.reason = ""
        """Why it failed; empty for the one that was answered."""
        self.span_id = 0


class Journey:
    """One request's way: its trace, where it has one, and its attempts."""

    __slots__ = ("attempts", "flags", "parent_id", "sampled", "span_id", "trace_id", "tracestate")

    def __init__(self, parent: Parent | None, tracestate: bytes, *, sampled: bool) -> None:
        self.sampled = sampled
        self.attempts: list[Attempt] = []
        self.trace_id = self.span_id = self.parent_id = 0
        self.flags = SAMPLED
        self.tracestate = b""
        if not sampled:
            return
        self.span_id = random.getrandbits(64) or 1
        if parent is None:
            self.trace_id = random.getrandbits(128) or 1
        else:
            self.trace_id, self.parent_id = parent.trace_id, parent.span_id
            self.flags = SAMPLED | (parent.flags & RANDOM)
            self.tracestate = tracestate

    def begin(self, headers: Pairs, upstream: str, base_url: str, model: str, now: float) -> Pairs:
        """An attempt begins; its headers, with its own ``traceparent`` where it has a trace.

        Without a trace the client's context passes as it came.
        """
        attempt = Attempt(upstream, base_url, model, now)
        self.attempts.append(attempt)
        if not self.sampled:
            return headers
        attempt.span_id = random.getrandbits(64) or 1
        value = b"00-%032x-%016x-%02x" % (self.trace_id, attempt.span_id, self.flags)
        drop = (TRACEPARENT,) if self.parent_id else (TRACEPARENT, TRACESTATE)
        return [*(pair for pair in headers if pair[0] not in drop), (TRACEPARENT, value)]

    def failed(self, reason: str, status: int, now: float) -> None:
        """The attempt under way failed."""
        attempt = self.attempts[-1]
        attempt.reason, attempt.status, attempt.ended = reason, status, now


class Sampler:
    """Which requests get a trace: those whose client's trace is recorded, and those without a
    client's trace, up to so many a second.

    Making and sending two spans takes about as long as serving the request, so a worker at its
    limit cannot trace everything.
    """

    __slots__ = ("_left", "_limit", "_until", "untraced")

    def __init__(self, per_second: int) -> None:
        self._limit = per_second
        """0: all."""
        self._left = 0
        self._until = 0.0
        self.untraced = 0

    def samples(self, parent: Parent | None, now: float) -> bool:
        """Whether a request that arrives at this moment gets a trace."""
        if parent is not None and not parent.flags & SAMPLED:
            return False
        if not self._limit:
            return True
        if now >= self._until:
            self._left, self._until = self._limit, now + 1.0
        if self._left <= 0:
            self.untraced += 1
            return False
        self._left -= 1
        return True
