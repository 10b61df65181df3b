r"""Text as it reads once its escapes are undone, with the way back. Pure, linear.

A secret can be written so that no pattern finds it: ``sk-\u0041bc`` in JSON that does not
parse, ``user%40example.com`` in a query, a key behind the ``\n`` of a line in source code.
`views` gives such a text level by level, and `View.back` says where something that was found
in one stands in the original.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

LEVELS = 4
"""JSON in a string in JSON in a string; each level is one pass over the text."""

_ESCAPE = re.compile(
    rb"""\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\[\\/"'bfnrt]|%[0-9a-fA-F]{2}|&(?:amp|quot|#64|#x40);"""
)
_SIMPLE = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_ENTITIES = {b"&amp;": b"&", b"&quot;": b'"', b"&#64;": b"@", b"&#x40;": b"@"}


@dataclass(frozen=True, slots=True)
class View:
    """One level of unescaping."""

    text: bytes
    starts: list[int]
    """Where, in `text`, each escape's replacement begins and where it ends, in turn."""
    origins: list[int]
    """The same places in what it was made of."""

    def back(self, start: int, end: int) -> tuple[int, int]:
        """A span of `text` as the span of the original that it came from."""
        return self._origin(start, whole_after=False), self._origin(end - 1, whole_after=True)

    def _origin(self, position: int, *, whole_after: bool) -> int:
        """The original place of a byte, or the place behind it; an escape counts as a whole."""
        index = bisect_right(self.starts, position) - 1
        if index % 2 == 0:  # inside what an escape stands for
            return self.origins[index + 1] if whole_after else self.origins[index]
        base, origin = (self.starts[index], self.origins[index]) if index >= 0 else (0, 0)
        return origin + position - base + whole_after


def views(text: bytes) -> Iterator[tuple[bytes, list[View]]]:
    """The text without its first level of escapes, without two, and so on, each with the views
    that lead to it; nothing where there is no escape."""
    way: list[View] = []
    while len(way) < LEVELS and (view := _unescaped(text)) is not None:
        way = [*way, view]
        text = view.text
        yield text, way


def original(way: list[View], start: int, end: int) -> tuple[int, int]:
    """The span of the first text that a span of the last view came from."""
    for view in reversed(way):
        start, end = view.back(start, end)
    return start, end


def _unescaped(text: bytes) -> View | None:
    if b"\\" not in text and b"%" not in text and b"&" not in text:
        return None
    pieces: list[bytes] = []
    starts: list[int] = []
    origins: list[int] = []
    length = position = 0
    for match in _ESCAPE.finditer(text):
        begin, end = match.span()
        plain = _meant(match[0])
        pieces += (text[position:begin], plain)
        length += begin - position
        starts += (length, length + len(plain))
        origins += (begin, end)
        length += len(plain)
        position = end
    if not starts:
        return None
    pieces.append(text[position:])
    return View(b"".join(pieces), starts, origins)


def _meant(escape: bytes) -> bytes:
    if escape[:1] == b"%":
        return bytes([int(escape[1:], 16)])
    if escape[:1] == b"&":
        return _ENTITIES[escape]
    if escape[1:2] in (b"u", b"x"):
        return chr(int(escape[2:], 16)).encode("utf-8", "surrogatepass")
    return _SIMPLE.get(escape[1:], escape[1:])
