"""Listens to an answer on its way to the client: what it says of model, usage, end and error.

A tap looks at bytes and parses JSON only where usage can be; it never raises on what an
upstream sends. What it returns is what the client gets: the same bytes, with one exception,
the usage chunk that TokenWatch itself asked for. Memory is bounded whatever the answer's
length; an answer that cannot be read leaves `Answer` empty, and usage is then estimated.
"""

import json
import re
from typing import Any, Protocol

import orjson

from proxy.decoding import Decoder, Undecodable, decoder_for, readable
from proxy.sse import EventSplitter, data_of
from upstreams.dialects.base import Answer, Dialect
from upstreams.dialects.estimate import text_tokens
from upstreams.dialects.requests import is_usage_only_chunk

MAX_WHOLE = 1024 * 1024
"""Bytes of an answer that are kept and parsed whole; of longer ones only the edges are read."""
EDGE = 64 * 1024
KEPT_FOR_ESTIMATE = 256 * 1024
"""Bytes of a stream that are kept, to estimate its tokens should no usage arrive."""
KEPT_FOR_STORING = 2 * 1024 * 1024
"""Where answers are stored: a stream repeats itself so much that these are some 50,000 tokens."""


class Tap(Protocol):
    """One listener for one answer."""

    answer: Answer
    rewrites: bool
    """Whether what is sent on may differ from what came: its length and encoding are void."""

    def feed(self, chunk: bytes) -> bytes:
        """Take in a chunk; returns what to send on (possibly nothing).

        Raises:
            Undecodable: only of a tap that rewrites, which cannot pass on what it cannot read.
        """
        ...

    def end(self) -> bytes:
        """The body is over, whole or not; returns what was held back."""
        ...

    def estimated_output(self) -> int:
        """Generated tokens, estimated from the text that went by."""
        ...

    def kept(self) -> tuple[list[bytes], bool]:
        """The answer without its content encoding, in pieces, and whether that is all of it."""
        ...


class ByteTap:
    """For answers without usage to find (files, audio, lists): everything passes unread."""

    __slots__ = ("answer",)
    rewrites = False

    def __init__(self) -> None:
        self.answer = Answer()

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def end(self) -> bytes:
        self.answer.complete = True
        return b""

    def estimated_output(self) -> int:
        return 0

    def kept(self) -> tuple[list[bytes], bool]:
        return [], False


