"""The text of requests and answers that estimates are made from."""

import pytest

from tests.upstreams.dialects.listening import ANTHROPIC, OPENAI

BASE64 = "aGVsbG8gd29ybGQ" * 100


def delta(**members):
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": members}]}


OPENAI_TEXT = [
    (delta(role="assistant", content="Hello"), "Hello"),
    (delta(content=None, reasoning_content="Hmm"), "Hmm"),
    (delta(content="", reasoning="Hmm", reasoning_content="Hmm"), "Hmm"),
    (delta(refusal="No"), "No"),
    (
        delta(
            tool_calls=[{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{}"}}]
        ),
        "f{}",
    ),
    (delta(function_call={"name": "f", "arguments": '{"a":1}'}), 'f{"a":1}'),
    (delta(audio={"data": BASE64, "transcript": "Yes"}), "Yes"),
    (delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]), "a"),
    (delta(), ""),
    ({"choices": [{"text": "Once"}, {"text": "Twice"}]}, "OnceTwice"),
    ({"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}, "Hi"),
    ({"type": "response.output_text.delta", "delta": "Hi"}, "Hi"),
    ({"type": "response.function_call_arguments.delta", "delta": '{"a"'}, '{"a"'),
    ({"type": "response.reasoning_summary_text.delta", "delta": "So"}, "So"),
    ({"type": "response.audio.delta", "delta": BASE64}, ""),
    ({"type": "speech.audio.delta", "audio": BASE64}, ""),
    ({"type": "response.output_text.done", "text": "Hi"}, ""),
    ({"type": "response.completed", "response": {"output": [{"text": "Hi"}]}}, ""),
    ({"type": "image_generation.completed", "b64_json": BASE64}, ""),
    (
        {
            "object": "response",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "So"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
                {"type": "function_call", "name": "f", "arguments": "{}"},
                {"type": "image_generation_call", "result": BASE64},
            ],
        },
        "SoHif{}",
    ),
    ({"text": "A transcript"}, "A transcript"),
    ({"data": [{"b64_json": BASE64}]}, ""),
]
ANTHROPIC_TEXT = [
    ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}, "Hi"),
    ({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "Hm"}}, "Hm"),
    (
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}},
        "{",
    ),
    (
        {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": BASE64}},
        "",
    ),
    (
        {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "get"}},
        "get",
    ),
    (
        {
            "type": "content_block_start",
            "content_block": {
                "type": "web_search_tool_result",
                "content": [{"title": "Read, not written"}],
            },
        },
        "",
    ),
    ({"type": "message_start", "message": {"content": []}}, ""),
    (
        {
            "type": "message",
            "content": [
                {"type": "thinking", "thinking": "Hm. ", "signature": BASE64},
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "name": "get", "input": {"a": 1}},
                {"type": "web_search_tool_result", "content": [{"title": "Read"}]},
            ],
        },
        'Hm. Higet{"a":1}',
    ),
    ({"type": "completion", "completion": " Hello"}, " Hello"),
]


@pytest.mark.parametrize(("obj", "text"), OPENAI_TEXT)
def test_text_that_openai_generated(obj, text):
    assert OPENAI.delta_text(obj) == text


@pytest.mark.parametrize(("obj", "text"), ANTHROPIC_TEXT)
def test_text_that_anthropic_generated(obj, text):
    assert ANTHROPIC.delta_text(obj) == text


def test_an_openai_prompt_is_its_words_and_tools_without_its_files():
    body = {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}},
                    {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
                    {"type": "file", "file": {"file_data": BASE64}},
                ],
            },
            {"role": "assistant", "tool_calls": [{"function": {"name": "see", "arguments": "{}"}}]},
            {"role": "tool", "content": "A cat"},
        ],
        "tools": [{"type": "function", "function": {"name": "see"}}],
    }
    text = OPENAI.prompt_text(body)
    assert text.split("\n") == [
        "Be brief.",
        "What is it?",
        "see",
        "{}",
        "A cat",
        '[{"type":"function","function":{"name":"see"}}]',
    ]


def test_a_responses_prompt():
    body = {
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "reasoning", "summary": [{"text": "So"}], "encrypted_content": BASE64},
            {"type": "function_call_output", "call_id": "1", "output": "42"},
            {"type": "custom_tool_call", "name": "py", "input": "1+1"},
            {"type": "computer_call_output", "output": {"image_url": BASE64}},
        ],
    }
    text = OPENAI.prompt_text(body)
    assert text.split("\n") == ["Be brief.", "Hi", "So", "42", "py", "1+1"]


def test_an_anthropic_prompt():
    body = {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "data": BASE64}},
                    {"type": "document", "source": {"type": "text", "data": "The file"}},
                    {"type": "document", "source": {"type": "base64", "data": BASE64}},
                    {
                        "type": "document",
                        "source": {"type": "content", "content": [{"type": "text", "text": "P"}]},
                    },
                    {"type": "search_result", "source": "https://x", "title": "T", "content": []},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": BASE64},
                    {"type": "tool_use", "id": "1", "name": "get", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "content": [{"type": "text", "text": "42"}]},
                    {"type": "tool_result", "content": "43"},
                ],
            },
        ],
        "tools": [{"name": "get"}],
    }
    text = ANTHROPIC.prompt_text(body)
    assert text.split("\n") == [
        "Be brief.",
        "The file",
        "P",
        "T",
        "Hm",
        "get",
        '{"a":1}',
        "42",
        "43",
        '[{"name":"get"}]',
    ]


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_nesting_without_end_is_cut_not_raised_on(dialect):
    content: object = "deep"
    schema: object = {}
    for _ in range(900):
        content = [{"content": content}]
        schema = {"items": schema}
    assert dialect.prompt_text({"messages": content, "tools": schema}).strip() == ""
