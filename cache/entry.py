"""One kept answer as plain values, and which answers are fit to be kept. Pure."""

import re

from msgspec import Struct

from tokenwatch.tokens import TokenUsage

LARGEST = 1024 * 1024
"""Bytes of an answer; longer ones are not kept."""
OVERHEAD = 1024
"""Bytes that an entry takes in memory beside its body, about."""

GOOD_ENDS = frozenset(
    {
        "stop",
        "completed",
        "end_turn",
        "stop_sequence",
        "tool_calls",
        "function_call",
        "tool_use",
    }
)
"""Finish reasons of answers that came to their own end. Whatever is not here (length limits,
filters, refusals, pauses, words that are not known yet) is not kept."""


class Entry(Struct, frozen=True, gc=False):
    """A whole answer. Times are seconds since the epoch.

    A msgspec struct: made in a fraction of a dataclass's time, and thousands of them in memory
    are no work for the garbage collector.
    """

    key: str
    request_id: str
    """Of the request that a provider answered; the entry's id."""
    api_type: str
    kind: str
    endpoint: str
    model: str
    """That was asked."""
    model_used: str
    app: str
    stream: bool
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    """Of the answer: its content type and the provider's request id."""
    body: bytes
    """Without content encoding; of a stream, its events as they were sent."""
    usage: TokenUsage | None
    usage_estimated: bool
    service_tier: str
    finish_reason: str
    cost: str | None
    """What the answer cost, in US dollars."""
    created_at: float
    expires_at: float
    prompt: str = ""
    """The text that the semantic tier compares; empty where it has no part in the entry."""
    partition: str = ""

    @property
    def size(self) -> int:
        return len(self.body) + OVERHEAD


_CALLS_TOOL = re.compile(
    rb'"type"\s*:\s*"[a-z_]*(?:_call|_use|_call_output)"|"(?:tool_calls|function_call)"\s*:\s*[\[{]'
)


def calls_tool(body: bytes) -> bool:
    """Whether an answer, whole or as events, asks for a tool (or only seems to)."""
    return _CALLS_TOOL.search(body) is not None


def is_fit(*, status: int, kind: str, complete: bool, error_type: str, finish_reason: str) -> bool:
    """Whether an answer may be served again: a whole one, that came to its own end."""
    if status != 200 or not complete or error_type:
        return False
    return finish_reason in GOOD_ENDS or (kind == "embeddings" and not finish_reason)
