"""A word as the lists write it: in full, in one spelling, one of the equivalents. Pure."""

from functools import lru_cache

from cache.guards import words

_OUR = tuple(words.OUR)
_IZE = [
    ("isation", "ization"),
    ("isations", "izations"),
    ("ise", "ize"),
    ("ised", "ized"),
    ("ises", "izes"),
    ("ising", "izing"),
]


@lru_cache(maxsize=8192)
def written_out(word: str, following: str) -> tuple[str, ...]:
    """A word in lower case, by what follows it; one token or more."""
    full = _contraction(word, following)
    if full:
        return tuple(part for token in full.split() for part in written_out(token, ""))
    return (_one_of_equals(_spelling(word)),)


def _contraction(word: str, following: str) -> str:
    if word in words.CONTRACTIONS:
        return words.CONTRACTIONS[word]
    if "'" not in word:
        return ""
    base = word[:-2]
    if word.endswith("'s") and base in words.IS_AFTER and following not in words.NOT_IS_BEFORE:
        return f"{base} is"
    if word.endswith("'d") and following in words.WOULD_BEFORE:
        return f"{base} would"
    return ""


def _spelling(word: str) -> str:
    if word in words.SPELLING:
        return words.SPELLING[word]
    if "our" in word and word.startswith(_OUR):
        return word.replace("our", "or", 1)
    for stem in words.DOUBLED:
        doubled = stem + stem[-1]
        if word.startswith(doubled) and word[len(doubled) :] in ("ed", "ing", "er", "ers"):
            return stem + word[len(doubled) :]
    return _ize(word)


def _ize(word: str) -> str:
    """organise, organisation: with z."""
    if len(word) < 7 or word in words.NOT_IZE:
        return word
    for british, other in _IZE:
        if word.endswith(british):
            return word[: -len(british)] + other
    return word


def _one_of_equals(word: str) -> str:
    return words.EQUIVALENTS.get(word) or words.NUMBERS.get(word) or word
