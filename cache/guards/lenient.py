"""A looser form, for those who accept more wrong answers to have more hits. Pure.

On top of the canonical form it takes nouns without their number and indefinite article, knows
more near synonyms, and lets phrases that begin with a preposition stand in any place, unless
the text compares something.
"""

from functools import lru_cache

from cache.guards import words
from cache.guards.capitals import UPPER, style
from cache.guards.rewriting import Canonical

_DROPPED = words.word_set("really actually currently usually normally typically any")
_PREPOSITIONS = words.word_set(
    "in on at for from to with without during under by via using inside of about into over "
    "through between before after"
)
_COMPARING = words.word_set("than before after over under between more less not")
_NEAR = {
    "delete": "remove", "deleting": "removing", "create": "make", "creating": "making",
    "build": "make", "update": "change", "modify": "change", "alter": "change", "edit": "change",
    "submit": "send", "locate": "find", "mistake": "error", "problem": "issue", "road": "street",
    "earlier": "previous", "prior": "previous", "reservation": "booking", "reserve": "book",
    "cost": "price", "fee": "price", "journey": "trip", "request": "get", "display": "show",
    "allowed": "permitted", "my": "a", "our": "a", "choose": "select", "pick": "select",
    "well-known": "famous", "significant": "important", "great": "good", "method": "way",
    "are": "is", "terminate": "end", "finish": "end", "function": "feature",
}  # fmt: skip


LISTED = frozenset(_NEAR) | frozenset(_NEAR.values()) | _DROPPED
"""The words, besides those that strict guards list, that may change or go."""


def loose_form(text: Canonical) -> tuple[object, ...]:
    """What two texts must share; to be compared, not read."""
    tokens = _loose_tokens(text)
    chunks: list[tuple[str, ...]] = []
    start = 0
    for at, word in enumerate(tokens):
        if word in _PREPOSITIONS and at:
            chunks.append(tuple(tokens[start:at]))
            start = at
    chunks.append(tuple(tokens[start:]))
    if _COMPARING.isdisjoint(tokens):
        chunks[1:] = sorted(chunks[1:])
    return (text.payload, text.question, *chunks)


def _loose_tokens(text: Canonical) -> list[str]:
    shouted = style(text.text) == UPPER
    found = []
    for at, (word, original) in enumerate(zip(text.tokens, text.originals, strict=True)):
        following = text.tokens[at + 1] if at + 1 < len(text.tokens) else ""
        if _named(word, original) and not shouted:
            found.append(original)
        elif word not in _DROPPED and not _article(loose_word(word), following):
            found.append(loose_word(word))
    return found


def _named(word: str, original: str) -> bool:
    """Whether its capitals make another word of it."""
    if word in words.BRANDS:
        return False
    if not original:
        return False
    distinct = original[:1].isupper() and (word in words.HOMOGRAPHS or word == "a")
    return distinct or original[1:] != word[1:]


def _article(word: str, following: str) -> bool:
    return word == "a" and following.isalpha() and following not in ("few", "little", "lot")


@lru_cache(maxsize=8192)
def loose_word(word: str) -> str:
    """Its near synonym, and a noun without its number."""
    word = _NEAR.get(word, word)
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1].removesuffix("'")
        return _NEAR.get(word, word)
    return word.removesuffix("'")
