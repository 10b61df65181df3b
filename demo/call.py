"""One request to the fake provider and the reply to it, as plain values; pure.

Everything that an answer invents (ids, words, vectors, timings) is drawn from `Call.seed`,
a hash of the request, so that the same request always gets the same bytes.
"""

import base64
import hashlib
import json
import random
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from demo.behaviours import Behaviour, behaviour_of

JSON = dict[str, Any]
Headers = list[tuple[bytes, bytes]]

BEHAVIOUR_HEADER = b"x-fake-provider"

CREATED = 1735689600
"""2025-01-01T00:00:00Z, the time at which everything happens here."""

_ALPHANUMERIC = string.digits + string.ascii_letters
_TEXT = (
    "a request leaves the app and the proxy counts each token that comes back so you know "
    "what every model costs before the bill arrives while streams stay as quick as they were"
)
_FORM_FIELD = re.compile(
    rb'[ ;]name="([^"]+)"[^\r\n]*(?:\r\n[^\r\n]+)*\r\n\r\n(.*?)\r\n--', re.DOTALL
)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


_DELIVERY = frozenset(("stream", "stream_options"))
"""Fields that say how an answer is to be sent, not what is asked."""


@dataclass(frozen=True)
class Call:
    """One request. ``path`` is without query; ``body`` is None where it is no JSON object."""

    method: str
    path: str
    headers: Headers
    raw_body: bytes

    def header(self, name: bytes) -> bytes:
        return next((value for key, value in self.headers if key == name), b"")

    @cached_property
    def body(self) -> JSON | None:
        try:
            value = json.loads(self.raw_body)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    @cached_property
    def form(self) -> dict[str, str]:
        """The text fields of a multipart body; a file's field has its content."""
        if not self.header(b"content-type").startswith(b"multipart/form-data"):
            return {}
        fields = _FORM_FIELD.findall(self.raw_body)
        return {name.decode(): value.decode("utf-8", "replace") for name, value in fields}

    def asked(self, name: str, default: Any = None) -> Any:
        """A field of the request, whether JSON or form."""
        return (self.body or self.form).get(name, default)

    @cached_property
    def behaviour(self) -> Behaviour:
        """As the model's name asks, and the header `BEHAVIOUR_HEADER` where there is one."""
        model = self.asked("model", "")
        more = self.header(BEHAVIOUR_HEADER).decode("latin-1")
        return behaviour_of("+".join(filter(None, [model if isinstance(model, str) else "", more])))

    @property
    def stream(self) -> bool:
        return self.asked("stream") in (True, "true")

    @cached_property
    def seed(self) -> bytes:
        if self.body is None:
            return hashlib.sha256(self.path.encode() + self.raw_body).digest()
        asked = {key: value for key, value in self.body.items() if key not in _DELIVERY}
        text = json.dumps(asked, sort_keys=True)
        return hashlib.sha256(f"{self.path} {text}".encode()).digest()

    def random(self, purpose: str) -> random.Random:
        """A generator for one purpose, so that one draw does not shift another's."""
        return random.Random(self.seed + purpose.encode())

    def ident(self, prefix: str, length: int = 29, purpose: str = "") -> str:
        """An id as providers make them: a prefix, then letters and digits."""
        draw = self.random(prefix + purpose)
        return prefix + "".join(draw.choices(_ALPHANUMERIC, k=length))

    def hexadecimal(self, length: int = 32) -> str:
        return hashlib.sha256(self.seed).hexdigest()[:length]

    def words(self, limit: int | None = None) -> list[str]:
        """The answer's text in pieces of one token each, at most ``limit`` of them."""
        draw = self.random("words")
        count = self.behaviour.pieces
        if count is None:
            count = draw.randint(20, 60)
        if limit is not None:
            count = min(count, limit)
        known = _TEXT.split()
        start = draw.randrange(len(known))
        words = [known[(start + n) % len(known)] for n in range(count)]
        return [word if n == 0 else " " + word for n, word in enumerate(words)]

    def octets(self, purpose: str, count: int) -> bytes:
        return self.random(purpose).randbytes(count)

    def base64(self, purpose: str, count: int) -> str:
        return base64.b64encode(self.octets(purpose, count)).decode()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its parts go out one by one, each as a chunk; a stream's are its events."""

    parts: Sequence[bytes]
    status: int = 200
    content_type: bytes = b"application/json"
    headers: Headers = field(default_factory=list)
    stream: bool = False

    @classmethod
    def events(cls, parts: Sequence[bytes]) -> "Reply":
        return cls(parts, content_type=b"text/event-stream; charset=utf-8", stream=True)


def count_tokens(value: Any) -> int:
    """About the tokens of some text, or of anything as JSON: one for every four characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return max(1, len(text) // 4)


def example(schema: Any) -> Any:
    """A value that a JSON schema describes: for tool arguments and structured answers."""
    if not isinstance(schema, dict):
        return "example"
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("anyOf"):
        return example(schema["anyOf"][0])
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return {name: example(inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items"))]
    return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(str(kind), "example")


def pieces(text: str, size: int = 8) -> list[str]:
    """Text in pieces of this many characters, as arguments of tools are streamed."""
    return [text[n : n + size] for n in range(0, len(text), size)]
