"""Regular expressions that operators write and that run on every request. Pure.

The engine is RE2: its time grows with the text's length and never with what the pattern is
made of, so no pattern can hold up a worker. What it does not have (look-around, references
back) is refused where the pattern is written.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import re2

SEARCHED = 32 * 1024
"""Bytes of a text, in UTF-8, that are searched: its beginning. A pattern over much longer
texts would show in the latency; what a message asks for stands at its beginning."""
LONGEST = 1000
"""Characters of a pattern."""
MEMORY = 4 << 20
"""Bytes that the engine may use for one pattern; it refuses what needs more."""

_REASONS = {
    "invalid perl operator": "look-around and other Perl extras are not supported",
    "invalid escape sequence": "this escape is not supported (references back are not)",
    "invalid repetition size": "a repetition may count to 1000",
}


class PatternError(ValueError):
    """A pattern cannot be used; the text says why."""


class Pattern:
    """A compiled pattern. `searches` looks anywhere in a text that `encode` prepared."""

    __slots__ = ("_search", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._search = _compiled(source).search

    def searches(self, text: bytes) -> bool:
        return self._search(text) is not None

    def span(self, text: str) -> tuple[int, int] | None:
        """Where the pattern matches, in characters; for people who try it out."""
        encoded = encode(text)
        found = self._search(encoded)
        if found is None:
            return None
        start = len(encoded[: found.start()].decode("utf-8", "replace"))
        return start, start + len(found.group().decode("utf-8", "replace"))


def encode(text: str) -> bytes:
    """A text as patterns search it: UTF-8, cut at `SEARCHED`."""
    return text[:SEARCHED].encode("utf-8", "surrogatepass")[:SEARCHED]


def any_of(patterns: Sequence[Pattern]) -> Pattern | None:
    """One pattern that matches where any of them does, so that most texts are read once;
    None where that would be too large."""
    try:
        return Pattern("|".join(f"(?:{one.source})" for one in patterns))
    except PatternError:
        return None


def check(source: str) -> None:
    """
    Raises:
        PatternError: the pattern is empty, too long, malformed or not supported.
    """
    if not source:
        raise PatternError("The pattern is empty.")
    if len(source) > LONGEST:
        raise PatternError(f"The pattern is longer than {LONGEST} characters.")
    _compiled(source)


@lru_cache(maxsize=1024)
def _compiled(source: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY
    try:
        return re2.compile(source.encode("utf-8", "replace"), options)
    except re2.error as exc:
        raise PatternError(_explained(exc)) from None


def _explained(error: Exception) -> str:
    raw = error.args[0] if error.args else b""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    for sign, reason in _REASONS.items():
        if text.startswith(sign):
            return f"The pattern cannot be used: {text} ({reason})."
    return f"The pattern cannot be used: {text}."
