"""Takes secrets and personal data out of what is stored. Pure, fast, linear in the length.

What is looked for stands in `experiments.secret_patterns` and `experiments.secret_names`; this
module says where: in every string of a body, its members' names, JSON inside strings (tool
arguments) however often it is nested, and, where a text cannot be parsed, in what it would say
without its escapes. Everything else passes byte for byte. Never raises.

It fails closed: what is nested too deep to be looked into is taken out as a whole.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from experiments import media, secret_patterns
from experiments.secret_names import is_secret_name
from experiments.secret_values import Span
from experiments.unescaping import original, views

DEEPEST = 100
"""Levels of arrays and objects that are looked into, over all JSON in strings together."""
DEEPEST_JSON = 8
"""Levels of JSON inside strings."""

_SCHEMA_WORDS = frozenset({"type", "$ref", "anyOf", "oneOf", "allOf", "description", "properties"})
_NAMED_BY = ("name", "key", "header", "field", "variable")


@dataclass(slots=True)
class Redacted:
    """A body as it may be stored."""

    text: str
    found: Counter[str] = field(default_factory=Counter)
    """How many of each kind were taken out."""
    media: int = 0
    """Images, audio and files that stand as their hash."""


class _Redactor:
    """One body being redacted; counts what it finds."""

    def __init__(self, *, secrets: bool) -> None:
        self.secrets = secrets
        self.found: Counter[str] = Counter()
        self.media = 0

    def body(self, text: str) -> str:
        parsed = _parsed(text)
        if parsed is None:
            return self.string(text, 0, DEEPEST_JSON)
        value, doubled = parsed
        changed = self.value(value, "", 0, 0)
        return text if changed == value and not doubled else _dumped(changed)

    def value(self, value: Any, parent: str, depth: int, nested: int) -> Any:
        if isinstance(value, str):
            return self.string(value, depth, nested)
        if not isinstance(value, (dict, list)):
            return value if not isinstance(value, (int, float)) else self.number(value)
        if depth >= DEEPEST:
            return self._mark("nested")
        if isinstance(value, list):
            return [self.value(item, parent, depth + 1, nested) for item in value]
        return self.object(value, parent, depth, nested)

    def object(self, value: dict[str, Any], parent: str, depth: int, nested: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        named = self.secrets and any(
            isinstance(said := value.get(name), str) and is_secret_name(said) for name in _NAMED_BY
        )
        for name, inner in value.items():
            if media.is_media(value, name, parent):
                self.media += 1
                changed: Any = media.hashed(inner, _media_type(value))
            elif self.secrets and _is_secret(name, value, named):
                changed = self.secret(inner, name, depth + 1, nested)
            else:
                changed = self.value(inner, name, depth + 1, nested)
            made[_free(self.string(name, depth, DEEPEST_JSON), made)] = changed
        return made

    def secret(self, value: Any, parent: str, depth: int, nested: int) -> Any:
        """What goes by the name of a secret; a schema of such a member is none."""
        if value is None or isinstance(value, bool) or value == "":
            return value
        if isinstance(value, str):
            return value if _is_mark(value) else self._mark("secret")
        if isinstance(value, (int, float)):
            return value if parent.lower().endswith("token") else self._mark("secret")
        if depth >= DEEPEST:
            return self._mark("nested")
        if isinstance(value, list):
            return [self.secret(item, parent, depth + 1, nested) for item in value]
        if not _SCHEMA_WORDS.isdisjoint(value):
            return self.value(value, parent, depth, nested)
        return {
            self.string(name, depth, DEEPEST_JSON): self.secret(inner, name, depth + 1, nested)
            for name, inner in value.items()
        }

    def number(self, value: int | float) -> Any:
        """A card's number may come without quotes."""
        if self.secrets and type(value) is int and secret_patterns.is_card(str(value).encode()):
            return self._mark("card")
        return value

    def string(self, text: str, depth: int, nested: int) -> str:
        if media.is_file(text):
            self.media += 1
            return media.hashed(text)
        if text[:1] in ("{", "[", " ", "\n", "\t", "\r", '"') and (parsed := _parsed(text)):
            value, doubled = parsed
            if isinstance(value, (dict, list, str)):
                if nested >= DEEPEST_JSON and isinstance(value, (dict, list)):
                    return self.plain(text) if nested > DEEPEST_JSON else self._deep(value, text)
                changed = self.value(value, "", depth + 1, nested + 1)
                return text if changed == value and not doubled else _dumped(changed)
        return self.plain(text)

    def _deep(self, value: Any, text: str) -> str:
        """JSON in strings past `DEEPEST_JSON`; empty brackets can hide nothing."""
        return text if not value else self._mark("nested")

    def plain(self, text: str) -> str:
        """A text that is no JSON."""
        without = media.without_data_urls(text)
        if without is not text and without != text:
            self.media += 1
            text = without
        if not self.secrets or len(text) < 6:
            return text
        data = text.encode("utf-8", "surrogatepass")
        spans = secret_patterns.find(data)
        for view, way in views(data):
            spans += (
                (*original(way, start, end), kind)
                for start, end, kind in secret_patterns.find(view)
            )
        if not spans:
            return text
        return self._spliced(data, spans).decode("utf-8", "surrogatepass")

    def _spliced(self, data: bytes, spans: list[Span]) -> bytes:
        pieces: list[bytes] = []
        position = 0
        for start, end, kind in _merged(data, spans):
            pieces += (data[position:start], self._mark(kind).encode())
            position = end
        return b"".join((*pieces, data[position:]))

    def _mark(self, kind: str) -> str:
        self.found[kind] += 1
        return f"[REDACTED:{kind}]"


