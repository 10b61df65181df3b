"""Why a candidate is refused, in a word, for counting and for the review page. Pure.

This names the difference, it does not decide: what is not known to mean the same is refused
whatever its name.
"""

from collections import Counter

from cache.guards import words
from cache.guards.rewriting import Canonical
from cache.guards.text import scripts
from cache.guards.verdict import Verdict

_NEGATIONS = words.word_set(
    "not no never none nor neither without cannot except unless nothing no-one stop avoid"
)
_SHOWN = 120


def refusal(new: Canonical, cached: Canonical) -> Verdict:
    """The verdict on two texts that differ in more than the lists allow."""
    a, b = Counter(new.tokens), Counter(cached.tokens)
    removed, added = list((a - b).elements()), list((b - a).elements())
    detail = f"{' '.join(removed)} / {' '.join(added)}"[:_SHOWN]
    return Verdict(False, _reason(new, cached, removed + added), detail)


def _reason(new: Canonical, cached: Canonical, differing: list[str]) -> str:
    if not (new.english and cached.english):
        return "script" if scripts(new.text) != scripts(cached.text) else "language"
    if not differing:
        if new.payload != cached.payload:
            return "material"
        if new.tokens != cached.tokens:
            return "order"
        return "symbol" if new.question != cached.question else "case"
    checks = {
        "quoted": lambda word: word[0] in "\"'`" and len(word) > 1,
        "number": lambda word: any(char.isdigit() for char in word),
        "negation": _NEGATIONS.__contains__,
        "code": lambda word: "_" in word or word.startswith("--"),
        "symbol": lambda word: not any(char.isalnum() for char in word),
        "name": lambda word: word in _names(new) or word in _names(cached),
    }
    return next((name for name, holds in checks.items() if any(map(holds, differing))), "word")


def _names(text: Canonical) -> set[str]:
    """Words with a capital that begin no sentence."""
    return {
        word.lower()
        for word in text.originals[1:]
        if word[:1].isupper() and word != "I" and word.lower() not in words.ASKING
    }
