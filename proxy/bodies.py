"""Changes to a request body: the few that TokenWatch makes, each to one member only.

The rest of the body stays byte for byte as the client wrote it: key order, spacing and
number spellings may matter to a provider's prompt cache. Pure.
"""

import re
from itertools import islice
from typing import Any

import orjson

_WHITESPACE = b" \t\n\r"
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_STRUCTURE = re.compile(rb'["{}\[\],:]')
# Every way to write this string in JSON. One that is found only once, in a body that has the
# member, is its name: within a text the quotes would be escaped.
_MODEL = re.compile(
    rb'"(?:m|\\u006[dD])(?:o|\\u006[fF])(?:d|\\u0064)(?:e|\\u0065)(?:l|\\u006[cC])"\s*'
)
_VALUE = re.compile(rb'\s*:\s*("(?:[^"\\]|\\.)*+")', re.DOTALL)
_EMPTY_REST = re.compile(rb"\s*\}")
_MULTIPART_MODEL = re.compile(
    rb'Content-Disposition:[^\r\n]*\bname="?model"?[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]{1,200})\r\n',
    re.IGNORECASE,
)


def member_span(body: bytes, key: str) -> tuple[int, int] | None:
    """Where the value of a top-level member stands: ``body[start:end]``, last one if repeated.

    ``body`` must be a valid JSON object; None where it has no such member.
    """
    found = None
    depth = 0
    position = 0
    name: str | None = None
    start = 0
    expects_key = False
    while match := _STRUCTURE.search(body, position):
        position = match.end()
        token = match[0]
        if token == b'"':
            string = _STRING.match(body, match.start())
            if string is None:
                return None
            position = string.end()
            if depth == 1 and expects_key:
                name = orjson.loads(string[0])
                expects_key = False
        elif token in b"{[":
            depth += 1
            expects_key = depth == 1
        elif token == b":":
            if depth == 1:
                start = position
        else:  # a comma or a closing bracket ends a value
            if depth == 1 and name is not None:
                if name == key:
                    found = _trimmed(body, start, match.start())
                name = None
            if token == b",":
                expects_key = depth == 1
            else:
                depth -= 1
    return found


def _trimmed(body: bytes, start: int, end: int) -> tuple[int, int]:
    while body[start] in _WHITESPACE:
        start += 1
    while body[end - 1] in _WHITESPACE:
        end -= 1
    return start, end


def with_member(body: bytes, key: str, value: Any) -> bytes:
    """The body with one top-level member set: in its place, or in front where it is new."""
    encoded = orjson.dumps(value)
    span = member_span(body, key)
    if span is not None:
        return body[: span[0]] + encoded + body[span[1] :]
    return _in_front(body, orjson.dumps(key) + b":" + encoded)


def _in_front(body: bytes, member: bytes) -> bytes:
    brace = body.index(b"{") + 1
    comma = b"" if _EMPTY_REST.match(body, brace) else b","
    return body[:brace] + member + comma + body[brace:]


def asking_for_usage(body: bytes, data: dict[str, Any]) -> bytes | None:
    """The body of an OpenAI stream request with usage asked for; None where it already is.

    ``data`` is the parsed body. A ``stream_options`` that is no object is left for the
    provider to refuse.
    """
    options = data.get("stream_options")
    if options is None:
        if "stream_options" not in data:
            return _in_front(body, b'"stream_options":{"include_usage":true}')
        options = {}
    if not isinstance(options, dict) or options.get("include_usage") is True:
        return None
    return with_member(body, "stream_options", {**options, "include_usage": True})


def with_model(body: bytes, data: dict[str, Any], model: str) -> bytes:
    """The body with another model; ``data`` is the parsed body.

    The member is nearly always the only place that says ``"model"``, and then it is found
    without a walk through all that the body holds.
    """
    found = list(islice(_MODEL.finditer(body), 2)) if "model" in data else []
    if len(found) == 1 and (value := _VALUE.match(body, found[0].end())):
        return body[: value.start(1)] + orjson.dumps(model) + body[value.end(1) :]
    return with_member(body, "model", model)


def multipart_model(start: bytes) -> str:
    """The model field of a multipart form, from the first bytes of its body; empty if not there."""
    match = _MULTIPART_MODEL.search(start)
    return match[1].decode("utf-8", "replace").strip() if match else ""
