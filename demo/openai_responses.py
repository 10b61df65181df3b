"""OpenAI's Responses API, whole and streamed; pure.

https://platform.openai.com/docs/api-reference/responses and …/responses-streaming. Events
have an ``event:`` line and count up in ``sequence_number``; the stream ends with
``response.completed`` (or ``response.incomplete``, which is billed as well), without [DONE].
"""

from collections.abc import Iterator
from typing import Any

from demo.call import CREATED, JSON, Call, Reply, compact, count_tokens, example, pieces
from demo.openai_chat import (
    CACHE_READ_TOKENS,
    CACHE_WRITE_TOKENS,
    DEFAULT_MODEL,
    REASONING_TOKENS,
    Said,
    ToolCall,
    pretty,
    reasons,
    say,
    wanted_schema,
)


def _wanted_tool(body: JSON) -> ToolCall | None:
    functions = [
        tool
        for tool in body.get("tools") or []
        if isinstance(tool, dict) and tool.get("type") == "function"
    ]
    items = body.get("input")
    answered = isinstance(items, list) and any(
        isinstance(item, dict) and item.get("type") == "function_call_output" for item in items
    )
    if not functions or answered or body.get("tool_choice") == "none":
        return None
    arguments = example(functions[0].get("parameters") or {"type": "object"})
    return ToolCall(str(functions[0].get("name")), compact(arguments).decode())


def _usage(call: Call, body: JSON, model: str, said: Said) -> JSON:
    """Cached tokens stand inside ``input_tokens``, reasoning inside ``output_tokens``."""
    read = CACHE_READ_TOKENS if call.behaviour.cached else 0
    written = CACHE_WRITE_TOKENS if call.behaviour.cached else 0
    reasoning = REASONING_TOKENS if reasons(model) else 0
    prompt = [body.get("input"), body.get("instructions") or "", body.get("tools") or ""]
    input_tokens = count_tokens(prompt) + read + written
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "output_tokens": said.tokens + reasoning,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input_tokens + said.tokens + reasoning,
    }


def _item(call: Call, said: Said, whole: bool) -> JSON:
    """The one output item, empty at a stream's start or whole at its end."""
    status = "in_progress" if not whole else "incomplete" if said.truncated else "completed"
    if said.tool is not None:
        return {
            "id": call.ident("fc_", 50),
            "type": "function_call",
            "status": status,
            "arguments": said.tool.arguments if whole else "",
            "call_id": call.ident("call_", 24),
            "name": said.tool.name,
        }
    return {
        "id": call.ident("msg_", 50),
        "type": "message",
        "status": status,
        "content": [_part(said.text)] if whole else [],
        "role": "assistant",
    }


def _part(text: str) -> JSON:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _response(call: Call, body: JSON, model: str, status: str, output: list[JSON]) -> JSON:
    incomplete = {"reason": "max_output_tokens"} if status == "incomplete" else None
    return {
        "id": call.ident("resp_", 50),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": incomplete,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": "medium" if reasons(model) else None, "summary": None},
        "service_tier": "default" if status != "in_progress" else "auto",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": body.get("metadata") or {},
    }


def responses(call: Call, body: JSON) -> Reply:
    """POST /v1/responses"""
    model = call.behaviour.answered_model(DEFAULT_MODEL)
    text = body.get("text")
    schema = wanted_schema(text.get("format")) if isinstance(text, dict) else None
    said = say(call, _wanted_tool(body), body.get("max_output_tokens"), schema)
    status = "incomplete" if said.truncated else "completed"
    final = _response(call, body, model, status, [_item(call, said, whole=True)])
    if call.behaviour.usage:
        final["usage"] = _usage(call, body, model, said)
    if not call.stream:
        return Reply([pretty(final)])
    opening = _response(call, body, model, "in_progress", [])
    events = _stream(call, said, opening, final)
    return Reply.events([numbered(n, kind, data) for n, (kind, data) in enumerate(events)])


def numbered(number: int, kind: str, data: Any) -> bytes:
    """One event as it is written."""
    event = {"type": kind, "sequence_number": number, **data}
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), compact(event))


def _stream(call: Call, said: Said, opening: JSON, final: JSON) -> Iterator[tuple[str, JSON]]:
    yield "response.created", {"response": opening}
    yield "response.in_progress", {"response": opening}
    item = _item(call, said, whole=True)
    place = {"output_index": 0}
    yield "response.output_item.added", {**place, "item": _item(call, said, whole=False)}
    in_item = {"item_id": item["id"], **place}
    yield from _tool_events(said.tool, in_item) if said.tool else _text_events(said, in_item)
    yield "response.output_item.done", {**place, "item": item}
    yield "response." + final["status"], {"response": final}


def _text_events(said: Said, in_item: JSON) -> Iterator[tuple[str, JSON]]:
    in_part = {**in_item, "content_index": 0}
    yield "response.content_part.added", {**in_part, "part": _part("")}
    for piece in said.pieces:
        yield "response.output_text.delta", {**in_part, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**in_part, "text": said.text, "logprobs": []}
    yield "response.content_part.done", {**in_part, "part": _part(said.text)}


def _tool_events(tool: ToolCall, in_item: JSON) -> Iterator[tuple[str, JSON]]:
    for piece in pieces(tool.arguments):
        yield "response.function_call_arguments.delta", {**in_item, "delta": piece}
    done = {**in_item, "name": tool.name, "arguments": tool.arguments}
    yield "response.function_call_arguments.done", done
