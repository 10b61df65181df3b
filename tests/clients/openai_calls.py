"""The calls of the `openai` SDK that are made both ways, and what each costs.

Tokens are those that the fake provider counts (a token for four characters of the prompt's
JSON, one a word of the answer); prices are OpenAI's published ones, in dollars a million.
"""

from decimal import Decimal
from functools import partial
from typing import Any

from tests.clients.calls import Accounted, Call, per_million, uses

HELLO: Any = [{"role": "user", "content": "Say hello to the proxy"}]
WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    },
}
CHAT_TOOLS = [{"type": "function", "function": WEATHER}]
RESPONSE_TOOLS = [{"type": "function", "strict": False, **WEATHER}]
WEATHER_ASKED: dict[str, Any] = {
    "model": "gpt-4o",
    "input": "weather?",
    "tools": RESPONSE_TOOLS,
}
MODERATION = "omni-moderation-latest"
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
USAGE = {"include_usage": True}
# A boundary drawn at random would make two uploads of the same file differ.
FORM = {"Content-Type": "multipart/form-data; boundary=a-boundary-of-the-test"}
FORM_OPTIONS: dict[str, Any] = {"extra_headers": FORM}
CLIP = ("clip.wav", bytes(range(256)) * 512, "audio/wav")

EVENTS: dict[str, Any] = {"kind": "events", "stream": True}
INJECTED: dict[str, Any] = {"stream": True, "asked_for_usage": True}
FREE = per_million()

SAID = Accounted("gpt-4o-mini-2024-07-18", per_million((15, "0.15"), (7, "0.60")), 15, 7)
CALLED = Accounted("gpt-4o-mini-2024-07-18", per_million((56, "0.15"), (14, "0.60")), 56, 14)
SHAPED = Accounted("gpt-4o-mini-2024-07-18", per_million((15, "0.15"), (3, "0.60")), 15, 3)
CACHED = Accounted(
    "gpt-4o-2024-08-06",
    # a write has no price of its own with this model: it costs what input costs
    per_million((15, "2.50"), (1920, "1.25"), (256, "2.50"), (7, "10")),
    input=15,
    output=7,
    cache_read=1920,
    cache_write=256,
)
ANSWERED = Accounted("gpt-4o-2024-08-06", per_million((5, "2.50"), (7, "10")), 5, 7)
ANSWERED_BY_TOOL = Accounted("gpt-4o-2024-08-06", per_million((46, "2.50"), (14, "10")), 46, 14)
REASONED = Accounted(
    "gpt-5-mini-2025-08-07",
    per_million((5, "0.25"), (1920, "0.025"), (256, "0.25"), (71, "2")),
    input=5,
    output=71,
    cache_read=1920,
    cache_write=256,
    reasoning=64,
)
COMPLETED = Accounted(
    "gpt-3.5-turbo-instruct:20230824-v2", per_million((4, "1.50"), (5, "2")), 4, 5
)
ESTIMATED = Accounted("gpt-4o-mini-2024-07-18", estimated=True)

use = partial(uses, "openai")

CHAT: dict[str, Any] = {"model": "gpt-4o-mini+stream-7-0", "messages": HELLO}
RESPONSE: dict[str, Any] = {"model": "gpt-4o+stream-7-0", "input": "Say hello"}
PROMPT: dict[str, Any] = {
    "model": "gpt-3.5-turbo-instruct",
    "prompt": "Once upon a time",
    "max_tokens": 5,
}

chat = use(lambda c: c.chat.completions.create, **CHAT)
chat_helper = use(lambda c: c.chat.completions.stream, **CHAT)
responses = use(lambda c: c.responses.create, **RESPONSE)
responses_helper = use(lambda c: c.responses.stream, **RESPONSE)
completions = use(lambda c: c.completions.create, **PROMPT)


def failing(status: int, raises: str, error_type: str) -> Call:
    model = f"fail-{status}"
    return chat(
        f"chat fails with {status}",
        Accounted(model, FREE),
        model=model,
        status=status,
        raises=raises,
        error_type=error_type,
    )


CHAT_CALLS = [
    chat("chat", SAID),
    chat("chat, compressed", SAID, model="gpt-4o-mini+stream-7-0+gzip"),
    chat("chat with a tool", CALLED, model="gpt-4o-mini", tools=CHAT_TOOLS),
    chat("chat with a schema", SHAPED, model="gpt-4o-mini", response_format=SCHEMA),
    chat("chat with cached tokens", CACHED, model="gpt-4o+stream-7-0+cached"),
    chat(
        "chat with headers and a query of the app's own",
        SAID,
        extra_headers={"X-Mine": "one,  two", "OpenAI-Beta": "a=v1"},
        extra_query={"q": "a b/\u00e9&c", "empty": ""},
    ),
    use(lambda c: c.chat.completions.with_raw_response.create, **CHAT)("chat, raw", SAID),
    chat("chat stream", SAID, **EVENTS, asked_for_usage=True),
    chat(
        "chat stream, compressed",
        SAID,
        **EVENTS,
        asked_for_usage=True,
        model="gpt-4o-mini+stream-7-0+gzip",
    ),
    chat("chat stream with usage", SAID, **EVENTS, stream_options=USAGE),
    chat(
        "chat stream with usage, compressed",
        SAID,
        **EVENTS,
        stream_options=USAGE,
        model="gpt-4o-mini+stream-7-0+gzip",
    ),
    chat(
        "chat stream with a tool",
        CALLED,
        **EVENTS,
        asked_for_usage=True,
        model="gpt-4o-mini",
        tools=CHAT_TOOLS,
    ),
    chat_helper(
        "chat stream by the helper",
        SAID,
        **INJECTED,
        kind="helper",
        final="get_final_completion",
    ),
]