class JsonTap:
    """For answers that are one JSON document."""

    __slots__ = ("_chunks", "_decoder", "_dialect", "_size", "_tail", "_text", "answer")
    rewrites = False

    def __init__(self, dialect: Dialect, encoding: bytes) -> None:
        self.answer = Answer()
        self._dialect = dialect
        self._decoder = _Reader(encoding)
        self._chunks: list[bytes] = []
        self._tail = b""
        self._size = 0
        self._text: str | None = None

    def feed(self, chunk: bytes) -> bytes:
        plain = self._decoder.read(chunk)
        before = self._size
        self._size += len(plain)
        if before <= MAX_WHOLE:
            self._chunks.append(plain)
        if self._size > MAX_WHOLE:  # too long to parse whole: its end is kept as well
            tail = b"".join(self._chunks) if before <= MAX_WHOLE else self._tail + plain
            self._tail = tail[-EDGE:]
        return chunk

    def end(self) -> bytes:
        whole = b"".join(self._chunks)
        if self._size <= MAX_WHOLE and self._dialect.absorb_plain(self.answer, whole):
            return b""
        try:
            obj: Any = orjson.loads(whole) if self._size <= MAX_WHOLE else None
        except orjson.JSONDecodeError:
            obj = None
        if self._size > MAX_WHOLE:
            obj = _from_edges(whole[:EDGE], self._tail)
        if isinstance(obj, dict):
            self._dialect.absorb(self.answer, obj)
            self._text = None if self.answer.usage else self._dialect.delta_text(obj)
        return b""

    def estimated_output(self) -> int:
        if self._text is not None:
            return text_tokens(self._text)
        # Not JSON, or cut off: about four bytes a token, markup and all, is an upper estimate.
        return -(-self._size // 4)

    def kept(self) -> tuple[list[bytes], bool]:
        return self._chunks, self._size <= MAX_WHOLE


class StreamTap:
    """For server-sent events.

    With ``remove_usage`` the usage-only chunk is taken out, and so is the ``"usage":null`` that
    providers add to every other chunk once usage is asked for: the client sees what it would
    have seen had nobody asked. An answer that came compressed is then sent on plain.
    """

    __slots__ = (
        "_decoder",
        "_dialect",
        "_keeps",
        "_kept",
        "_kept_size",
        "_seen_data",
        "_size",
        "_splitter",
        "answer",
        "rewrites",
    )

    def __init__(
        self, dialect: Dialect, encoding: bytes, *, remove_usage: bool, storing: bool = False
    ) -> None:
        self.answer = Answer()
        self._dialect = dialect
        self._decoder = _Reader(encoding)
        self._splitter = EventSplitter()
        self.rewrites = remove_usage
        self._seen_data = False
        self._keeps = KEPT_FOR_STORING if storing else KEPT_FOR_ESTIMATE
        self._kept: list[bytes] = []
        self._kept_size = 0
        self._size = 0

    def feed(self, chunk: bytes) -> bytes:
        plain = self._decoder.read(chunk)
        self._keep(plain)
        if self.rewrites and self._decoder.lost:
            raise Undecodable("a compressed stream cannot be read")
        splitter = self._splitter
        if (
            self._seen_data
            and splitter.empty
            and plain.endswith(b"\n\n")
            and not self._dialect.telling.search(plain)
        ):  # whole events, and nothing in them to read: nearly every chunk
            if not self.rewrites:
                return chunk
            return _NULL_USAGE.sub(b"", plain) if b'"usage"' in plain else plain
        if self.rewrites:
            return b"".join(self._without_usage(event) for event in self._events(plain))
        for event in splitter.feed(plain):
            self._read(event)
        if splitter.too_long:
            splitter.rest()
        return chunk

    def end(self) -> bytes:
        rest = self._splitter.rest()
        if not rest:
            return b""
        # A last event without its blank line still counts, as SDKs count it.
        if self.rewrites:
            return self._without_usage(rest)
        self._read(rest)
        return b""

    def estimated_output(self) -> int:
        splitter = EventSplitter()
        kept = b"".join(self._kept)
        text = []
        for event in [*splitter.feed(kept), splitter.rest()]:
            obj = _parse(data_of(event))
            if obj is not None:
                text.append(self._dialect.delta_text(obj))
        tokens = text_tokens("".join(text))
        if self._size > self._kept_size > 0:
            tokens = tokens * self._size // self._kept_size
        return tokens

    def kept(self) -> tuple[list[bytes], bool]:
        return self._kept, self._kept_size == self._size

    def _keep(self, plain: bytes) -> None:
        self._size += len(plain)
        if self._kept_size < self._keeps:
            self._kept.append(plain)
            self._kept_size += len(plain)

    def _events(self, plain: bytes) -> list[bytes]:
        events = self._splitter.feed(plain)
        if self._splitter.too_long:
            events.append(self._splitter.rest())
        return events

    def _read(self, event: bytes) -> dict[str, Any] | None:
        """Absorb one event where it can say something; its data where that was parsed."""
        if self._seen_data and not self._dialect.telling.search(event):
            return None
        data = data_of(event)
        if not data:
            return None
        self._seen_data = True
        obj = _parse(data)
        if obj is None:
            self._dialect.absorb_text(self.answer, data)
        else:
            self._dialect.absorb(self.answer, obj)
        return obj

    def _without_usage(self, event: bytes) -> bytes:
        obj = self._read(event)
        if obj is not None and is_usage_only_chunk(obj):
            return b""
        return _NULL_USAGE.sub(b"", event, count=1)


# In JSON a quote inside a string is escaped, so these can only match a real member.
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null(?=\s*[,}])|(?<=\{)\s*"usage"\s*:\s*null\s*,')
_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,300})"')
_JSON_DECODER = json.JSONDecoder()


def _from_edges(head: bytes, tail: bytes) -> dict[str, Any] | None:
    """Model and usage of a document too long to parse, from its first and last bytes."""
    found: dict[str, Any] = {}
    for edge in (tail, head):
        if model := _MODEL.search(edge):
            found["model"] = model[1].decode("utf-8", "replace")
    for edge in (head, tail):
        for match in _USAGE.finditer(edge):
            try:
                usage, _ = _JSON_DECODER.raw_decode(edge[match.end() :].decode("utf-8", "replace"))
            except (ValueError, RecursionError):
                continue
            found["usage"] = usage
    return found or None


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        obj = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return obj if isinstance(obj, dict) else None


class _Reader:
    """Decodes while it can; afterwards everything reads as nothing."""

    __slots__ = ("_decoder", "lost")

    def __init__(self, encoding: bytes) -> None:
        self._decoder: Decoder | None = None
        self.lost = False
        if encoding:
            try:
                self._decoder = decoder_for(encoding)
            except Undecodable:
                self.lost = True

    def read(self, chunk: bytes) -> bytes:
        if self._decoder is None:
            return b"" if self.lost else chunk
        try:
            return self._decoder.feed(chunk)
        except Undecodable:
            self._decoder, self.lost = None, True
            return b""


def tap_for(
    dialect: Dialect,
    content_type: bytes,
    encoding: bytes,
    *,
    accounted: bool,
    remove_usage: bool,
    storing: bool = False,
) -> Tap:
    """The listener for an answer, by its Content-Type and Content-Encoding.

    ``accounted``: whether usage or an error is looked for at all. ``storing``: whether the
    answer may be stored, and more of it is kept than an estimate needs.
    """
    kind = content_type.partition(b";")[0].strip().lower()
    if not accounted:
        return ByteTap()
    if kind == b"text/event-stream":
        remove_usage = remove_usage and readable(encoding)
        return StreamTap(dialect, encoding, remove_usage=remove_usage, storing=storing)
    if kind == b"application/json" or kind.endswith(b"+json"):
        return JsonTap(dialect, encoding)
    return ByteTap()
