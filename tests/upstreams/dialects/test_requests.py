"""What a request says of itself."""

import pytest

from tests.upstreams.dialects.listening import ANTHROPIC, OPENAI
from upstreams.dialects.requests import (
    is_usage_only_chunk,
    last_user_text,
    offers_tools,
    requested_model,
    wants_stream,
)


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ({"model": "openai/gpt-4o-mini"}, "openai/gpt-4o-mini"),
        ({"model": None}, ""),
        ({"model": {"id": "x"}}, ""),
        ({}, ""),
    ],
)
def test_requested_model(body, model):
    assert requested_model(body) == model


@pytest.mark.parametrize(
    ("body", "stream"),
    [
        ({"stream": True}, True),
        ({"stream": False}, False),
        ({"stream": "true"}, False),
        ({}, False),
    ],
)
def test_wants_stream(body, stream):
    assert wants_stream(body) is stream


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"tools": [{"type": "function"}]}, True),
        ({"functions": [{"name": "f"}]}, True),
        ({"tools": []}, False),
        ({"tools": None, "tool_choice": "auto"}, False),
        ({"tools": "x"}, False),
        ({}, False),
    ],
)
def test_offers_tools(body, expected):
    assert offers_tools(body) is expected


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ({"choices": [], "usage": {"prompt_tokens": 1}}, True),
        ({"choices": [], "usage": None}, False),
        ({"choices": [], "prompt_filter_results": []}, False),
        ({"choices": [{"delta": {}}], "usage": {"prompt_tokens": 1}}, False),
        ({"usage": {"prompt_tokens": 1}}, False),
    ],
)
def test_only_a_chunk_without_choices_exists_for_its_usage(chunk, expected):
    assert is_usage_only_chunk(chunk) is expected


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
USER_TEXT = [
    (OPENAI, {"messages": [{"role": "user", "content": "Hi"}]}, "Hi"),
    (
        OPENAI,
        {
            "messages": [
                {"role": "user", "content": "First"},
                {"role": "assistant", "content": "Answer"},
                {"role": "user", "content": [{"type": "text", "text": "Look:"}, IMAGE]},
                {"role": "assistant", "content": "Seen"},
                {"role": "tool", "content": "42"},
            ]
        },
        "Look:",
    ),
    (OPENAI, {"input": "Tell me a joke"}, "Tell me a joke"),
    (
        OPENAI,
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
                {
                    "type": "message",
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "b"},
                        {"type": "input_image", "image_url": "https://x/y.png"},
                        {"type": "input_text", "text": "c"},
                    ],
                },
                {"type": "function_call_output", "call_id": "1", "output": "42"},
            ]
        },
        "b\nc",
    ),
    (OPENAI, {"prompt": "Once upon"}, "Once upon"),
    (OPENAI, {"prompt": ["one", "two"]}, "two"),
    (OPENAI, {"input": [1, 2, 3]}, ""),
    (ANTHROPIC, {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "x"),
    (
        ANTHROPIC,
        {
            "messages": [
                {"role": "user", "content": "Run it"},
                {"role": "assistant", "content": [{"type": "tool_use", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "content": "42"}]},
            ]
        },
        "Run it",
    ),
    (ANTHROPIC, {"prompt": "\n\nHuman: A\n\nAssistant: B\n\nHuman: C?\n\nAssistant:"}, "C?"),
    (ANTHROPIC, {"messages": [None, "x", {"role": "user"}]}, ""),
    (ANTHROPIC, {}, ""),
]


@pytest.mark.parametrize(("dialect", "body", "expected"), USER_TEXT)
def test_last_user_text(dialect, body, expected):
    assert last_user_text(dialect, body) == expected
