"""Why a candidate is refused, in a word, for counting and for the review page. Pure.

This names the difference, it does not decide: what is not known to mean the same is refused
whatever its name.
"""

from collections import Counter
from collections.abc import Callable

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
    verdict = named(removed, added, [*new.originals[1:], *cached.originals[1:]])
    if not (new.english and cached.english):
        reason = "script" if scripts(new.text) != scripts(cached.text) else "language"
    elif removed or added:
        return verdict
    elif new.payload != cached.payload:
        reason = "material"
    elif new.tokens != cached.tokens:
        reason = "order"
    else:
        reason = "symbol" if new.question != cached.question else "case"
    return Verdict(False, reason, verdict.detail)


def named(removed: list[str], added: list[str], spelled: list[str]) -> Verdict:
    """The refusal of two texts by the words that only one of them has.

    ``spelled`` are words as they are written in the texts: what has a capital there is a name.
    """
    checks: dict[str, Callable[[str], bool]] = {
        "quoted": lambda word: word[0] in "\"'`" and len(word) > 1,
        "number": lambda word: any(char.isdigit() for char in word),
        "negation": _NEGATIONS.__contains__,
        "code": lambda word: "_" in word or word.startswith("--"),
        "symbol": lambda word: not any(char.isalnum() for char in word),
        "name": _names(spelled).__contains__,
    }
    differing = removed + added
    reason = next((name for name, holds in checks.items() if any(map(holds, differing))), "word")
    return Verdict(False, reason, f"{' '.join(removed)} / {' '.join(added)}"[:_SHOWN])


def _names(spelled: list[str]) -> set[str]:
    return {
        word.lower()
        for word in spelled
        if word[:1].isupper() and word != "I" and word.lower() not in words.ASKING
    }
