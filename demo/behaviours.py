"""What a model's name asks the fake provider to do; pure.

A name is a behaviour (``fail-429``), a model (``gpt-4o-mini``), or a model with behaviours
behind it, joined by ``+`` (``claude-sonnet-4-5+cached+gzip``). A name that is none of the
known behaviours is taken for a model, as it stands. The header ``X-Fake-Provider`` takes the
same words, for requests whose model's name is to stay as it is.

============== ==============================================================
fail-N         answer with error N in the provider's shape (429 has retry-after)
slow-N         wait N ms before the head
stream-N-M     N pieces of text, M ms apart where the answer is streamed
break-N        cut the connection after N events, or amid an answer in one piece
error-N        after N events of a stream, an error event instead of the rest
cached         usage counts cache reads and cache writes
gzip           compress by the request's accept-encoding (gzip, br or zstd)
no-usage       say nothing about usage
============== ==============================================================
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

_DATED = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
    "gpt-3.5-turbo-instruct": "gpt-3.5-turbo-instruct:20230824-v2",
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
}

KNOWN_MODELS = tuple(_DATED)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one request is to be answered."""

    model: str = ""
    """The model without behaviours; empty where the name was nothing but behaviours."""
    fail: int | None = None
    delay_ms: int = 0
    pieces: int | None = None
    interval_ms: int = 0
    break_after: int | None = None
    error_after: int | None = None
    cached: bool = False
    compress: bool = False
    usage: bool = True

    def answered_model(self, default: str) -> str:
        """The model that the answer names: with its date, as providers do."""
        model = self.model or default
        return _DATED.get(model, model)


_KNOWN: list[tuple[re.Pattern[str], Callable[[list[int]], dict[str, Any]]]] = [
    (re.compile(r"fail-([45]\d\d)"), lambda n: {"fail": n[0]}),
    (re.compile(r"slow-(\d{1,6})"), lambda n: {"delay_ms": n[0]}),
    (re.compile(r"stream-(\d{1,6})-(\d{1,6})"), lambda n: {"pieces": n[0], "interval_ms": n[1]}),
    (re.compile(r"break-(\d{1,6})"), lambda n: {"break_after": n[0]}),
    (re.compile(r"error-(\d{1,6})"), lambda n: {"error_after": n[0]}),
    (re.compile(r"cached"), lambda n: {"cached": True}),
    (re.compile(r"gzip"), lambda n: {"compress": True}),
    (re.compile(r"no-usage"), lambda n: {"usage": False}),
]


def _fields(word: str) -> dict[str, Any] | None:
    for pattern, fields in _KNOWN:
        if match := pattern.fullmatch(word):
            return fields([int(group) for group in match.groups()])
    return None


def behaviour_of(name: str) -> Behaviour:
    """Read a model's name."""
    behaviour = Behaviour()
    model = []
    for word in name.split("+"):
        fields = _fields(word)
        if fields is None:
            model.append(word)
        else:
            behaviour = replace(behaviour, **fields)
    return replace(behaviour, model="+".join(model))
