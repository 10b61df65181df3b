"""Streams of the OpenAI dialect: what a listener that parses few events learns of them."""

import pytest

from tests.upstreams.dialects.listening import OPENAI, WRITTEN, compact, listen, usage_of
from tokenwatch.tokens import TokenUsage

every_spelling = pytest.mark.parametrize("write", WRITTEN)


def chunk(delta=None, finish=None, **more):
    choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-123",
        "object": "chat.completion.chunk",
        "created": 1694268190,
        "model": "gpt-4o-mini",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": [choice],
    } | more


USAGE = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
}
BILLED = TokenUsage(input=86, cache_read=1920, output=300)
CHAT = [
    chunk({"role": "assistant", "content": ""}, usage=None, service_tier="default"),
    chunk({"content": "Hello"}, usage=None),
    chunk({"content": "!"}, usage=None),
    chunk(finish="stop", usage=None),
    chunk(choices=[], usage=USAGE, service_tier="priority"),
]


@every_spelling
def test_chat_with_a_usage_chunk(write):
    answer = listen(OPENAI, *CHAT, "[DONE]", write=write)
    assert usage_of(OPENAI, "chat", answer) == BILLED
    assert (answer.model, answer.finish_reason) == ("gpt-4o-mini", "stop")
    assert answer.service_tier == "priority"  # as the newest chunk names it
    assert answer.complete


@pytest.mark.parametrize("seen", range(1, len(CHAT) + 1))
def test_a_chat_stream_is_not_complete_before_done(seen):
    answer = listen(OPENAI, *CHAT[:seen])
    assert not answer.complete
    assert answer.model == "gpt-4o-mini"


def test_a_chat_stream_that_never_counted_has_no_usage():
    assert usage_of(OPENAI, "chat", listen(OPENAI, *CHAT[:4], "[DONE]")) is None


@every_spelling
def test_usage_in_the_chunk_that_has_the_finish_reason(write):
    answer = listen(OPENAI, *CHAT[:3], chunk(finish="length", usage=USAGE), "[DONE]", write=write)
    assert usage_of(OPENAI, "chat", answer) == BILLED
    assert answer.finish_reason == "length"


def test_cumulative_usage_in_every_chunk_counts_once():
    chunks = [
        chunk({"content": "a"}, usage={"prompt_tokens": 50, "completion_tokens": n})
        for n in range(1, 6)
    ]
    answer = listen(OPENAI, *chunks)
    assert usage_of(OPENAI, "chat", answer) == TokenUsage(input=50, output=5)


@every_spelling
def test_kimi_puts_usage_into_the_choice(write):
    last = chunk(model="kimi-k2-0905-preview")
    last["choices"][0] |= {
        "finish_reason": "stop",
        "usage": {
            "prompt_tokens": 1336,
            "completion_tokens": 31,
            "total_tokens": 1367,
            "cached_tokens": 1280,
            "prompt_tokens_details": {"cached_tokens": 1280},
        },
    }
    answer = listen(OPENAI, *CHAT[:3], last, "[DONE]", write=write)
    assert usage_of(OPENAI, "chat", answer) == TokenUsage(input=56, cache_read=1280, output=31)


def test_groq_puts_usage_into_an_object_of_its_own():
    usage = {"queue_time": 0.02, "prompt_tokens": 22, "completion_tokens": 8, "total_tokens": 30}
    answer = listen(
        OPENAI,
        chunk({"role": "assistant"}, x_groq={"id": "req_01"}),
        chunk({"content": "Hi"}),
        chunk(finish="stop", x_groq={"id": "req_01", "usage": usage}),
        "[DONE]",
    )
    assert usage_of(OPENAI, "chat", answer) == TokenUsage(input=22, output=8)


def test_azure_begins_with_a_chunk_without_model_and_choices():
    first = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
    answer = listen(OPENAI, first | {"prompt_filter_results": []}, *CHAT, "[DONE]")
    assert answer.model == "gpt-4o-mini"
    assert usage_of(OPENAI, "chat", answer) == BILLED


def test_an_empty_object_that_keeps_the_connection_open_ends_nothing():
    assert not listen(OPENAI, {}).complete


@every_spelling
def test_an_error_in_the_middle_of_a_stream(write):
    error = {"error": {"message": "The server had an error", "type": "server_error", "code": None}}
    answer = listen(OPENAI, *CHAT[:2], error, write=write)
    assert answer.error_type == "server_error"
    assert not answer.complete


def test_openrouter_reports_an_error_in_a_chunk():
    error = chunk(
        finish="error", error={"code": 502, "message": "Provider disconnected"}, provider="x"
    )
    answer = listen(OPENAI, *CHAT[:2], error)
    assert (answer.error_type, answer.finish_reason) == ("502", "error")


def test_legacy_completions():
    def text(text, finish=None, **more):
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
        return {"object": "text_completion", "model": "davinci-002", "choices": [choice]} | more

    stream = [
        text("This", usage=None),
        text(" is", finish="length", usage=None),
        text("", choices=[], usage={"prompt_tokens": 5, "completion_tokens": 7}),
    ]
    assert not listen(OPENAI, *stream).complete
    answer = listen(OPENAI, *stream, "[DONE]")
    assert answer.complete
    assert usage_of(OPENAI, "completions", answer) == TokenUsage(input=5, output=7)
    assert listen(OPENAI, text("This is", finish="length")).complete  # a whole one


