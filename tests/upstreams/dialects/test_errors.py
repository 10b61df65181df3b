"""Errors read from answers, and errors in the provider's shape for its SDK."""

from typing import Any

import anthropic
import httpx2
import openai
import orjson
import pytest

from tests.upstreams.dialects.listening import ANTHROPIC, OPENAI, whole
from upstreams.dialects.base import Answer
from upstreams.dialects.errors import failing_status

SHAPES = [
    ({"error": {"type": "invalid_request_error", "code": "x"}}, "invalid_request_error"),
    ({"error": {"type": None, "code": "model_not_found"}}, "model_not_found"),
    ({"error": {"code": "1113", "message": "Insufficient balance"}}, "1113"),
    ({"error": {"code": 429, "message": "Rate limited"}}, "429"),
    ({"error": {"message": "No type, no code"}}, "error"),
    ({"error": {"type": "", "code": True}}, "error"),
    ({"error": {"type": "A whole sentence, with words."}}, "error"),
    ({"error": "not_found"}, "not_found"),
    ({"error": "The model does not exist"}, "error"),
    ({"error": ["odd"]}, ""),
    ({"error": {}}, ""),
    ({"error": ""}, ""),
    ({"error": None}, ""),
    ({"object": "error", "type": "BadRequestError", "code": 400}, "BadRequestError"),
    ({"detail": "Not authenticated"}, ""),
    ({"detail": [{"loc": ["body"], "msg": "field required"}]}, ""),
    ({"message": "no Route matched with those values"}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("body", "expected"), SHAPES)
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=lambda dialect: dialect.api_type)
def test_error_answers(dialect, body, expected):
    assert whole(dialect, body).error_type == expected


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (OPENAI, {"error": {"type": "invalid_request_error"}}),
        (ANTHROPIC, {"type": "error", "error": {"type": "rate_limit_error", "message": "x"}}),
    ],
    ids=["openai", "anthropic"],
)
def test_an_error_instead_of_an_answer_is_a_complete_answer(dialect, body):
    answer = whole(dialect, body)
    assert answer.complete
    assert answer.error_type == body["error"]["type"]


def test_a_failed_response_keeps_its_usage():
    answer = whole(
        OPENAI,
        {
            "object": "response",
            "status": "failed",
            "model": "gpt-5.6-sol",
            "error": {"code": "server_error", "message": "x"},
            "usage": {"input_tokens": 5, "output_tokens": 1},
        },
    )
    assert (answer.error_type, answer.finish_reason, answer.complete) == (
        "server_error",
        "failed",
        True,
    )
    assert answer.usage == {"input_tokens": 5, "output_tokens": 1}


def test_text_instead_of_json_ends_a_stream_only_where_it_says_so():
    for dialect in (OPENAI, ANTHROPIC):
        answer = Answer()
        dialect.absorb_text(answer, b"<html>502 Bad Gateway</html>")
        dialect.absorb_text(answer, b'"[DONE]"')
        assert not answer.complete
        dialect.absorb_text(answer, b" [DONE]")
        assert answer.complete


STATUSES = {
    400: ("BadRequestError", "invalid_request_error", "invalid_request_error"),
    401: ("AuthenticationError", "invalid_request_error", "authentication_error"),
    403: ("PermissionDeniedError", "invalid_request_error", "permission_error"),
    404: ("NotFoundError", "invalid_request_error", "not_found_error"),
    408: ("APIStatusError", "invalid_request_error", "timeout_error"),
    413: ("APIStatusError", "invalid_request_error", "request_too_large"),
    422: ("UnprocessableEntityError", "invalid_request_error", "invalid_request_error"),
    429: ("RateLimitError", "rate_limit_error", "rate_limit_error"),
    500: ("InternalServerError", "server_error", "api_error"),
    502: ("InternalServerError", "server_error", "api_error"),
    503: ("InternalServerError", "server_error", "overloaded_error"),
    504: ("InternalServerError", "server_error", "timeout_error"),
    529: ("InternalServerError", "server_error", "overloaded_error"),
}


def answering(dialect, status):
    body = dialect.error_body(status, "Upstream x: “down”", "upstream_timeout")

    def handle(request):
        headers = {"content-type": "application/json"}
        return httpx2.Response(status, content=body, headers=headers)

    return httpx2.Client(transport=httpx2.MockTransport(handle))


@pytest.mark.parametrize("status", STATUSES)
def test_openais_sdk_raises_its_own_exception(status):
    exception, kind, _ = STATUSES[status]
    http = answering(OPENAI, status)
    client = openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=http, max_retries=0)
    with pytest.raises(getattr(openai, exception)) as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.status_code == status
    assert (caught.value.type, caught.value.code) == (kind, "upstream_timeout")
    assert "Upstream x: “down”" in caught.value.message


@pytest.mark.parametrize("status", STATUSES)
def test_anthropics_sdk_raises_its_own_exception(status):
    exception, _, kind = STATUSES[status]
    http = answering(ANTHROPIC, status)
    client = anthropic.Anthropic(api_key="k", base_url="http://x", http_client=http, max_retries=0)
    with pytest.raises(getattr(anthropic, exception)) as caught:
        client.messages.create(
            model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}]
        )
    assert caught.value.status_code == status
    assert caught.value.body == {
        "type": "error",
        "error": {"type": kind, "message": "Upstream x: “down”", "code": "upstream_timeout"},
    }


def test_openais_error_has_all_four_members():
    body = orjson.loads(OPENAI.error_body(429, "m", "budget_exceeded"))
    assert body == {
        "error": {
            "message": "m",
            "type": "rate_limit_error",
            "code": "budget_exceeded",
            "param": None,
        }
    }


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, 529),
        ({"type": "error", "error": {"type": "rate_limit_error"}}, 429),
        ({"type": "error", "error": {"type": "api_error"}}, 500),
        ({"error": {"type": "server_error", "code": None}}, 500),
        ({"error": {"type": "tokens", "code": "rate_limit_exceeded"}}, 429),
        ({"error": {"code": 502, "message": "m"}}, 502),
        ({"error": {"code": "503"}}, 503),
        ({"type": "error", "code": "server_error", "message": "m"}, 500),
        ({"object": "error", "type": "internal_server_error", "code": 500}, 500),
        ({"error": "overloaded"}, 529),
        # the client's, and no errors at all
        ({"type": "error", "error": {"type": "invalid_request_error"}}, 0),
        ({"error": {"code": 400}}, 0),
        ({"error": {"type": "content_filter", "code": "content_policy_violation"}}, 0),
        ({"error": "a sentence about something overloaded"}, 0),
        ({"error": None, "choices": []}, 0),
        ({"type": "message_start", "message": {}}, 0),
        ({"type": "api_error"}, 0),
        ({"error": {"code": True}}, 0),
        ({"error": {"type": ["x"], "code": {}}}, 0),
        ({}, 0),
    ],
)
def test_an_error_event_stands_for_a_status(event: dict[str, Any], status: int) -> None:
    assert failing_status(event) == status
