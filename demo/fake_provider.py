"""A provider in this repository: OpenAI's and Anthropic's APIs without a model behind them.

It answers in the documented wire formats, whole or streamed, with tools and usage, such
that the official SDKs cannot tell. An answer is a function of the request: the same bytes
get the same bytes back. The model's name asks for errors, delays, broken connections and
the like (`demo.behaviours`). Any credential is accepted. A request that it cannot read is
refused as the provider would refuse it.

    provider = FakeProvider()
    with serve(provider.app) as url:   # demo.serving
        OpenAI(base_url=url + "/v1", api_key="any").chat.completions.create(...)
    provider.seen[-1].body
"""

import threading
from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from demo import anthropic_messages, openai_chat, openai_media, openai_other, openai_responses
from demo.call import JSON, Call, Headers, Reply
from demo.delivery import Outcome, Receive, Send, deliver
from demo.errors import (
    anthropic_error,
    anthropic_error_event,
    anthropic_failure,
    openai_error,
    openai_error_event,
    openai_failure,
)
from demo.provider_headers import anthropic_headers, openai_headers

JSONAnswer = Callable[[Call, JSON], Reply]
FormAnswer = Callable[[Call], Reply]

JSON_ENDPOINTS: dict[str, JSONAnswer] = {
    "/v1/chat/completions": openai_chat.chat,
    "/v1/completions": openai_chat.completions,
    "/v1/responses": openai_responses.responses,
    "/v1/embeddings": openai_other.embeddings,
    "/v1/moderations": openai_other.moderations,
    "/v1/images/generations": openai_media.images,
    "/v1/audio/speech": openai_media.speech,
    "/v1/messages": anthropic_messages.messages,
    "/v1/messages/count_tokens": lambda call, body: anthropic_messages.count(body),
}
FORM_ENDPOINTS: dict[str, FormAnswer] = {
    "/v1/audio/transcriptions": openai_media.transcriptions,
    "/v1/files": openai_other.files,
}
REQUIRED = {
    "/v1/chat/completions": ("model", "messages"),
    "/v1/completions": ("model", "prompt"),
    "/v1/responses": ("model", "input"),
    "/v1/embeddings": ("model", "input"),
    "/v1/moderations": ("input",),
    "/v1/images/generations": ("prompt",),
    "/v1/audio/speech": ("model", "input"),
    "/v1/messages": ("model", "messages", "max_tokens"),
    "/v1/messages/count_tokens": ("model", "messages"),
}


def speaks_anthropic(call: Call) -> bool:
    """Whose client this is: the paths overlap in /v1/models only."""
    return call.path.startswith("/v1/messages") or bool(call.header(b"anthropic-version"))


def refuse(call: Call, status: int, message: str, code: str | None = None) -> Reply:
    """An error about the request itself, in the shape of the provider it was sent to."""
    if speaks_anthropic(call):
        kind = "not_found_error" if status == 404 else "invalid_request_error"
        return anthropic_error(call, status, kind, message)
    return openai_error(status, "invalid_request_error", message, code)


def answer(call: Call) -> Reply:
    """Decide the whole answer; pure."""
    if call.path.startswith("/v1/models") and call.method in ("GET", "HEAD"):
        models = anthropic_messages.models if speaks_anthropic(call) else openai_other.models
        return models(call)
    known = call.path in JSON_ENDPOINTS or call.path in FORM_ENDPOINTS
    if not known:
        message = f"Unknown request URL: {call.method} {call.path}."
        return refuse(call, 404, message, "unknown_url")
    if call.method != "POST":
        return refuse(call, 405, f"Not allowed to {call.method} on {call.path}.")
    if call.behaviour.fail is not None:
        failed = call.behaviour.fail
        return anthropic_failure(call, failed) if speaks_anthropic(call) else openai_failure(failed)
    if call.path in FORM_ENDPOINTS:
        return FORM_ENDPOINTS[call.path](call)
    return _answer_json(call)


def _answer_json(call: Call) -> Reply:
    if call.body is None:
        return refuse(call, 400, "We could not parse the JSON body of your request.")
    for name in REQUIRED[call.path]:
        if call.body.get(name) in (None, "", []):
            return refuse(call, 400, f"Missing required parameter: '{name}'.", "missing_parameter")
    reply = JSON_ENDPOINTS[call.path](call, call.body)
    return with_error_event(call, reply)


def with_error_event(call: Call, reply: Reply) -> Reply:
    """Replace the rest of a stream by an error event where the model's name asks for it."""
    after = call.behaviour.error_after
    if after is None or not reply.stream:
        return reply
    if speaks_anthropic(call):
        failure = anthropic_messages.event({**anthropic_error_event()})
    elif call.path == "/v1/responses":
        error = {"code": "server_error", "message": "The server had an error.", "param": None}
        failure = openai_responses.numbered(after, "error", error)
    else:
        failure = openai_chat.data_event(openai_error_event())
    return replace(reply, parts=[*reply.parts[:after], failure])


@dataclass(slots=True)
class Seen:
    """One request as it arrived. Header names are in lower case, in the order they came."""

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    outcome: Outcome | Literal["open"] = "open"
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._ended.set()

    def wait(self, seconds: float = 5) -> str:
        """How the answer ended, once it has; ``open`` where it has not after ``seconds``."""
        self._ended.wait(seconds)
        return self.outcome

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        return next((value.decode() for key, value in self.headers if key == wanted), None)


class FakeProvider:
    """The ASGI application and its memory of the last requests.

    ``requests`` counts all requests; ``seen`` holds the last ``remember`` of them.
    """

    def __init__(self, remember: int = 100) -> None:
        self.requests = 0
        self.seen: deque[Seen] = deque(maxlen=remember)

    async def app(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError("the fake provider speaks HTTP only")
        body = await read_body(receive)
        if body is None:  # left before the request was whole
            return
        call = Call(scope["method"], scope["path"], list(scope["headers"]), body)
        seen = Seen(call.method, call.path, scope["query_string"], call.headers, body)
        self.requests += 1
        self.seen.append(seen)
        headers = anthropic_headers(call) if speaks_anthropic(call) else openai_headers(call)
        seen.end(await deliver(call, answer(call), headers, receive, send))


async def read_body(receive: Receive) -> bytes | None:
    """The whole request body; None where the client leaves before its end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
