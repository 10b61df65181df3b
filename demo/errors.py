"""Errors in the providers' own shapes, as their API references document them; pure.

OpenAI: https://platform.openai.com/docs/guides/error-codes
Anthropic: https://docs.anthropic.com/en/api/errors
"""

import json

from demo.call import JSON, Call, Headers, Reply, compact

RETRY_AFTER_SECONDS = 2

_OPENAI = {
    400: ("invalid_request_error", None, "Invalid value for 'messages': fake failure."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-fake."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Not supported here."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
    529: ("server_error", "overloaded", "The engine is currently overloaded."),
}
_ANTHROPIC = {
    400: ("invalid_request_error", "messages: fake failure"),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use this resource."),
    404: ("not_found_error", "model: fake"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}


def _retry_headers(status: int) -> Headers:
    if status != 429:
        return []
    return [
        (b"retry-after", b"%d" % RETRY_AFTER_SECONDS),
        (b"retry-after-ms", b"%d" % (RETRY_AFTER_SECONDS * 1000)),
    ]


def openai_error(
    status: int, kind: str, message: str, code: str | None = None, param: str | None = None
) -> Reply:
    error = {"message": message, "type": kind, "param": param, "code": code}
    body = json.dumps({"error": error}, indent=4).encode() + b"\n"
    return Reply([body], status=status, headers=_retry_headers(status))


def openai_failure(status: int) -> Reply:
    """The error that OpenAI answers with this status."""
    default = _OPENAI[500] if status >= 500 else _OPENAI[400]
    kind, code, message = _OPENAI.get(status, default)
    param = "messages" if status == 400 else None
    return openai_error(status, kind, message, code, param)


def openai_error_event() -> JSON:
    """What stands in a chat stream that fails in the middle."""
    kind, code, message = _OPENAI[500]
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic_error(call: Call, status: int, kind: str, message: str) -> Reply:
    body = {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": call.ident("req_011C", 20),
    }
    headers = [*_retry_headers(status)[:1], (b"x-should-retry", should_retry(status))]
    return Reply([compact(body)], status=status, headers=headers)


def should_retry(status: int) -> bytes:
    return b"true" if status == 429 or status >= 500 else b"false"


def anthropic_failure(call: Call, status: int) -> Reply:
    """The error that Anthropic answers with this status."""
    default = _ANTHROPIC[500] if status >= 500 else _ANTHROPIC[400]
    kind, message = _ANTHROPIC.get(status, default)
    return anthropic_error(call, status, kind, message)


def anthropic_error_event() -> JSON:
    """What stands in a stream of messages that fails in the middle."""
    kind, message = _ANTHROPIC[529]
    return {"type": "error", "error": {"type": kind, "message": message}}
