"""Anthropic's messages, whole and streamed, count_tokens and models; pure.

https://docs.anthropic.com/en/api/messages, …/messages-streaming, …/messages-count-tokens and
…/models-list. Cache reads and writes stand beside ``input_tokens``, not inside; the split of
the writes by lifetime comes in ``message_start`` only, where ``output_tokens`` is a
placeholder; ``message_delta`` has the cumulative counts.
"""

from collections.abc import Iterator
from typing import Any

from demo.behaviours import KNOWN_MODELS, behaviour_of
from demo.call import JSON, Call, Reply, compact, count_tokens, example, pieces
from demo.errors import anthropic_error

DEFAULT_MODEL = "claude-sonnet-4-5"
CACHE_READ_TOKENS = 2048
CACHE_WRITE_5M_TOKENS = 512
CACHE_WRITE_1H_TOKENS = 256
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def event(data: JSON) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (data["type"].encode(), compact(data))


def _prompt_tokens(body: JSON) -> int:
    return count_tokens([body.get("messages"), body.get("system") or "", body.get("tools") or ""])


def _usage(call: Call, body: JSON, output_tokens: int) -> JSON:
    cached = call.behaviour.cached
    split = {
        "ephemeral_5m_input_tokens": CACHE_WRITE_5M_TOKENS if cached else 0,
        "ephemeral_1h_input_tokens": CACHE_WRITE_1H_TOKENS if cached else 0,
    }
    return {
        "input_tokens": _prompt_tokens(body),
        "cache_creation_input_tokens": sum(split.values()),
        "cache_read_input_tokens": CACHE_READ_TOKENS if cached else 0,
        "cache_creation": split,
        "output_tokens": output_tokens,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def _has_tool_result(body: JSON) -> bool:
    last: Any = (body.get("messages") or [{}])[-1]
    content = last.get("content") if isinstance(last, dict) else None
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "tool_result" for block in content
    )


def _thinks(body: JSON) -> bool:
    thinking = body.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def _tool_use(call: Call, body: JSON) -> JSON | None:
    tools = [tool for tool in body.get("tools") or [] if "input_schema" in tool]
    choice = body.get("tool_choice")
    refused = isinstance(choice, dict) and choice.get("type") == "none"
    if not tools or refused or _has_tool_result(body):
        return None
    return {
        "type": "tool_use",
        "id": call.ident("toolu_01", 22),
        "name": tools[0].get("name"),
        "input": example(tools[0]["input_schema"]),
    }


def _content(call: Call, body: JSON, words: list[str]) -> list[JSON]:
    blocks: list[JSON] = []
    if _thinks(body):
        signature = call.base64("signature", 120)
        blocks.append({"type": "thinking", "thinking": "Let me see.", "signature": signature})
    blocks.append({"type": "text", "text": "".join(words)})
    tool = _tool_use(call, body)
    return [*blocks, tool] if tool else blocks


def messages(call: Call, body: JSON) -> Reply:
    """POST /v1/messages"""
    limit = body.get("max_tokens")
    words = call.words(limit if isinstance(limit, int) and limit > 0 else None)
    content = _content(call, body, words)
    used_tool = content[-1]["type"] == "tool_use"
    truncated = len(words) < len(call.words())
    output_tokens = sum(count_tokens(block) for block in content if block["type"] != "text")
    answer: JSON = {
        "model": call.behaviour.answered_model(DEFAULT_MODEL),
        "id": call.ident("msg_01", 22),
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": "tool_use" if used_tool else "max_tokens" if truncated else "end_turn",
        "stop_sequence": None,
    }
    if call.behaviour.usage:
        answer["usage"] = _usage(call, body, len(words) + output_tokens)
    if call.stream:
        return Reply.events(list(_stream(answer, words)))
    return Reply([compact(answer)])


def _stream(answer: JSON, words: list[str]) -> Iterator[bytes]:
    opening = {**answer, "content": [], "stop_reason": None}
    delta: JSON = {
        "type": "message_delta",
        "delta": {"stop_reason": answer["stop_reason"], "stop_sequence": None},
    }
    if usage := answer.get("usage"):
        opening["usage"] = {**usage, "output_tokens": 1}
        counts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        delta["usage"] = {name: usage[name] for name in (*counts, "output_tokens")}
    yield event({"type": "message_start", "message": opening})
    for index, block in enumerate(answer["content"]):
        yield event({"type": "content_block_start", "index": index, "content_block": _empty(block)})
        if index == 0:
            yield PING
        for part in _deltas(block, words):
            yield event({"type": "content_block_delta", "index": index, "delta": part})
        yield event({"type": "content_block_stop", "index": index})
    yield event(delta)
    yield event({"type": "message_stop"})


def _empty(block: JSON) -> JSON:
    """A block as its start shows it."""
    emptied = {"text": "", "thinking": "", "signature": "", "input": {}}
    return {key: emptied.get(key, value) for key, value in block.items()}


def _deltas(block: JSON, words: list[str]) -> Iterator[JSON]:
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": word} for word in words)
    elif block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": block["thinking"]}
        yield {"type": "signature_delta", "signature": block["signature"]}
    else:
        yield {"type": "input_json_delta", "partial_json": ""}
        for piece in pieces(compact(block["input"]).decode()):
            yield {"type": "input_json_delta", "partial_json": piece}


def count(body: JSON) -> Reply:
    """POST /v1/messages/count_tokens"""
    return Reply([compact({"input_tokens": _prompt_tokens(body)})])


def _model(name: str) -> JSON:
    return {
        "type": "model",
        "id": behaviour_of(name).answered_model(name),
        "display_name": name.replace("-", " ").title(),
        "created_at": "2025-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def models(call: Call) -> Reply:
    """GET /v1/models and /v1/models/{id}"""
    listed = [_model(name) for name in KNOWN_MODELS if name.startswith("claude")]
    wanted = call.path.removeprefix("/v1/models").strip("/")
    if not wanted:
        ends = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]}
        return Reply([compact({"data": listed, "has_more": False, **ends})])
    wanted = behaviour_of(wanted).answered_model("")
    for model in listed:
        if model["id"] == wanted:
            return Reply([compact(model)])
    return anthropic_error(call, 404, "not_found_error", f"model: {wanted}")
