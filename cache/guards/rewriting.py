"""One form for all wordings of a question that the lists know to mean the same. Pure.

The head of a text, up to its first colon or line end, is rewritten; what follows is material
that the request speaks of (a document, code, a sentence to translate) and is kept as it
stands. Quoted spans are kept, too. Nothing is thrown away but politeness and fillers.
"""

from dataclasses import dataclass
from functools import lru_cache

from cache.guards import words
from cache.guards.capitals import same_capitals
from cache.guards.openings import strip_ending, strip_opening
from cache.guards.phrases import join_phrases, reorder
from cache.guards.spelling import written_out
from cache.guards.text import TOKEN, is_english, without_thousands

_FULL_STOPS = frozenset({".", "。"})
_QUOTES = ('"', "`", "'")
_SPECIAL = words.HESITATION | words.HESITATION_AT_A_PAUSE | words.POLITE | {","}


@dataclass(frozen=True, slots=True)
class Canonical:
    """A text in canonical form.

    ``originals`` holds for each token the spelling in the text, empty where it was rewritten.
    ``payload`` is what follows the head, verbatim.
    """

    text: str
    tokens: tuple[str, ...]
    originals: tuple[str, ...]
    payload: str
    question: bool
    english: bool

    def means(self, other: "Canonical") -> bool:
        """Whether both say the same, word by word, in the same order."""
        return (
            self.payload == other.payload
            and self.question == other.question
            and same_tokens(self.tokens, other.tokens)
            and same_capitals(self, other)
        )


def same_tokens(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Equal but for the apostrophe of a plural: "residents' permit", "residents permit"."""
    if a == b:
        return True
    return len(a) == len(b) and all(
        x == y or (x.strip("'") == y.strip("'") and "s'" in (x[-2:], y[-2:]))
        for x, y in zip(a, b, strict=True)
    )


@lru_cache(maxsize=64)
def canonical(text: str) -> Canonical:
    """Rewrite a normalised text; one that has several candidates is rewritten once."""
    text = without_thousands(text)
    found = list(TOKEN.finditer(text))
    spelled = [match[0] for match in found]
    lower = [word.lower() for word in spelled]
    english = is_english(lower)
    if not english:
        return _kept(text, spelled)
    begin, indirect, ordered = strip_opening(lower)
    end = next((i for i in range(begin, len(lower)) if lower[i] in (":", "\n")), len(lower))
    payload = text[found[end].start() :] if end < len(lower) else ""
    question = False
    if not payload:
        end = strip_ending(lower, begin)
        question = "?" in lower[end:]
    if begin < end and lower[begin] in words.BEGINNINGS:
        spelled[begin] = lower[begin]  # its capital is the sentence's
    out, originals = lower[begin:end], spelled[begin:end]
    if words.ABOUT_WORDS.isdisjoint(out):
        out, originals = _written_out(out, originals)
        out, originals = join_phrases(out, originals)
        out, originals = reorder(out, originals, indirect=indirect)
    asks = ordered or (bool(out) and out[0] in words.ASKING)
    return Canonical(text, tuple(out), tuple(originals), payload, question and not asks, True)


def _kept(text: str, spelled: list[str]) -> Canonical:
    """A text that the lists are not for: a full stop and spaces before signs may differ."""
    while spelled and spelled[-1] in _FULL_STOPS:
        spelled.pop()
    payload = text if "\n" in text else ""
    return Canonical(text, tuple(spelled), tuple(spelled), payload, False, False)


def _written_out(lower: list[str], spelled: list[str]) -> tuple[list[str], list[str]]:
    """Without fillers, contractions and variants of spelling."""
    out: list[str] = []
    originals: list[str] = []
    for i, word in enumerate(lower):
        if word not in _SPECIAL and word[0] not in _QUOTES:
            following = lower[i + 1] if "'" in word and i + 1 < len(lower) else ""
            parts = written_out(word, following)
            out += parts
            originals += [spelled[i]] if parts == (word,) else [""] * len(parts)
            continue
        following = lower[i + 1] if i + 1 < len(lower) else ""
        if word[0] in _QUOTES:
            out.append(spelled[i])
            originals.append(spelled[i])
        elif _hesitation(word, spelled[i], lower, i) or _polite(word, lower, i):
            if out and out[-1] == "," and following in ("", ","):
                out.pop()
                originals.pop()
        elif word == "," and (following in ("and", "or") or not out):
            continue
        else:
            out.append(word)
            originals.append(spelled[i])
    return out, originals


def _hesitation(word: str, spelled: str, lower: list[str], i: int) -> bool:
    if spelled.isupper() or (i and lower[i - 1] in words.MENTIONS):
        return False
    at_a_pause = i == 0 or lower[i - 1] == ","
    return word in words.HESITATION or (at_a_pause and word in words.HESITATION_AT_A_PAUSE)


def _polite(word: str, lower: list[str], i: int) -> bool:
    if word not in words.POLITE:
        return False
    if i == 0:
        return len(lower) > 1 and lower[1] not in words.PLEASED
    return lower[i - 1] not in words.MENTIONS
