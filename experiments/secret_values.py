"""Secrets that only their name gives away: ``"password": "…"``, ``API_KEY=…``, ``?token=…``.

Pure, for text in which they stand: JSON that cannot be parsed, queries, environments, headers,
source code. A value without quotes counts only where its surroundings say that it is one, so
that prose and code stay as they are.
"""

import re
from collections.abc import Iterator
from typing import Any

import re2

from experiments.secret_names import is_secret_name

Span = tuple[int, int, str]
"""Start, end and kind, in bytes."""


def compiled(pattern: bytes, *, fold: bool = False) -> Any:
    """An expression over single bytes (Latin-1): RE2 takes linear time for any text."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.case_sensitive = not fold
    options.max_mem = 64 << 20
    return re2.compile(pattern, options)


def each(pattern: Any, text: bytes) -> Iterator[Any]:
    """All matches; the next is looked for behind the first group, as what follows that group
    may be the boundary before the next."""
    position = 0
    while (match := pattern.search(text, position)) is not None:
        yield match
        position = max(match.end(1), position + 1)


_NAME = (
    rb"[A-Za-z0-9_.-]{0,64}(?:passw(?:or)?d|passphrase|passcode|pwd|secret|token|credentials?"
    rb"|(?:api|access|secret|private|account|signing|encryption|subscription|auth|shared|master)"
    rb"[_. -]?key|[a-z]_pass|cookie|connection[_. -]?string)(?:_?[0-9]{1,3})?"
)
_VALUE = (
    rb""""((?:[^"\\\n]|\\.)+)"|'((?:[^'\\\n]|\\.)+)'"""
    rb"""|([^\s"'&;,<>(){}\[\]`|\\]+)([&;]?)"""
)
_SIGN = compiled(
    rb"(?:passw(?:or)?d|passphrase|passcode|pwd|secret|token|credentials?|key|_pass|cookie|string)"
    rb"""[_0-9]*["']?[ \t]*[:=]""",
    fold=True,
)
_NAMED = compiled(
    rb"(" + _NAME + rb""")(["']?)[ \t]{0,8}(=>|:=|[:=])[ \t]{0,8}(?:""" + _VALUE + rb")", fold=True
)
_TYPE_NAME = re.compile(
    rb"(?:u?int|float|double|complex|[uif]|str|string|char|varchar|bytes?|vec|sha|md|base|utf|hex"
    rb"|aes|rsa|oauth|http|step|page|item|line|part)[-_]?[0-9]+(?:[-_][a-z0-9]+)*",
    re.IGNORECASE,
)
_PATH = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+[:.,]?")


def named_values(text: bytes) -> Iterator[Span]:
    """The values behind names of secrets."""
    if not _SIGN.search(text):
        return
    for match in _NAMED.finditer(text):
        name = match[1].decode("latin-1")
        if not is_secret_name(name):
            continue
        group = next(number for number in (4, 5, 6) if match.span(number)[0] >= 0)
        if group == 6:
            if not _bare_value(text, match, name):
                continue
        elif not match[2] and len(match[group]) < 4:
            continue
        yield (*match.span(group), "secret")


def _bare_value(text: bytes, match: Any, name: str) -> bool:
    """Whether a value without quotes is one, and not a word of prose or a piece of code."""
    value: bytes = match[6]
    between: bytes = text[match.end(1) : match.start(6)]
    if value[:1] in (b"$", b"%", b"*", b"@", b"/") or value.startswith(b"\xe2\x80\xa6"):
        return False  # a variable, a format, a mask, a path, an ellipsis
    before = text[match.start(1) - 1 : match.start(1)] if match.start(1) else b""
    tight = between == b"="
    if tight and (before in (b"?", b"&", b";") or match[7] or name.startswith("--")):
        return True  # a query, a connection string, an option
    if tight and name.isupper():
        return not _PATH.fullmatch(value)  # an environment
    if between.startswith(b":") and name.lower().startswith(("x-", "api-key", "private-token")):
        return len(value) >= 6  # a header
    value = value.rstrip(b".,:!?")
    if not (tight or between.strip() == b":") or _PATH.fullmatch(value):
        return False
    return (
        len(value) >= 6
        and any(48 <= byte <= 57 for byte in value)
        and any(chr(byte).isalpha() for byte in value)
        and not _TYPE_NAME.fullmatch(value)
    )
