"""A stream of events put together into the answer that would have come without streaming.

OpenAI's chat, completions and Responses, and Anthropic's messages and legacy completions; which
of them it is, the events say themselves. Pure; never raises. Of a stream that broke off the
result is what had come, with `Assembled.complete` false.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from upstreams.dialects.assemble_anthropic import Completion, Message
from upstreams.dialects.assemble_openai import Choices, Response
from upstreams.dialects.base import JSON
from upstreams.dialects.shared import DONE

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Assembled:
    """An answer out of its events."""

    body: JSON
    complete: bool
    """The dialect's own end was seen, and no error."""


def assemble(stream: bytes) -> Assembled | None:
    """The answer that a whole server-sent stream, or the beginning of one, makes up; None
    where it holds no events of a known dialect."""
    return assemble_events(_events(stream))


def assemble_events(events: Iterable[JSON | None]) -> Assembled | None:
    """The same of parsed events; None stands for ``[DONE]``."""
    builder: Choices | Response | Message | Completion | None = None
    ended = False
    error: Any = None
    for event in events:
        if event is None:
            ended = True
            continue
        if builder is None:
            builder = _builder(event)
        if event.get("type") == "error" or "error" in event:
            error = event.get("error") or event
        if builder is not None:
            builder.add(event)
    if builder is None:
        return None if error is None else Assembled({"error": error}, False)
    body = builder.body()
    if error is not None:
        body["error"] = error
    return Assembled(body, error is None and (ended or builder.ended))


def _builder(event: JSON) -> Choices | Response | Message | Completion | None:
    kind = event.get("type")
    if kind == "message_start":
        return Message()
    if kind == "completion":
        return Completion()
    if isinstance(kind, str) and kind.startswith("response."):
        return Response()
    return Choices() if isinstance(event.get("choices"), list) else None


def _events(stream: bytes) -> Iterable[JSON | None]:
    """The data of each event (HTML standard, section 9.2); what is no object is passed over."""
    data: list[bytes] = []
    for line in (*_LINE_END.split(stream), b""):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            whole, data = b"\n".join(data).strip(), []
            if whole == DONE:
                yield None
                continue
            try:
                event = orjson.loads(whole)
            except orjson.JSONDecodeError:
                continue
            if isinstance(event, dict):
                yield event
