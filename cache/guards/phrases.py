"""Phrases that mean the same, and the places that a part of a question may stand in. Pure."""

from cache.guards import words

Line = tuple[list[str], list[str]]
"""Tokens, and the spelling of each in the text."""

_PRONOUNS = words.word_set("i you we they he she it")
_AUXILIARIES = words.word_set("can should is are am was were will would could must")


def _rules() -> dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    rules: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for line in words.PHRASES.strip().splitlines():
        wordings, _, result = line.partition("=>")
        for wording in wordings.split("|"):
            parts = tuple(wording.split())
            rules.setdefault(parts[0], []).append((parts, tuple(result.split())))
    for same in rules.values():
        same.sort(key=lambda rule: len(rule[0]), reverse=True)
    return rules


_RULES = _rules()


def join_phrases(tokens: list[str], originals: list[str]) -> Line:
    """Each known phrase in the wording that stands for all of its kind."""
    out: list[str] = []
    kept: list[str] = []
    tokens, originals = ["^", *tokens], ["", *originals]
    at = 0
    while at < len(tokens):
        for wording, result in _RULES.get(tokens[at], ()):
            end = at + len(wording)
            if tuple(tokens[at:end]) == wording and not _asks_a_state(result, tokens[end:]):
                out += result
                kept += [""] * len(result)
                at = end
                break
        else:
            out.append(tokens[at])
            kept.append(originals[at])
            at += 1
    return (out[1:], kept[1:]) if out[:1] == ["^"] else (out, kept)


def _asks_a_state(result: tuple[str, ...], rest: list[str]) -> bool:
    return result[1:] == ("do", "i") and bool(rest) and rest[0] in words.STATES


def reorder(tokens: list[str], originals: list[str], *, indirect: bool) -> Line:
    """Put parts that may stand in several places into one of them."""
    line = _fronted(tokens, originals)
    if indirect:
        line = _direct(*line)
    return _gap(*line)


def _fronted(tokens: list[str], originals: list[str]) -> Line:
    """ "For a delayed train, how do I …": the phrase goes to the end, without the comma."""
    if tokens.count(",") != 1 or tokens[0] not in words.FRONTED:
        return tokens, originals
    comma = tokens.index(",")
    if comma + 1 >= len(tokens) or tokens[comma + 1] not in words.ASKING:
        return tokens, originals
    return (
        tokens[comma + 1 :] + tokens[:comma],
        originals[comma + 1 :] + originals[:comma],
    )


def _direct(tokens: list[str], originals: list[str]) -> Line:
    """The question of a clause: "where I can park", "where the station is"."""
    if tokens and tokens[0] in ("if", "whether"):
        rest = _inverted(tokens[1:], originals[1:])
        return rest or (tokens, originals)
    for at in range(1, min(5, len(tokens))):
        if tokens[at] in _AUXILIARIES or tokens[at] == "do":
            return tokens, originals
        if tokens[at] in _PRONOUNS:
            rest = _inverted(tokens[at:], originals[at:])
            if rest:
                line = tokens[:at] + rest[0], originals[:at] + rest[1]
                return join_phrases(*line)
            return tokens, originals
    if len(tokens) > 3 and tokens[-1] in ("is", "are") and tokens[0] in words.ASKING:
        return (
            [tokens[0], tokens[-1], *tokens[1:-1]],
            [originals[0], originals[-1], *originals[1:-1]],
        )
    return tokens, originals


def _inverted(tokens: list[str], originals: list[str]) -> Line | None:
    """ "I can park": "can I park"; "I park": "do I park"."""
    if len(tokens) < 2 or tokens[0] not in _PRONOUNS:
        return None
    if tokens[1] in _AUXILIARIES:
        return (
            [tokens[1], tokens[0], *tokens[2:]],
            [originals[1], originals[0], *originals[2:]],
        )
    return ["do", *tokens], ["", *originals]


def _gap(tokens: list[str], originals: list[str]) -> Line:
    """ "How much does X cost": "how much is X"; "what does X mean": "what is the meaning of X"."""
    for asked in (["how", "much", "do"], ["what", "do"]):
        begin = len(asked)
        if tokens[:begin] == asked and tokens[-1] == "cost" and len(tokens) > begin + 1:
            return ["how", "much", "is", *tokens[begin:-1]], ["", "", "", *originals[begin:-1]]
    if tokens[:2] == ["what", "do"] and tokens[-1] == "mean" and len(tokens) > 3:
        return (
            ["what", "is", "the", "meaning", "of", *tokens[2:-1]],
            [""] * 5 + originals[2:-1],
        )
    return tokens, originals