# Responses


def event(kind, **more):
    return {"type": kind, "sequence_number": 1} | more


def response(status, **more):
    return {
        "id": "resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad4e5eb654",
        "object": "response",
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": "gpt-4.1-2025-04-14",
        "output": [],
        "service_tier": "auto",
        "usage": None,
    } | more


RESPONSE_USAGE = {
    "input_tokens": 37,
    "input_tokens_details": {"cached_tokens": 30},
    "output_tokens": 11,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 48,
}
SEARCH = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search"},
}
STREAM = [
    event("response.created", response=response("in_progress")),
    event("response.in_progress", response=response("in_progress")),
    event("response.output_item.added", item=SEARCH | {"status": "in_progress"}),
    event("response.output_item.done", item=SEARCH),
    event("response.output_text.delta", item_id="msg_1", delta="Hi"),
    event("response.output_text.done", item_id="msg_1", text="Hi"),
]


@every_spelling
@pytest.mark.parametrize(
    ("status", "details", "finish"),
    [
        ("completed", None, "completed"),
        ("incomplete", {"reason": "max_output_tokens"}, "max_output_tokens"),
        ("failed", None, "failed"),
    ],
)
def test_responses_are_billed_however_they_end(status, details, finish, write):
    final = response(
        status,
        usage=RESPONSE_USAGE,
        service_tier="default",
        incomplete_details=details,
        output=[SEARCH, {"type": "message", "content": []}],
        error={"code": "server_error", "message": "x"} if status == "failed" else None,
    )
    answer = listen(OPENAI, *STREAM, event(f"response.{status}", response=final), write=write)
    assert usage_of(OPENAI, "responses", answer) == TokenUsage(
        input=7, cache_read=30, output=11, reasoning=4, web_searches=1
    )
    assert (answer.complete, answer.finish_reason) == (True, finish)
    assert (answer.model, answer.service_tier) == ("gpt-4.1-2025-04-14", "default")
    assert answer.error_type == ("server_error" if status == "failed" else "")


@every_spelling
@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_a_response_that_ends_without_usage_has_ended(status, write):
    answer = listen(
        OPENAI, *STREAM, event(f"response.{status}", response=response(status)), write=write
    )
    assert answer.complete
    assert usage_of(OPENAI, "responses", answer) is None


def test_searches_before_the_client_left_are_counted():
    answer = listen(OPENAI, *STREAM)
    assert (answer.web_searches, answer.complete, answer.finish_reason) == (1, False, "")


def test_a_responses_stream_that_fails_with_an_error_event():
    error = event("error", code="rate_limit_exceeded", message="Slow down", param=None)
    answer = listen(OPENAI, *STREAM, error)
    assert (answer.error_type, answer.complete) == ("rate_limit_exceeded", False)


# Images and audio


def test_streamed_images():
    usage = {
        "input_tokens": 10,
        "output_tokens": 20,
        "total_tokens": 30,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
    }
    answer = listen(
        OPENAI,
        event("image_generation.partial_image", b64_json="aGk=", partial_image_index=0),
        event("image_generation.completed", b64_json="aGk=", usage=usage),
    )
    assert usage_of(OPENAI, "images", answer) == TokenUsage(input=10, output=20, output_image=20)
    assert answer.finish_reason == "completed"


def test_a_streamed_transcript():
    usage = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
        "output_tokens": 45,
        "total_tokens": 59,
    }
    answer = listen(
        OPENAI,
        event("transcript.text.delta", delta="I"),
        event("transcript.text.done", text="I see", usage=usage),
        "[DONE]",
    )
    assert usage_of(OPENAI, "transcriptions", answer) == TokenUsage(
        input=14, input_audio=14, output=45
    )


def test_streamed_speech_puts_out_audio_tokens():
    answer = listen(
        OPENAI,
        event("speech.audio.delta", audio="aGk="),
        event("speech.audio.done", usage={"input_tokens": 14, "output_tokens": 101}),
    )
    assert answer.complete
    assert usage_of(OPENAI, "speech", answer) == TokenUsage(input=14, output=101, output_audio=101)


# Which events are worth parsing

LOOK_ALIKES = [
    '"usage":{"prompt_tokens":1}',
    '"finish_reason":"stop"',
    '{"error":{"type":"x"}}',
    '{"type":"response.completed"}',
    'data: {"type":"error"}\n\n',
    '\\"usage\\":{',
    '\\\\"usage\\\\":{',
]


@every_spelling
@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_text_that_looks_like_usage_is_not_worth_parsing(text, write):
    for delta in (
        chunk({"content": text}, usage=None),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}),
        event("response.output_text.delta", delta=text),
    ):
        assert not OPENAI.telling.search(write(delta).encode())


def test_a_delta_with_a_role_in_every_chunk_is_not_worth_parsing():
    delta = chunk({"role": "assistant", "content": "x"}, usage=None)
    assert not OPENAI.telling.search(compact(delta).encode())
