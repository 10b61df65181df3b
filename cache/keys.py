"""What makes two requests the same: the exact key, and the partition of the semantic tier.

A key is a hash of everything that can change the answer: the body as canonical JSON, who asks,
where, for which model. What is left out of it is listed in `IGNORED`, each with its reason;
all else counts, known or not. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

JSON = dict[str, Any]
Pairs = Iterable[tuple[bytes, bytes]]

IGNORED: dict[str, dict[str, str]] = {
    "chat": {
        "user": "names the end user for the provider's abuse checks; the model never sees it",
        "safety_identifier": "the newer name of `user`",
        "prompt_cache_key": "steers which machine has the prompt cached",
    },
    "completions": {"user": "names the end user for the provider's abuse checks"},
    "embeddings": {"user": "names the end user for the provider's abuse checks"},
    "messages": {"metadata": "holds an end user's id for abuse checks, and nothing else"},
    "responses": {},  # there the answer repeats all of them
}
"""Top-level members that cannot change the answer, by kind of endpoint, with the reason."""

CALLER = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"openai-organization",
        b"openai-project",
    }
)
"""Headers that say who asks. Nobody is answered with what another credential was told. A cookie
says so only where none of these is there: providers' front ends set new ones all the time."""

ANSWER_PREFIXES = (b"anthropic-", b"openai-", b"x-goog-")
"""Headers by which providers choose versions and features of an answer. Others (traces, SDK
versions, retries) change from request to request and never the answer."""

_DIGITS = bytes(ord("0") if chr(sign) in "0123456789." else ord(" ") for sign in range(256))
_MANY_DIGITS = b"0" * 16


class Asked(NamedTuple):
    """A request as far as it can change its answer, without its model."""

    kind: str
    api_type: str
    path: str
    query: str
    headers: Pairs
    body: bytes
    data: JSON
    """The parsed body."""
    stream: bool
    caller: str = ""
    """Of a request that came with a client key of TokenWatch's: which. The key itself has been
    taken out of the headers."""
    route: str = ""
    """The upstreams that a routing rule names: another host may answer otherwise."""


class Keyed:
    """A request without its model: `key` adds the one that is asked."""

    __slots__ = ("_hasher",)

    def __init__(self, *parts: bytes) -> None:
        self._hasher = blake2b(_joined(parts), digest_size=32)

    def key(self, model: str) -> str:
        """64 hex digits."""
        hasher = self._hasher.copy()
        hasher.update(model.encode())
        return hasher.hexdigest()


def keyed(asked: Asked) -> Keyed:
    """The exact identity of a request."""
    return Keyed(
        b"exact",
        *_context(asked),
        _canonical(asked.body, _without(asked.data, asked.kind)),
    )


def _context(asked: Asked) -> list[bytes]:
    """All but the body and the model."""
    parts = [
        asked.api_type.encode(),
        asked.path.encode(),
        asked.query.encode(),
        asked.route.encode(),
        asked.caller.encode(),
        b"stream" if asked.stream else b"whole",
        b"named" if isinstance(asked.data.get("model"), str) else b"nameless",
    ]
    fixed = len(parts)
    cookies: list[bytes] = []
    for name, value in asked.headers:
        if name in CALLER or name.startswith(ANSWER_PREFIXES):
            parts += (name, value)
        elif name == b"cookie":
            cookies += (name, value)
    if cookies and CALLER.isdisjoint(parts[fixed::2]):
        parts += cookies
    return parts


def _without(data: JSON, kind: str) -> JSON:
    """The body without what is ignored and without the model, which is keyed by itself."""
    ignored = IGNORED[kind]
    kept = {name: value for name, value in data.items() if name not in ignored}
    if isinstance(kept.get("model"), str):
        del kept["model"]
    return kept


def _canonical(body: bytes, data: JSON) -> bytes:
    """One spelling for all spellings of a body; of one with very long numbers, as it stands."""
    if _has_long_number(body):
        return b"raw" + body
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)


def _has_long_number(body: bytes) -> bool:
    """Whether there may be numbers that a parser rounds: two can differ and be read as one."""
    return _MANY_DIGITS in body.translate(_DIGITS)


def _joined(parts: Iterable[bytes]) -> bytes:
    """Several byte strings as one, each with its length: no two lists run together."""
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


# --- The semantic tier -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compared:
    """What the semantic tier compares: a text within a partition."""

    text: str
    rest: Keyed

    def partition(self, model: str) -> str:
        """64 hex digits."""
        return self.rest.key(model)


def compared(asked: Asked) -> Compared | None:
    """The last user message apart from all else; None where the last thing said is not one
    text of the user's.

    System prompt, earlier messages, tools and every parameter belong to the partition.
    """
    found = _last_text(asked.kind, asked.data)
    if found is None or _has_long_number(asked.body):
        return None
    text, rest = found
    rest_of = Keyed(
        b"partition",
        *_context(asked),
        orjson.dumps(_without(rest, asked.kind), option=orjson.OPT_SORT_KEYS),
    )
    return Compared(text, rest_of)


def _last_text(kind: str, data: JSON) -> tuple[str, JSON] | None:
    """The text and the body without it."""
    if kind in ("chat", "messages"):
        return _of_messages(data, "messages", "text")
    if kind == "responses":
        if isinstance(text := data.get("input"), str):
            return _found(text, {**data, "input": None})
        return _of_messages(data, "input", "input_text")
    if kind == "completions" and isinstance(text := data.get("prompt"), str):
        return _found(text, {**data, "prompt": None})
    return None


def _of_messages(data: JSON, member: str, part_type: str) -> tuple[str, JSON] | None:
    messages = data.get(member)
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        return None
    last = messages[-1]
    content = last.get("content")
    if last.get("role") != "user" or last.get("type", "message") != "message":
        return None
    blank: Any = None
    if isinstance(content, list):
        if len(content) != 1 or not isinstance(content[0], dict):
            return None
        part = content[0]
        if part.get("type") != part_type:
            return None
        content, blank = part.get("text"), [{**part, "text": None}]
    if not isinstance(content, str):
        return None
    rest = {**data, member: [*messages[:-1], {**last, "content": blank}]}
    return _found(content, rest)


def _found(text: str, rest: JSON) -> tuple[str, JSON] | None:
    return (text, rest) if text.strip() else None
