"""One request as the pipeline sees it: who asks, on which wire format, for what.

`identify` makes it from the ASGI scope alone; the body's facts (`read_body`) come after,
when there is a body to read.
"""

import os
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from access.keys import KeySpec
from proxy import headers as fields
from upstreams.dialects import DIALECTS
from upstreams.dialects.base import Dialect, Endpoint
from upstreams.dialects.requests import last_user_text, requested_model, wants_stream

NAME_LENGTH = 200
"""Longest app, session, tag or model that the ledger keeps."""

REMEMBERED_LENGTH = 512
"""Longest path or user agent that is remembered: clients choose them, and a head may be long."""

RANDOM_BYTES = 10
_entropy = bytearray()
"""Random bytes for the next ids: asking the system for them each time costs as much as a read
from a socket. Empty when a worker is forked, for only requests fill it."""

# Uploads and media are streamed through; everything else with a body may be JSON.
_STREAMED_BODY = re.compile(rb"\s*(?:multipart|audio|video|image|application/octet-stream)\b", re.I)


@dataclass(slots=True)
class Call:
    """One request. ``body`` is None where it is streamed through and never held."""

    request_id: str
    arrived: float
    """Seconds since the epoch."""
    started: float
    """The same moment on the monotonic clock."""
    api_type: str
    dialect: Dialect
    endpoint: Endpoint
    method: str
    path: str
    """After the api type's prefix, percent-encoded as it came, without query."""
    query: str
    headers: list[tuple[bytes, bytes]]
    fields: dict[bytes, bytes]
    app: str
    session: str
    tag: str
    streams_body: bool
    body: bytes | None = None
    data: dict[str, Any] | None = None
    """The parsed body where it is a JSON object."""
    key: KeySpec | None = None
    """The client key that it came with; it is in none of the headers any more."""
    model: str = ""
    stream: bool = False
    usage_added: bool = False
    """TokenWatch asked for the usage chunk, and takes it out again."""
    waited: float = 0.0
    """Seconds that went by for the client's body and for upstreams that failed."""

    def last_user_text(self) -> str:
        """What the user said last; empty where the body is not read or says nothing."""
        return last_user_text(self.dialect, self.data) if self.data else ""

    def elapsed_ms(self) -> int:
        return int((time.monotonic() - self.started) * 1000)


def identify(scope: dict[str, Any]) -> Call | None:
    """The call of a request under ``/anthropic/`` or ``/openai/``; None for any other path."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    _, _, rest = raw_path.partition(b"/")
    prefix, slash, path_bytes = rest.partition(b"/")
    dialect = DIALECTS.get(prefix.decode("latin-1"))
    if dialect is None or not slash:
        return None
    path = path_bytes.decode("latin-1")
    method: str = scope["method"]
    header_list = list(scope["headers"])
    by_name = dict(header_list)
    arrived = time.time()
    return Call(
        request_id=_request_id(arrived),
        arrived=arrived,
        started=time.monotonic(),
        api_type=dialect.api_type,
        dialect=dialect,
        endpoint=(
            _endpoint(dialect.api_type, method, path)
            if len(path) <= REMEMBERED_LENGTH
            else dialect.endpoint(method, path)
        ),
        method=method,
        path=path,
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=header_list,
        fields=by_name,
        app=fields.text(by_name, b"x-tokenwatch-app", NAME_LENGTH)
        or _product(by_name.get(b"user-agent", b"")[:REMEMBERED_LENGTH]),
        session=fields.text(by_name, b"x-tokenwatch-session", NAME_LENGTH),
        tag=fields.text(by_name, b"x-tokenwatch-tag", NAME_LENGTH),
        streams_body=bool(_STREAMED_BODY.match(by_name.get(b"content-type", b""))),
    )


def _request_id(arrived: float) -> str:
    """Milliseconds, then 80 random bits, in hex (the order of UUIDv7, RFC 9562): new ids go to
    the end of the ledger's index, where random ones would touch a page of it each."""
    if len(_entropy) < RANDOM_BYTES:
        _entropy.extend(os.urandom(RANDOM_BYTES * 256))
    random = _entropy[-RANDOM_BYTES:]
    del _entropy[-RANDOM_BYTES:]
    return f"{int(arrived * 1000):012x}{random.hex()}"


def read_body(call: Call, body: bytes) -> None:
    """Take in a body that was read whole; one that is no JSON object passes as it is."""
    call.body = body
    if not body:
        return
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    if isinstance(data, dict):
        call.data = data
        call.model = fields.clean(requested_model(data), NAME_LENGTH)
        call.stream = wants_stream(data)


@lru_cache(maxsize=2048)
def _endpoint(api_type: str, method: str, path: str) -> Endpoint:
    return DIALECTS[api_type].endpoint(method, path)


@lru_cache(maxsize=2048)
def _product(user_agent: bytes) -> str:
    """The first product of a User-Agent: ``OpenAI`` of ``OpenAI/Python 3.5`` (RFC 9110)."""
    product = user_agent.decode("utf-8", "replace").strip().partition(" ")[0].partition("/")[0]
    return fields.clean(product, NAME_LENGTH)
