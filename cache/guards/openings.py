"""Where a request begins and ends, between greetings, apologies and thanks. Pure."""

from collections.abc import Iterable

from cache.guards import words

_BREAKS = frozenset({",", ".", "!", ":", ";", "-", "–", "—", "\n", "...", "?"})
_ENDS = frozenset({"?", "!", ".", "...", ",", ";", "\n"})
_CLAUSE = words.word_set(
    "what how why where when who which whose if whether what's how's where's when's who's"
)
_AFTER_A_WORD = _BREAKS | _CLAUSE | words.HESITATION | words.ASKING | words.OPENS | words.TASKS
_ASKED = frozenset({"can", "could", "would", "will"})

Phrases = dict[str, list[tuple[str, ...]]]


def _phrases(text: str, by: int) -> Phrases:
    """The phrases of a list by their first or last word, the longest first."""
    found: Phrases = {}
    for phrase in text.replace("\n", "|").split("|"):
        if parts := tuple(phrase.split()):
            found.setdefault(parts[by], []).append(parts)
    for same in found.values():
        same.sort(key=len, reverse=True)
    return found


_OPENINGS = _phrases(words.OPENINGS, 0)
_INDIRECT = _phrases(words.INDIRECT, 0)
_ENDINGS = _phrases(words.ENDINGS, -1)


def strip_opening(lower: list[str]) -> tuple[int, bool, bool]:
    """Where the request begins; whether it is put as "tell me where …", and as "can you …"."""
    begin, indirect, ordered = 0, False, False
    while True:
        at = begin
        while at < len(lower) and (
            lower[at] in words.HESITATION
            or lower[at] in words.HESITATION_AT_A_PAUSE
            or _asks_politely(lower, at)
            or (begin and lower[at] in _BREAKS)
        ):
            at += 1
        length = _opening(lower, at, first=begin == 0)
        if not length:
            length = _introducer(lower, at)
            indirect = indirect or length > 0
        if not length:
            length = _order(lower, at)
            ordered = ordered or length > 0
        if not length or at + length >= len(lower):
            return (at if at < len(lower) else begin), indirect, ordered
        begin = at + length


def _asks_politely(lower: list[str], at: int) -> bool:
    following = lower[at + 1] if at + 1 < len(lower) else ""
    return lower[at] in words.POLITE and following not in words.PLEASED


def _opening(lower: list[str], at: int, *, first: bool) -> int:
    for phrase in _fitting(_OPENINGS, lower, at):
        following = lower[at + len(phrase)] if at + len(phrase) < len(lower) else ""
        if len(phrase) == 1 and following not in _AFTER_A_WORD:
            continue
        if phrase == ("but",) and first:
            continue
        return len(phrase)
    return 0


def _introducer(lower: list[str], at: int) -> int:
    for phrase in _fitting(_INDIRECT, lower, at):
        following = lower[at + len(phrase)] if at + len(phrase) < len(lower) else ""
        if phrase[0] in words.TO_BE_TOLD_LATER and following in ("when", "if", "whether"):
            continue
        if following in _CLAUSE:
            return len(phrase)
    return 0


def _order(lower: list[str], at: int) -> int:
    """The length of "can you" before an order: a known task, or any with a "please"."""
    if lower[at : at + 1] and lower[at] in _ASKED and lower[at + 1 : at + 2] == ["you"]:
        rest = lower[at + 2 : at + 4]
        if rest and (rest[0] in words.TASKS or (rest[0] in words.POLITE and len(rest) == 2)):
            return 2
    return 0


def _fitting(phrases: Phrases, lower: list[str], at: int) -> Iterable[tuple[str, ...]]:
    if at >= len(lower):
        return ()
    known = phrases.get(lower[at], ())
    return (phrase for phrase in known if tuple(lower[at : at + len(phrase)]) == phrase)


def strip_ending(lower: list[str], begin: int) -> int:
    """Where the request ends: before thanks, "please" and the last marks."""
    end = len(lower)
    while end > begin:
        if _is_factorial(lower, end):
            break
        if lower[end - 1] in _ENDS or lower[end - 1] in words.HESITATION:
            end -= 1
            continue
        length = _thanks(lower, begin, end)
        if not length:
            break
        end -= length
    return end


def _is_factorial(lower: list[str], end: int) -> bool:
    """Whether the last sign is that of ``5!`` or ``n!``."""
    before = lower[end - 2] if end > 1 else ""
    single = len(before) == 1 and before.isalpha()
    return lower[end - 1] == "!" and (single or before[-1:].isdigit())


def _thanks(lower: list[str], begin: int, end: int) -> int:
    last = lower[end - 1]
    if last in words.POLITE:
        return 1 if end - 1 > begin and lower[end - 2] not in words.MENTIONS else 0
    for phrase in _ENDINGS.get(last, ()):
        at = end - len(phrase)
        if at > begin and tuple(lower[at:end]) == phrase and lower[at - 1] not in words.MENTIONS:
            return len(phrase)
    return 0
