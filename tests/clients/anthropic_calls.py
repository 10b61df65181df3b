"""The calls of the `anthropic` SDK that are made both ways, and what each costs.

Tokens are those that the fake provider counts (a token for four characters of the prompt's
JSON, one a word of the answer). Prices in dollars a million: Sonnet 4.5 is 3 and 15, Haiku
4.5 is 0.80 and 4 on TokenWatch's own price sheet; cache reads are a tenth of the input's
price, writes 1.25 times (5 minutes) and twice (1 hour) of it.
"""

from functools import partial
from typing import Any

from tests.clients.calls import Accounted, Call, per_million, uses

HELLO: Any = [{"role": "user", "content": "Say hello to the proxy"}]
TOOLS = [
    {
        "name": "get_weather",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
        },
    }
]
THINKING = {"type": "enabled", "budget_tokens": 1024}
SONNET = "claude-sonnet-4-5-20250929"
HAIKU = "claude-haiku-4-5-20251001"

EVENTS: dict[str, Any] = {"kind": "events", "stream": True}
FREE = per_million()

SAID = Accounted(SONNET, per_million((16, "3"), (7, "15")), 16, 7)
CACHED = Accounted(
    SONNET,
    per_million((16, "3"), (2048, "0.30"), (512, "3.75"), (256, "6"), (7, "15")),
    input=16,
    output=7,
    cache_read=2048,
    cache_write=512,
    cache_write_1h=256,
)
USED_A_TOOL = Accounted(SONNET, per_million((49, "3"), (38, "15")), 49, 38)
THOUGHT = Accounted(SONNET, per_million((16, "3"), (63, "15")), 16, 63)
SAID_BY_HAIKU = Accounted(HAIKU, per_million((16, "0.80"), (7, "4")), 16, 7)


use = partial(uses, "anthropic")

ASKED: dict[str, Any] = {"messages": HELLO}
BODY: dict[str, Any] = {**ASKED, "model": "claude-sonnet-4-5+stream-7-0", "max_tokens": 2000}

messages = use(lambda c: c.messages.create, **BODY)
helper = use(lambda c: c.messages.stream, **BODY)
beta = use(lambda c: c.beta.messages.create, **BODY, betas=["context-1m-2025-08-07", "x-1"])


def failing(status: int, raises: str, error_type: str) -> Call:
    model = f"fail-{status}"
    return messages(
        f"message fails with {status}",
        Accounted(model, FREE),
        model=model,
        status=status,
        raises=raises,
        error_type=error_type,
    )


ANSWERED_CALLS = [
    messages("message", SAID),
    messages("message, compressed", SAID, model="claude-sonnet-4-5+stream-7-0+gzip"),
    messages("message by the sheet's price", SAID_BY_HAIKU, model="claude-haiku-4-5+stream-7-0"),
    messages("message with cached tokens", CACHED, model="claude-sonnet-4-5+stream-7-0+cached"),
    messages("message with a tool", USED_A_TOOL, tools=TOOLS),
    messages("message with thinking", THOUGHT, thinking=THINKING),
    use(lambda c: c.messages.with_raw_response.create, **BODY)("message, raw", SAID),
    beta("beta message", SAID),
    beta("beta message stream", SAID, **EVENTS),
    messages("message stream", SAID, **EVENTS),
    messages(
        "message stream, compressed", SAID, **EVENTS, model="claude-sonnet-4-5+stream-7-0+gzip"
    ),
    messages(
        "message stream with cached tokens",
        CACHED,
        **EVENTS,
        model="claude-sonnet-4-5+stream-7-0+cached",
    ),
    helper(
        "message stream by the helper",
        SAID,
        **{**EVENTS, "kind": "helper"},
        final="get_final_message",
    ),
    helper(
        "message stream with a tool, by the helper",
        USED_A_TOOL,
        **{**EVENTS, "kind": "helper"},
        final="get_final_message",
        tools=TOOLS,
    ),
    use(lambda c: c.messages.count_tokens, **ASKED)(
        "count of tokens", Accounted("claude-sonnet-4-5", FREE), model="claude-sonnet-4-5"
    ),
    use(lambda c: c.models.list)("models", Accounted("", FREE)),
]

FAILING_CALLS = [
    failing(400, "BadRequestError", "invalid_request_error"),
    failing(401, "AuthenticationError", "authentication_error"),
    failing(404, "NotFoundError", "not_found_error"),
    failing(429, "RateLimitError", "rate_limit_error"),
    failing(500, "InternalServerError", "api_error"),
    failing(529, "OverloadedError", "overloaded_error"),
    messages(
        "message stream fails before it begins",
        Accounted("fail-529", FREE),
        **EVENTS,
        model="fail-529",
        status=529,
        raises="OverloadedError",
        error_type="overloaded_error",
    ),
    messages(
        "message stream with an error in it",
        Accounted(SONNET, estimated=True),
        **EVENTS,
        model="claude-sonnet-4-5+error-4",
        raises="APIStatusError",
        error_type="overloaded_error",
    ),
    messages(
        "message stream that the provider breaks",
        Accounted(SONNET, estimated=True),
        **EVENTS,
        model="claude-sonnet-4-5+break-4",
        raises="RemoteProtocolError",
        error_type="upstream_broken",
    ),
    messages(
        "compressed message stream that the provider breaks",
        Accounted(SONNET, estimated=True),
        **EVENTS,
        model="claude-sonnet-4-5+break-4+gzip",
        raises="RemoteProtocolError",
        error_type="upstream_broken",
    ),
]

CALLS = [*ANSWERED_CALLS, *FAILING_CALLS]
