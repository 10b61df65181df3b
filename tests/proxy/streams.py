"""Recorded streams in the providers' documented formats, for the tests of the relay."""

import json


def sse(*events: dict | str, named: bool = False) -> list[bytes]:
    """Events as bytes; ``named`` adds the ``event:`` lines that Anthropic sends."""
    out = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
        name = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
        out.append(f"{name}data: {data}\n\n".encode())
    return out


def chunk(delta: dict | None = None, finish: str | None = None, **more: object) -> dict:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "choices": choices,
        **more,
    }


OPENAI_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 9,
    "total_tokens": 109,
    "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3},
}

OPENAI = sse(
    chunk({"role": "assistant", "content": ""}, usage=None),
    chunk({"content": 'The word "usage": {"x": 1} is harmless'}, usage=None),
    chunk({"content": " \u00fcn\u00efcode \U0001f600"}, usage=None),
    chunk({}, "stop", usage=None),
    chunk(None, usage=OPENAI_USAGE),
    "[DONE]",
)
"""What OpenAI sends with ``stream_options.include_usage``."""

OPENAI_UNASKED = sse(
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": 'The word "usage": {"x": 1} is harmless'}),
    chunk({"content": " \u00fcn\u00efcode \U0001f600"}),
    chunk({}, "stop"),
    "[DONE]",
)
"""The same without it."""

ANTHROPIC = sse(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [],
            "stop_reason": None,
            "usage": {
                "input_tokens": 25,
                "cache_creation_input_tokens": 300,
                "cache_read_input_tokens": 50,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 100,
                    "ephemeral_1h_input_tokens": 200,
                },
                "output_tokens": 1,
                "service_tier": "standard",
            },
        },
    },
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    },
    {"type": "ping"},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "Hello there, how are you"},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": " this fine morning?"},
    },
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {
            "input_tokens": 25,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 50,
            "output_tokens": 15,
        },
    },
    {"type": "message_stop"},
    named=True,
)

_RESPONSE = {"id": "resp_1", "object": "response", "model": "gpt-5.1-2025-11-13", "output": []}
RESPONSES = sse(
    {
        "type": "response.created",
        "sequence_number": 0,
        "response": {**_RESPONSE, "status": "in_progress", "usage": None},
    },
    {
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hello",
    },
    {
        "type": "response.completed",
        "sequence_number": 2,
        "response": {
            **_RESPONSE,
            "status": "completed",
            "service_tier": "default",
            "usage": {
                "input_tokens": 36,
                "input_tokens_details": {"cached_tokens": 6},
                "output_tokens": 87,
                "output_tokens_details": {"reasoning_tokens": 64},
                "total_tokens": 123,
            },
        },
    },
    named=True,
)
