"""Whether a cached answer may be served for another text: one candidate pair, one verdict.

Distance alone cannot tell "cancel it" from "do not cancel it". A list of dangerous words
cannot either: it knows only the dangers that its author thought of. So the guards turn it
round. They list what may differ (`cache.guards.words`: politeness, contractions, spelling,
a reviewed list of wordings that mean the same) and rewrite both texts to one form; any other
difference is a miss. Numbers, units, names, negation, order, operators and code need no rule
of their own. In a language that the lists do not cover, only equal text is served.

Pure. How it fails: it cannot; whatever it does not understand is a refusal with a reason.
"""

from cache.guards.differences import refusal
from cache.guards.lenient import loose_form
from cache.guards.rewriting import canonical
from cache.guards.shortcut import plain_difference
from cache.guards.text import normalised
from cache.guards.verdict import LENIENT, STRICT, Verdict

__all__ = ["LENIENT", "STRICT", "Verdict", "judge"]


def judge(new: str, cached: str, level: str = STRICT) -> Verdict:
    """Compare a new text with the text whose answer is cached.

    ``level`` is `STRICT` or `LENIENT`; the latter also lets articles, number and inflection
    of nouns, the place of a phrase and a longer list of near synonyms differ.
    """
    a, b = normalised(new), normalised(cached)
    if a == b:
        return Verdict(True, "equal")
    if refused := plain_difference(a, b, level):
        return refused
    first, second = canonical(a), canonical(b)
    if not (first.english or second.english):
        if (first.tokens, first.payload) == (second.tokens, second.payload):
            return Verdict(True, "equal")
    elif first.english and second.english:
        if first.means(second):
            return Verdict(True, "wording")
        if level == LENIENT and loose_form(first) == loose_form(second):
            return Verdict(True, "lenient")
    return refusal(first, second)
