"""Usage comes in pieces: an object at the start of a stream, others later, some in every chunk.

All providers send totals so far, never increments, so the newest value of a field wins. A null
or absent field says nothing: what was known stays. That is how the 1-hour share of a cache
write, told once at the start, survives the flat count that is repeated at the end.
"""

from upstreams.dialects.base import JSON
from upstreams.dialects.values import LARGEST, seconds

DEEPEST = 4
"""Levels of objects that are merged; providers use two. Deeper ones are replaced whole."""
_NUMBER = (int, float)


def merge_usage(known: JSON, newer: JSON, depth: int = 1) -> None:
    """Put the fields of ``newer`` over those of ``known``, in place; ``newer`` is not changed.

    Numbers that cannot be counts (negative, absurdly large) are passed over, and so is anything
    else than a number where one is known.
    """
    for name, value in newer.items():
        if type(value) is int and 0 <= value <= LARGEST:  # nearly all of them
            known[name] = value
            continue
        if value is None:
            continue
        old = known.get(name)
        if seconds(value) is None and (isinstance(old, _NUMBER) or isinstance(value, _NUMBER)):
            continue
        if isinstance(value, dict) and depth < DEEPEST:
            part = old if isinstance(old, dict) else {}
            merge_usage(part, value, depth + 1)
            known[name] = part
        else:
            known[name] = value
