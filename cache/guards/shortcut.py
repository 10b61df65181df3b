"""Long texts that differ in a word which no list knows are refused without rewriting them. Pure.

Rewriting moves and exchanges only words that the lists name. So where one text has a word more
often than the other, and the word is in no list, their forms differ, whatever else is done to
them. Only what lies between the first and the last difference is looked at.
"""

from collections import Counter

from cache.guards import words
from cache.guards.differences import named
from cache.guards.lenient import LISTED, loose_word
from cache.guards.spelling import written_out
from cache.guards.text import TOKEN, without_thousands
from cache.guards.verdict import LENIENT, Verdict

LONG = 300
"""Letters from which this is worth it."""


def _listed() -> frozenset[str]:
    texts = [
        words.PHRASES, words.OPENINGS, words.ENDINGS, words.INDIRECT,
        *words.CONTRACTIONS, *words.CONTRACTIONS.values(),
        *words.SPELLING, *words.SPELLING.values(),
        *words.EQUIVALENTS, *words.EQUIVALENTS.values(),
        *words.NUMBERS, *words.NUMBERS.values(),
    ]  # fmt: skip
    return frozenset(word for text in texts for word in text.replace("|", " ").split()).union(
        words.HESITATION, words.HESITATION_AT_A_PAUSE, words.POLITE, words.TASKS,
        words.ASKING, words.FRONTED, {"do", "cost", "mean", "meaning", "you"},
    )  # fmt: skip


_LISTED = _listed()
_LOOSELY_LISTED = LISTED | frozenset(map(loose_word, LISTED | _LISTED))


def plain_difference(new: str, cached: str, level: str) -> Verdict | None:
    """The refusal, or None where only rewriting can tell."""
    if max(len(new), len(cached)) < LONG:
        return None
    new, cached = without_thousands(new), without_thousands(cached)
    begin = _common(new, cached)
    begin = new.rfind(" ", 0, begin) + 1
    end = _common(new[: begin - 1 : -1], cached[: begin - 1 : -1]) if begin else 0
    a, b = _middle(new, begin, end), _middle(cached, begin, end)
    first, second = Counter(_words(a, level)), Counter(_words(b, level))
    removed, added = list((first - second).elements()), list((second - first).elements())
    if not any(_inert(word, level) for word in removed + added):
        return None
    return named(removed, added, TOKEN.findall(f"{a} {b}"))


def _common(a: str, b: str) -> int:
    """How many letters two texts begin with in common."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _middle(text: str, begin: int, end: int) -> str:
    """The text without its common parts, in whole words."""
    stop = len(text) - end
    word_end = text.find(" ", max(stop, begin))
    return text[begin:] if word_end < 0 else text[begin:word_end]


def _words(text: str, level: str) -> list[str]:
    """The words in one spelling; apostrophes at their end may differ."""
    found = [
        part.strip("'") for word in TOKEN.findall(text) for part in written_out(word.lower(), "")
    ]
    return [loose_word(word) for word in found] if level == LENIENT else found


def _inert(word: str, level: str) -> bool:
    return word.isalnum() and word not in (_LOOSELY_LISTED if level == LENIENT else _LISTED)
