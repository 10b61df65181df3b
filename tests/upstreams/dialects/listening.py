"""Feeding answers to a dialect the way the proxy does."""

import json
from typing import Any

import orjson

from upstreams.dialects import DIALECTS
from upstreams.dialects.base import Answer, Dialect

OPENAI = DIALECTS["openai"]
ANTHROPIC = DIALECTS["anthropic"]

PATHS = {
    "chat": "v1/chat/completions",
    "completions": "v1/completions",
    "responses": "v1/responses",
    "embeddings": "v1/embeddings",
    "images": "v1/images/generations",
    "speech": "v1/audio/speech",
    "transcriptions": "v1/audio/transcriptions",
    "messages": "v1/messages",
    "other": "v1/something/new",
}


def compact(obj: Any) -> str:
    return orjson.dumps(obj).decode()


def several_lines(obj: Any) -> str:
    """An event whose JSON is broken over data lines wherever it can be, with CRLF."""
    return json.dumps(obj, indent=1, separators=(",", ":\n")).replace("\n", "\r\ndata: ")


WRITTEN = [compact, json.dumps, several_lines]


def whole(dialect: Dialect, obj: Any) -> Answer:
    answer = Answer()
    dialect.absorb(answer, obj)
    return answer


def listen(dialect: Dialect, *events: Any, write: Any = compact) -> Answer:
    """Absorb the first event and those that ``telling`` picks, as the tap does."""
    answer = Answer()
    for number, event in enumerate(events):
        text = event if isinstance(event, str) else write(event)
        if number and not dialect.telling.search(f"data: {text}\n\n".encode()):
            continue
        if isinstance(event, str):
            dialect.absorb_text(answer, event.encode())
        else:
            dialect.absorb(answer, orjson.loads(compact(event)))
    return answer


def usage_of(dialect: Dialect, kind: str, answer: Answer) -> Any:
    """The answer's `TokenUsage`, or None."""
    return dialect.token_usage(dialect.endpoint("POST", PATHS[kind]), answer)


def billed(dialect: Dialect, kind: str, obj: Any) -> Any:
    """The `TokenUsage` of a whole answer, or None."""
    return usage_of(dialect, kind, whole(dialect, obj))
