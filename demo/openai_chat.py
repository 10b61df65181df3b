"""Chat completions and the older completions, whole and streamed; pure.

https://platform.openai.com/docs/api-reference/chat and …/completions. A stream ends with
``data: [DONE]``. Its usage comes only where ``stream_options.include_usage`` asks for it: in
a last chunk without choices, with ``"usage":null`` in every chunk before.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from demo.call import CREATED, JSON, Call, Reply, compact, count_tokens, example, pieces

DEFAULT_MODEL = "gpt-4o-mini"
CACHE_READ_TOKENS = 1920
CACHE_WRITE_TOKENS = 256
REASONING_TOKENS = 64
DONE = b"data: [DONE]\n\n"


def data_event(value: Any) -> bytes:
    return b"data: " + compact(value) + b"\n\n"


def pretty(value: Any) -> bytes:
    """JSON as OpenAI writes it in whole answers."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"


def reasons(model: str) -> bool:
    return model.startswith(("o1", "o3", "o4", "gpt-5"))


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says to one request, in whichever endpoint's words."""

    pieces: list[str]
    tool: ToolCall | None
    truncated: bool

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        return count_tokens(self.tool.arguments) + 8 if self.tool else len(self.pieces)


def say(call: Call, tool: ToolCall | None, limit: Any, schema: Any) -> Said:
    """Choose a tool's call, an answer that keeps a schema, or plain words, in this order."""
    if tool is not None:
        return Said([], tool, truncated=False)
    if schema is not None:
        return Said(pieces(compact(example(schema)).decode()), None, truncated=False)
    limit = limit if isinstance(limit, int) and limit > 0 else None
    words = call.words(limit)
    return Said(words, None, truncated=len(words) == limit and len(call.words()) > limit)


def wanted_tool(body: JSON) -> ToolCall | None:
    """A call of the first function, unless its result is there already or none is wanted."""
    functions = [
        tool["function"]
        for tool in body.get("tools") or []
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    last = (body.get("messages") or [{}])[-1]
    if not functions or body.get("tool_choice") == "none" or last.get("role") == "tool":
        return None
    arguments = example(functions[0].get("parameters") or {"type": "object"})
    return ToolCall(str(functions[0].get("name")), compact(arguments).decode())


def wanted_schema(response_format: Any) -> Any:
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    holder = response_format.get("json_schema", response_format)
    return holder.get("schema") if isinstance(holder, dict) else None


def chat_usage(call: Call, model: str, prompt: Any, answer_tokens: int) -> JSON:
    """Cached tokens, read and written, stand inside ``prompt_tokens``."""
    read = CACHE_READ_TOKENS if call.behaviour.cached else 0
    written = CACHE_WRITE_TOKENS if call.behaviour.cached else 0
    reasoning = REASONING_TOKENS if reasons(model) else 0
    prompt_tokens = count_tokens(prompt) + read + written
    details = {"cached_tokens": read, "audio_tokens": 0}
    if written:
        details["cache_write_tokens"] = written
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": answer_tokens + reasoning,
        "total_tokens": prompt_tokens + answer_tokens + reasoning,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def wants_usage(body: JSON) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _said(call: Call, body: JSON) -> Said:
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    return say(call, wanted_tool(body), limit, wanted_schema(body.get("response_format")))


def _finish_reason(said: Said) -> str:
    return "tool_calls" if said.tool else "length" if said.truncated else "stop"


def _tool_call(call: Call, tool: ToolCall, arguments: str) -> JSON:
    return {
        "id": call.ident("call_", 24),
        "type": "function",
        "function": {"name": tool.name, "arguments": arguments},
    }


def chat(call: Call, body: JSON) -> Reply:
    """POST /v1/chat/completions"""
    model = call.behaviour.answered_model(DEFAULT_MODEL)
    said = _said(call, body)
    usage = chat_usage(call, model, [body.get("messages"), body.get("tools") or ""], said.tokens)
    if call.stream:
        return Reply.events(list(_chat_stream(call, body, model, said, usage)))
    message: JSON = {"role": "assistant", "content": None if said.tool else said.text}
    if said.tool:
        message["tool_calls"] = [_tool_call(call, said.tool, said.tool.arguments)]
    message |= {"refusal": None, "annotations": []}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish_reason(said),
    }
    answer = {
        "id": call.ident("chatcmpl-"),
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [choice],
        **({"usage": usage} if call.behaviour.usage else {}),
        "service_tier": "default",
        "system_fingerprint": "fp_" + call.hexadecimal(10),
    }
    return Reply([pretty(answer)])


def _deltas(call: Call, said: Said) -> Iterator[JSON]:
    if said.tool is None:
        yield {"role": "assistant", "content": "", "refusal": None}
        yield from ({"content": piece} for piece in said.pieces)
        return
    opening = {"index": 0, **_tool_call(call, said.tool, "")}
    yield {"role": "assistant", "content": None, "tool_calls": [opening], "refusal": None}
    for piece in pieces(said.tool.arguments):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _chat_stream(call: Call, body: JSON, model: str, said: Said, usage: JSON) -> Iterator[bytes]:
    with_usage = wants_usage(body) and call.behaviour.usage
    base = {
        "id": call.ident("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_" + call.hexadecimal(10),
    }
    null_usage = {"usage": None} if with_usage else {}
    for delta in _deltas(call, said):
        choice: JSON = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        yield data_event({**base, "choices": [choice], **null_usage})
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _finish_reason(said)}
    yield data_event({**base, "choices": [last], **null_usage})
    if with_usage:
        yield data_event({**base, "choices": [], "usage": usage})
    yield DONE


def completions(call: Call, body: JSON) -> Reply:
    """POST /v1/completions"""
    model = call.behaviour.answered_model("gpt-3.5-turbo-instruct")
    said = say(call, None, body.get("max_tokens", 16), None)
    usage = {
        "prompt_tokens": count_tokens(body.get("prompt", "")),
        "completion_tokens": said.tokens,
        "total_tokens": count_tokens(body.get("prompt", "")) + said.tokens,
    }
    base = {
        "id": call.ident("cmpl-"),
        "object": "text_completion",
        "created": CREATED,
        "model": model,
    }
    if call.stream:
        return Reply.events(list(_completion_stream(call, body, base, said, usage)))
    choice = {
        "text": said.text,
        "index": 0,
        "logprobs": None,
        "finish_reason": _finish_reason(said),
    }
    told = {"usage": usage} if call.behaviour.usage else {}
    return Reply([pretty({**base, "choices": [choice], **told})])


def _completion_stream(
    call: Call, body: JSON, base: JSON, said: Said, usage: JSON
) -> Iterator[bytes]:
    with_usage = wants_usage(body) and call.behaviour.usage
    null_usage = {"usage": None} if with_usage else {}
    for piece in said.pieces:
        choice: JSON = {"text": piece, "index": 0, "logprobs": None, "finish_reason": None}
        yield data_event({**base, "choices": [choice], **null_usage})
    end = {"text": "", "index": 0, "logprobs": None, "finish_reason": _finish_reason(said)}
    yield data_event({**base, "choices": [end], **null_usage})
    if with_usage:
        yield data_event({**base, "choices": [], "usage": usage})
    yield DONE
