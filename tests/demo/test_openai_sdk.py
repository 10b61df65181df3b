"""The official OpenAI SDK against the fake provider: everything arrives as typed objects."""

from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageFunctionToolCall
from openai.types.responses import Response, ResponseFunctionToolCall
from pydantic import BaseModel

from demo.fake_provider import FakeProvider

HELLO: Any = [{"role": "user", "content": "Say hello to the proxy"}]
WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    },
}
CHAT_TOOLS = [{"type": "function", "function": WEATHER}]


def test_chat_answers_with_a_dated_model_and_usage(oai: Any) -> None:
    answer = oai.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert isinstance(answer, ChatCompletion)
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens == len(answer.choices[0].message.content.split())
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id
    assert answer._request_id.startswith("req_")


def test_a_chat_stream_adds_up_to_the_same_text(oai: Any) -> None:
    model = "stream-7-1"
    stream = oai.chat.completions.create(model=model, messages=HELLO, stream=True)
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert len(text.split()) == 7
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


def test_usage_comes_in_a_last_chunk_where_it_is_asked_for(oai: Any) -> None:
    *chunks, last = oai.chat.completions.create(
        model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == len(chunks) - 2  # the opening and the end
    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in chunks)


def test_asking_for_usage_changes_nothing_else_in_the_stream(http: httpx.Client) -> None:
    body: Any = {"model": "gpt-4o", "messages": HELLO, "stream": True}
    plain = http.post("/v1/chat/completions", json=body)
    asked = http.post(
        "/v1/chat/completions", json={**body, "stream_options": {"include_usage": True}}
    )
    events = asked.text.replace(',"usage":null', "").split("\n\n")
    assert [event for event in events if '"choices":[]' not in event] == plain.text.split("\n\n")


def test_a_tool_is_called_and_its_result_is_answered(oai: Any) -> None:
    answer = oai.chat.completions.create(model="gpt-4o", messages=HELLO, tools=CHAT_TOOLS)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None
    call = answer.choices[0].message.tool_calls[0]
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    assert (call.function.name, call.function.arguments) == (
        "get_weather",
        '{"city":"example","days":1}',
    )
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages = [*HELLO, answer.choices[0].message.model_dump(exclude_none=True), result]
    final = oai.chat.completions.create(model="gpt-4o", messages=messages, tools=CHAT_TOOLS)
    assert final.choices[0].message.content


def test_a_streamed_tool_call_is_assembled_by_the_sdk(oai: Any) -> None:
    with oai.chat.completions.stream(
        model="gpt-4o", messages=HELLO, tools=[{"type": "function", "function": WEATHER}]
    ) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert call.function.arguments == '{"city":"example","days":1}'


def test_a_structured_answer_keeps_its_schema(oai: Any) -> None:
    class Weather(BaseModel):
        city: str
        degrees: float

    parsed = oai.chat.completions.parse(model="gpt-4o", messages=HELLO, response_format=Weather)
    assert parsed.choices[0].message.parsed == Weather(city="example", degrees=1.5)
    response = oai.responses.parse(model="gpt-4o", input="weather", text_format=Weather)
    assert response.output_parsed == Weather(city="example", degrees=1.5)


def test_a_token_limit_truncates(oai: Any) -> None:
    answer = oai.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3
    response = oai.responses.create(model="gpt-4o", input="hi", max_output_tokens=3)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"


def test_responses_answer_with_text_and_usage(oai: Any) -> None:
    answer = oai.responses.create(model="gpt-5", input="Say hello")
    assert isinstance(answer, Response)
    assert answer.usage is not None
    assert answer.output_text
    assert answer.model == "gpt-5-2025-08-07"
    assert answer.usage.output_tokens_details.reasoning_tokens == 64
    assert answer.usage.output_tokens == 64 + len(answer.output_text.split())


