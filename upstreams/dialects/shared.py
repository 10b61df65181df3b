"""What both dialects need to classify requests and to watch a stream."""

from upstreams.dialects.base import Answer, Endpoint

READS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Methods that no provider bills."""

FREE = Endpoint("other", "free")
UNKNOWN = Endpoint("other", "unknown")
COUNT_TOKENS = Endpoint("count_tokens", "free")

GAP = rb"(?:\s|data:)*"
"""In a pattern: what may stand between the tokens of an event's JSON, spaces or a break between
two data lines. Quotes inside a string are escaped in JSON, so a pattern for a member's name
with both its quotes cannot match within a text."""

DONE = b"[DONE]"
"""The data of a stream's last event where the dialect has such an event."""


def is_final(answer: Answer) -> bool:
    """Whether the answer came to an end of its own, so that even a count of zero is one."""
    return answer.complete or bool(answer.finish_reason)
