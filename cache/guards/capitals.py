"""Where a capital is a habit of typing, and where it makes another word. Pure."""

from typing import Protocol

from cache.guards import words

LOWER, UPPER, TITLE, MIXED = "lower", "upper", "title", "mixed"


class Text(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def originals(self) -> tuple[str, ...]: ...


def same_capitals(a: Text, b: Text) -> bool:
    """Whether the capitals of two texts with the same words say the same."""
    differing = [
        (at, x, y)
        for at, (x, y) in enumerate(zip(a.originals, b.originals, strict=True))
        if x != y and x.lower() == y.lower()
    ]
    if not differing:
        return True
    styles = {style(a.text), style(b.text)}
    uniform = styles != {MIXED}
    return all(_habit(at, x, y, uniform=uniform, upper=UPPER in styles) for at, x, y in differing)


def _habit(at: int, x: str, y: str, *, uniform: bool, upper: bool) -> bool:
    word = x.lower()
    if word in words.HOMOGRAPHS and not upper:
        return False
    if at == 0 and x[1:] == y[1:]:  # the beginning of a sentence
        return True
    if "_" in x or (not upper and (_inner_capital(x) or _inner_capital(y))):
        return word in words.BRANDS
    return uniform


def _inner_capital(word: str) -> bool:
    """As in getValue; not as in USA."""
    return not word.isupper() and any(char.isupper() for char in word[1:])


def style(text: str) -> str:
    """How a text uses capitals as a whole."""
    parts = [part for part in text.replace("I'", "i'").split() if part != "I"]
    joined = " ".join(parts)
    if joined == joined.lower():
        return LOWER
    if text == text.upper():
        return UPPER
    bare = [part.strip("?.!,") for part in parts]
    long = [part for part in bare if part.isalpha() and len(part) > 2]
    if len(long) > 2 and all(part[0].isupper() for part in long):
        return TITLE
    return MIXED
