"""How one model's name is written in many ways: prefixes, version dots, dates.

Pure; never raises. Used to look prices up, where clients choose the names: everything here
is linear in the name's length.
"""

import re
from collections.abc import Iterator

MAX_LENGTH = 256
"""Longer names are not looked up: no model is called so."""

BEDROCK = re.compile(
    r"(?:[a-z-]+\.)?"  # where it runs: us., eu., global., …
    r"(?P<vendor>ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|nvidia"
    r"|openai|qwen|stability|writer|zai)\.(?P<name>[a-z].*)"
)
"""How Amazon Bedrock calls models: ``us.anthropic.claude-sonnet-4-5-20250929-v1:0``."""

_VERSION_DOT = re.compile(r"(?<=\d)\.(?=\d)")

_SUFFIX = re.compile(
    r"[-@](?:19|20)\d\d(?P<dash>-?)(?:0[1-9]|1[0-2])(?P=dash)(?:0[1-9]|[12]\d|3[01])$"
    r"|[-@]latest$"
    r"|@default$"
    r"|-v\d+:\d+$"
    r"|(?<=\d)-v\d+$"  # after a digit only: deepseek-v3 is no revision of "deepseek"
)


def canonical(name: str) -> str:
    """Lower case, and dashes for the dots between digits: claude-opus-4.6 is claude-opus-4-6."""
    return _VERSION_DOT.sub("-", name.strip().lower())


def without_prefixes(name: str) -> Iterator[tuple[str, str]]:
    """The name as it stands, then without each prefix in turn, with the prefix dropped.

    ``openai/gpt-4o`` gives ("", "openai/gpt-4o"), ("openai", "gpt-4o"). The ``ft:`` of a
    fine-tuned model is no prefix: it is another model.
    """
    yield "", name
    while "/" in name:
        prefix, _, name = name.partition("/")
        if name:
            yield prefix, name
    if match := BEDROCK.fullmatch(name):
        yield match["vendor"], match["name"]


def undated(name: str) -> Iterator[str]:
    """A canonical name, then without its dates and revisions, one by one from the end."""
    yield name
    while match := _SUFFIX.search(name):
        name = name[: match.start()]
        yield name


def matches_glob(name: str, pattern: str) -> bool:
    """Whether the pattern, in which ``*`` stands for any text, is the whole name."""
    first, *middle, last = pattern.split("*")
    if len(name) < len(first) + len(last):
        return False
    if not (name.startswith(first) and name.endswith(last)):
        return False
    position, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