def redact_body(body: bytes | str, *, secrets: bool = True) -> Redacted:
    """A request's or an answer's body as it may be stored.

    ``secrets=False`` leaves everything but images, audio and files, which are always hashed.
    Bytes that are no UTF-8 become U+FFFD.
    """
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    redactor = _Redactor(secrets=secrets)
    return Redacted(redactor.body(text), redactor.found, redactor.media)


def redact_text(text: str) -> str:
    """A piece of text, JSON or not, without its secrets."""
    return _Redactor(secrets=True).body(text)


def redact_json(value: Any) -> Any:
    """A value as JSON has them, without its secrets; the argument is left as it is."""
    return _Redactor(secrets=True).value(value, "", 0, 0)


def _is_secret(name: str, holder: dict[str, Any], named: bool) -> bool:
    if named and name == "value":
        return True
    if not is_secret_name(name):
        return False
    # The token of a log probability is a piece of the answer.
    return not (name == "token" and "logprob" in holder)


def _is_mark(text: str) -> bool:
    return secret_patterns.MARK.fullmatch(text.encode("utf-8", "surrogatepass")) is not None


def _media_type(holder: dict[str, Any]) -> str:
    for name in ("media_type", "mime_type", "mimeType", "format"):
        if isinstance(kind := holder.get(name), str) and len(kind) <= 60:
            return kind
    return ""


def _free(name: str, taken: dict[str, Any]) -> str:
    """The name, or one like it where two names became one by redaction."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}#{number}", number + 1
    return free


def _merged(data: bytes, spans: list[Span]) -> list[Span]:
    """Spans that do not overlap, in order, on the borders of characters; of several over the
    same bytes the longest says what it is."""
    merged: list[tuple[int, int, str, int]] = []
    for start, end, kind in sorted(spans):
        length = end - start
        while start > 0 and data[start] & 0xC0 == 0x80:
            start -= 1
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
        if merged and start < merged[-1][1]:
            first, last, known, longest = merged[-1]
            better = (kind, length) if length > longest else (known, longest)
            merged[-1] = (first, max(last, end), *better)
        else:
            merged.append((start, end, kind, length))
    return [(start, end, kind) for start, end, kind, _ in merged]


def _parsed(text: str) -> tuple[Any, bool] | None:
    """A JSON document and whether an object in it names a member twice; None where it is none.

    Python's parser, as it takes what a lenient server may take too: NaN, lone surrogates,
    numbers of any size.
    """
    doubled = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        made = dict(items)
        doubled = doubled or len(made) != len(items)
        return made

    try:
        return json.loads(text, object_pairs_hook=pairs), doubled
    except (ValueError, RecursionError):
        return None


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
