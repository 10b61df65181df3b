"""The official Anthropic SDK against the fake provider: everything arrives as typed objects."""

from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import Message, ToolUseBlock

HELLO: Any = [{"role": "user", "content": "Say hello to the proxy"}]
BODY: dict[str, Any] = {"model": "claude-haiku-4-5", "messages": HELLO, "max_tokens": 1000}
WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
    },
}


def block_texts(message: Message) -> list[str]:
    return [block.text for block in message.content if block.type == "text"]


def test_a_message_has_text_usage_and_a_dated_model(ant: Any) -> None:
    message = ant.messages.create(**BODY)
    assert type(message) is Message
    assert message.model == "claude-haiku-4-5-20251001"
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == len("".join(block_texts(message)).split())
    assert message.usage.service_tier == "standard"
    assert message._request_id
    assert message._request_id.startswith("req_011C")


def test_a_stream_adds_up_to_the_same_message(ant: Any) -> None:
    with ant.messages.stream(**BODY) as stream:
        assert "".join(stream.text_stream) == stream.get_final_message().content[0].text
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == len(final.content[0].text.split())


def test_events_come_in_the_documented_order(ant: Any, http: httpx.Client) -> None:
    events = list(ant.messages.create(**{**BODY, "model": "stream-2-0"}, stream=True))
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0].message.usage.output_tokens == 1
    assert events[-2].usage.output_tokens == 2
    raw = http.post("/v1/messages", json={**BODY, "stream": True}).text
    assert 'event: ping\ndata: {"type": "ping"}\n\n' in raw


def test_a_tool_is_used_whole_and_streamed(ant: Any) -> None:
    message = ant.messages.create(**BODY, tools=[WEATHER])
    assert message.stop_reason == "tool_use"
    used = message.content[-1]
    assert isinstance(used, ToolUseBlock)
    assert (used.name, used.input) == ("get_weather", {"city": "example", "unit": "c"})
    with ant.messages.stream(**BODY, tools=[WEATHER]) as stream:
        assert stream.get_final_message().content[-1].input == used.input
    result = {"type": "tool_result", "tool_use_id": used.id, "content": "sunny"}
    followed = [
        *HELLO,
        {
            "role": "assistant",
            "content": [used.model_dump(include={"type", "id", "name", "input"})],
        },
        {"role": "user", "content": [result]},
    ]
    final = ant.messages.create(**{**BODY, "messages": followed}, tools=[WEATHER])
    assert final.stop_reason == "end_turn"


def test_thinking_comes_before_the_text(ant: Any) -> None:
    asked = {**BODY, "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    whole = ant.messages.create(**asked)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    with ant.messages.stream(**asked) as stream:
        thinking = stream.get_final_message().content[0]
    assert thinking.thinking == whole.content[0].thinking
    assert thinking.signature


def test_caching_is_counted_beside_the_input(ant: Any) -> None:
    plain = ant.messages.create(**BODY).usage
    cached = ant.messages.create(**{**BODY, "model": "cached"}).usage
    assert cached.input_tokens == plain.input_tokens
    assert cached.cache_read_input_tokens == 2048
    assert cached.cache_creation_input_tokens == 512 + 256
    assert cached.cache_creation.ephemeral_1h_input_tokens == 256
    with ant.messages.stream(**{**BODY, "model": "cached"}) as stream:
        assert stream.get_final_message().usage.cache_creation == cached.cache_creation


def test_a_token_limit_truncates(ant: Any) -> None:
    message = ant.messages.create(**{**BODY, "max_tokens": 3})
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)


def test_tokens_are_counted_and_models_are_listed(ant: Any) -> None:
    counted = ant.messages.count_tokens(model="claude-haiku-4-5", messages=HELLO)
    assert counted.input_tokens == ant.messages.create(**BODY).usage.input_tokens
    listed = [model.id for model in ant.models.list()]
    assert "claude-haiku-4-5-20251001" in listed
    assert ant.models.retrieve("claude-haiku-4-5").created_at.year == 2025


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (404, "not_found_error", anthropic.NotFoundError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (529, "overloaded_error", anthropic.InternalServerError),
    ],
)
def test_errors_raise_the_typed_exception(
    ant: Any, status: int, kind: str, expected: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(expected) as caught:
        ant.messages.create(**{**BODY, "model": f"fail-{status}"})
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == kind
    assert caught.value.body["request_id"] == caught.value.request_id


def test_an_error_within_a_stream_is_raised(ant: Any) -> None:
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(ant.messages.create(**{**BODY, "model": "error-3"}, stream=True))


async def test_the_async_client_gets_the_same(url: str, ant: Any) -> None:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as client:
        assert await client.messages.create(**BODY) == ant.messages.create(**BODY)
        async with client.messages.stream(**BODY) as stream:
            final = await stream.get_final_message()
        assert block_texts(final) == block_texts(ant.messages.create(**BODY))
        with pytest.raises(anthropic.RateLimitError):
            await client.messages.create(**{**BODY, "model": "fail-429"})
