"""Patterns for names, as people write them: ``*``, ``?`` and ``[…]``, case-sensitive. Pure."""

import fnmatch
import re
from collections.abc import Callable

_SPECIAL = re.compile(r"[*?\[]")
_SIGN = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)
"""A star, or what stands for one character: a class in brackets, ``?`` or the character."""
_ENDS = re.compile(r"^\(\?s:|\)\\[Zz]$")
"""What `fnmatch.translate` puts around an expression."""
_NEVER = "(?!)"
"""What it makes of a class that no character is in."""


def is_pattern(text: str) -> bool:
    """Whether a text stands for several names; else it is a name itself."""
    return _SPECIAL.search(text) is not None


def matches_nothing(pattern: str) -> bool:
    """Whether no text can match, as of a range in brackets that goes from high to low."""
    return _NEVER in fnmatch.translate(pattern)


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test of values against a pattern, as `fnmatch.fnmatchcase` does it, but never slow.

    A regular expression with many stars takes exponential time. Here the pieces between the
    stars are sought from left to right, each at its first place, which never has to go back.
    """
    signs: list[list[str]] = [[]]
    for sign in _SIGN.findall(pattern):
        if sign == "*":
            signs.append([])
        else:
            signs[-1].append(_ENDS.sub("", fnmatch.translate(sign)))
    head, *middle = (re.compile("".join(piece), re.DOTALL) for piece in signs)
    if not middle:
        return lambda value: head.fullmatch(value) is not None
    tail = middle.pop()
    tail_length = len(signs[-1])  # each sign stands for one character

    def matches(value: str) -> bool:
        found = head.match(value)
        for piece in middle:
            if found is None:
                return False
            found = piece.search(value, found.end())
        start = len(value) - tail_length
        return found is not None and start >= found.end() and tail.match(value, start) is not None

    return matches