OTHER_CALLS = [
    completions("completion", COMPLETED),
    completions("completion stream", COMPLETED, **EVENTS, asked_for_usage=True),
    completions("completion stream with usage", COMPLETED, **EVENTS, stream_options=USAGE),
    responses("response", ANSWERED),
    responses("response, compressed", ANSWERED, model="gpt-4o+stream-7-0+gzip"),
    responses("response with a tool", ANSWERED_BY_TOOL, **WEATHER_ASKED),
    responses("response with reasoning", REASONED, model="gpt-5-mini+stream-7-0+cached"),
    responses("response stream", ANSWERED, **EVENTS),
    responses("response stream, compressed", ANSWERED, **EVENTS, model="gpt-4o+stream-7-0+gzip"),
    responses("response stream with a tool", ANSWERED_BY_TOOL, **EVENTS, **WEATHER_ASKED),
    responses_helper(
        "response stream by the helper",
        ANSWERED,
        kind="helper",
        stream=True,
        final="get_final_response",
    ),
    use(lambda c: c.embeddings.create)(
        "embeddings",
        Accounted("text-embedding-3-small", per_million((4, "0.02")), 4),
        model="text-embedding-3-small",
        input=["one", "two three four"],
        dimensions=8,
    ),
    use(lambda c: c.moderations.create)(
        "moderation", Accounted("omni-moderation-latest", FREE), input="a", model=MODERATION
    ),
    use(lambda c: c.models.list)("models", Accounted("", FREE)),
    use(lambda c: c.models.retrieve)(
        "a model that is not there",
        Accounted("", FREE),
        model="none",
        status=404,
        raises="NotFoundError",
        error_type="invalid_request_error",
    ),
]

MEDIA_CALLS = [
    use(lambda c: c.images.generate)(
        "images",
        Accounted("gpt-image-1", per_million((3, "5"), (2112, "40")), 3, 2112),
        model="gpt-image-1",
        prompt="a lighthouse",
        n=2,
    ),
    use(lambda c: c.images.generate)(
        "an image without a price",
        Accounted("dall-e-3", None),
        model="dall-e-3",
        prompt="a lighthouse",
    ),
    use(lambda c: c.audio.speech.create)(
        "speech",
        Accounted("gpt-4o-mini-tts", None),
        model="gpt-4o-mini-tts",
        voice="alloy",
        input="Hello",
    ),
    use(lambda c: c.audio.transcriptions.create, **FORM_OPTIONS)(
        "a transcription by tokens",
        Accounted("gpt-4o-transcribe", per_million((42, "6"), (46, "10")), 42, 46),
        model="gpt-4o-transcribe",
        file=CLIP,
    ),
    use(lambda c: c.audio.transcriptions.create, **FORM_OPTIONS)(
        "a transcription by seconds",
        Accounted("whisper-1", Decimal("0.0007")),  # seven seconds at 0.006 dollars a minute
        model="whisper-1",
        file=CLIP,
    ),
    use(lambda c: c.audio.transcriptions.create, **FORM_OPTIONS)(
        "a transcription stream",
        Accounted("gpt-4o-transcribe", per_million((42, "6"), (36, "10")), 42, 36),
        kind="events",
        model="gpt-4o-transcribe",
        file=CLIP,
    ),
    use(lambda c: c.files.create, **FORM_OPTIONS)(
        "a file", Accounted("", FREE), file=("notes.txt", b"some notes"), purpose="user_data"
    ),
]

FAILING_CALLS = [
    failing(400, "BadRequestError", "invalid_request_error"),
    failing(401, "AuthenticationError", "invalid_request_error"),
    failing(404, "NotFoundError", "invalid_request_error"),
    failing(429, "RateLimitError", "requests"),
    failing(500, "InternalServerError", "server_error"),
    failing(529, "InternalServerError", "server_error"),
    chat(
        "chat stream fails before it begins",
        Accounted("fail-429", FREE),
        **EVENTS,
        asked_for_usage=True,
        model="fail-429",
        status=429,
        raises="RateLimitError",
        error_type="requests",
    ),
    chat(
        "chat stream with an error in it",
        ESTIMATED,
        **EVENTS,
        asked_for_usage=True,
        model="gpt-4o-mini+error-3",
        raises="APIError",
        error_type="server_error",
    ),
    chat(
        "chat stream that the provider breaks",
        ESTIMATED,
        **EVENTS,
        asked_for_usage=True,
        model="gpt-4o-mini+break-3",
        raises="APIConnectionError",
        error_type="upstream_broken",
    ),
    chat(
        "compressed chat stream that the provider breaks",
        ESTIMATED,
        **EVENTS,
        stream_options=USAGE,
        model="gpt-4o-mini+break-3+gzip",
        raises="APIConnectionError",
        error_type="upstream_broken",
    ),
    responses(
        "response stream that the provider breaks",
        Accounted("gpt-4o-2024-08-06", estimated=True),
        **EVENTS,
        model="gpt-4o+break-5",
        raises="APIConnectionError",
        error_type="upstream_broken",
    ),
]

CALLS = [*CHAT_CALLS, *OTHER_CALLS, *MEDIA_CALLS, *FAILING_CALLS]