def test_a_response_stream_counts_its_events_and_ends_whole(oai: Any) -> None:
    body: Any = {"model": "gpt-4o", "input": "Say hello"}
    events = list(oai.responses.create(**body, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    assert events[-1].response.usage.total_tokens > 0
    with oai.responses.stream(**body) as stream:
        assert stream.get_final_response().output_text == text


def test_a_response_calls_a_tool(oai: Any) -> None:
    tools = [{"type": "function", "strict": False, **WEATHER}]
    answer = oai.responses.create(model="gpt-4o", input="weather?", tools=tools)
    assert isinstance(answer.output[0], ResponseFunctionToolCall)
    assert answer.output[0].arguments == '{"city":"example","days":1}'
    with oai.responses.stream(model="gpt-4o", input="weather?", tools=tools) as stream:
        assert stream.get_final_response().output[0].arguments == answer.output[0].arguments


def test_completions_whole_and_streamed(oai: Any) -> None:
    body: Any = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once", "max_tokens": 5}
    answer = oai.completions.create(**body)
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 5)
    streamed = list(oai.completions.create(**body, stream=True))
    assert len("".join(chunk.choices[0].text for chunk in streamed).split()) == 5


def test_embeddings_have_one_vector_an_input_in_both_encodings(oai: Any) -> None:
    body: Any = {"model": "text-embedding-3-small", "input": ["one", "two"], "dimensions": 8}
    packed = oai.embeddings.create(**body)
    assert [len(item.embedding) for item in packed.data] == [8, 8]
    assert packed.data[0].embedding != packed.data[1].embedding
    floats = oai.embeddings.create(**body, encoding_format="float")
    assert len(floats.data[0].embedding) == 8
    tokens = oai.embeddings.create(model="text-embedding-3-small", input=[1, 2, 3])
    assert (len(tokens.data), tokens.usage.prompt_tokens) == (1, 3)


def test_images_tell_tokens_or_none_by_the_model(oai: Any) -> None:
    drawn = oai.images.generate(model="gpt-image-1", prompt="a lighthouse", n=2)
    assert len(drawn.data) == 2
    assert drawn.data[0].b64_json != drawn.data[1].b64_json
    assert drawn.usage.output_tokens == 2 * 1056
    older = oai.images.generate(model="dall-e-3", prompt="a lighthouse")
    assert older.usage is None
    assert older.data[0].url


def test_speech_is_audio_or_events_with_usage(oai: Any) -> None:
    body: Any = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Hello"}
    assert len(oai.audio.speech.create(**body).content) == 4096
    raw = oai.audio.speech.create(**body, stream_format="sse").text
    assert '"speech.audio.done","usage":{"input_tokens":1' in raw


def test_transcriptions_by_tokens_seconds_and_stream(oai: Any) -> None:
    clip = ("clip.wav", b"RIFF....WAVE")
    by_tokens = oai.audio.transcriptions.create(model="gpt-4o-transcribe", file=clip)
    assert by_tokens.usage.type == "tokens"
    by_time = oai.audio.transcriptions.create(model="whisper-1", file=clip)
    assert (by_time.usage.type, by_time.usage.seconds) == ("duration", 7)
    events = list(
        oai.audio.transcriptions.create(model="gpt-4o-transcribe", file=clip, stream=True)
    )
    assert events[-1].type == "transcript.text.done"
    assert events[-1].usage.input_token_details.audio_tokens == 42
    text = oai.audio.transcriptions.create(model="whisper-1", file=clip, response_format="text")
    assert isinstance(text, str)


def test_moderations_models_and_files(oai: Any, provider: FakeProvider) -> None:
    assert len(oai.moderations.create(input=["a", "b"]).results) == 2
    assert "gpt-4o" in [model.id for model in oai.models.list()]
    assert oai.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        oai.models.retrieve("none")
    sent = oai.files.create(file=("notes.txt", b"some notes"), purpose="user_data")
    assert (sent.filename, sent.bytes, sent.purpose) == ("notes.txt", 10, "user_data")
    assert b"some notes" in provider.seen[-1].body


def test_caching_is_counted_inside_the_prompt(oai: Any) -> None:
    plain = oai.chat.completions.create(model="gpt-4o-mini", messages=HELLO).usage
    usage = oai.chat.completions.create(model="cached", messages=HELLO).usage
    assert usage.prompt_tokens_details.cached_tokens == 1920
    assert usage.prompt_tokens_details.cache_write_tokens == 256
    assert usage.prompt_tokens == plain.prompt_tokens + 1920 + 256
    details = oai.responses.create(model="cached", input="hi").usage.input_tokens_details
    assert (details.cached_tokens, details.cache_write_tokens) == (1920, 256)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
def test_errors_raise_the_typed_exception(
    oai: Any, status: int, expected: type[openai.APIStatusError]
) -> None:
    with pytest.raises(expected) as caught:
        oai.chat.completions.create(model=f"fail-{status}", messages=HELLO)
    assert caught.value.status_code == status
    assert caught.value.request_id
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"]
    assert (caught.value.response.headers.get("retry-after") == "2") == (status == 429)


def test_an_error_within_a_stream_is_raised(oai: Any) -> None:
    stream = oai.chat.completions.create(model="error-2", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError, match="The server had an error"):
        list(stream)


async def test_the_async_client_gets_the_same(url: str, oai: Any) -> None:
    body: Any = {"model": "gpt-4o-mini", "messages": HELLO}
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="any", max_retries=0) as client:
        answer = await client.chat.completions.create(**body)
        assert answer == oai.chat.completions.create(**body)
        stream = await client.chat.completions.create(**body, stream=True)
        chunks = [chunk async for chunk in stream]
        assert chunks == list(oai.chat.completions.create(**body, stream=True))
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="fail-429", messages=HELLO)
