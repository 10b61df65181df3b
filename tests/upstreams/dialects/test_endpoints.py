"""What a path is and whether it is billed."""

import pytest

from upstreams.dialects import DIALECTS
from upstreams.dialects.base import Endpoint

OPENAI = {
    "v1/chat/completions": Endpoint("chat", "tokens", True),
    "chat/completions": Endpoint("chat", "tokens", True),
    "/v1/chat/completions/": Endpoint("chat", "tokens", True),
    "api/paas/v4/chat/completions": Endpoint("chat", "tokens", True),
    "api/coding/paas/v4/chat/completions": Endpoint("chat", "tokens", True),
    "openai/deployments/gpt-4o/chat/completions": Endpoint("chat", "tokens", True),
    "openai/v1/chat/completions": Endpoint("chat", "tokens", True),
    "v1/completions": Endpoint("completions", "tokens", True),
    "beta/completions": Endpoint("completions", "tokens", True),
    "openai/deployments/x/completions": Endpoint("completions", "tokens", True),
    "v1/responses": Endpoint("responses", "tokens"),
    "v1/responses/compact": Endpoint("responses", "tokens"),
    "v1/responses/input_tokens": Endpoint("count_tokens", "free"),
    "v1/responses/resp_1/cancel": Endpoint("other", "free"),
    "v1/embeddings": Endpoint("embeddings", "tokens"),
    "v1/images/generations": Endpoint("images", "units"),
    "v1/images/edits": Endpoint("images", "units"),
    "v1/images/variations": Endpoint("images", "units"),
    "v1/audio/speech": Endpoint("speech", "units"),
    "v1/audio/transcriptions": Endpoint("transcriptions", "units"),
    "v1/audio/translations": Endpoint("transcriptions", "units"),
    "v1/moderations": Endpoint("moderations", "free"),
    "v1/files": Endpoint("other", "free"),
    "v1/uploads": Endpoint("other", "free"),
    "v1/uploads/upload_1/parts": Endpoint("other", "free"),
    "v1/uploads/upload_1/complete": Endpoint("other", "free"),
    "v1/batches": Endpoint("other", "free"),
    "v1/batches/batch_1/cancel": Endpoint("other", "free"),
    "v1/models": Endpoint("other", "free"),
    # Storing a name for a completion returns the completion, usage and all, a second time.
    "v1/chat/completions/chatcmpl-1": Endpoint("other", "free"),
    "v1/videos": Endpoint("other", "unknown"),
    "v1/rerank": Endpoint("other", "unknown"),
    "v1/cancel": Endpoint("other", "unknown"),
    "": Endpoint("other", "unknown"),
    "/": Endpoint("other", "unknown"),
    "v1/myresponses": Endpoint("other", "unknown"),
}
ANTHROPIC = {
    "v1/messages": Endpoint("messages", "tokens"),
    "api/anthropic/v1/messages": Endpoint("messages", "tokens"),
    "v1/messages/count_tokens": Endpoint("count_tokens", "free"),
    "v1/messages/batches": Endpoint("other", "unknown"),
    "v1/messages/batches/msgbatch_1/cancel": Endpoint("other", "free"),
    "v1/complete": Endpoint("completions", "tokens"),
    "v1/files": Endpoint("other", "free"),
    "v1/models": Endpoint("other", "free"),
    "api/event_logging/batch": Endpoint("other", "free"),
    "v1/sessions": Endpoint("other", "unknown"),
    "": Endpoint("other", "unknown"),
}


@pytest.mark.parametrize(("path", "expected"), OPENAI.items())
def test_openai_posts(path, expected):
    assert DIALECTS["openai"].endpoint("POST", path) == expected


@pytest.mark.parametrize(("path", "expected"), ANTHROPIC.items())
def test_anthropic_posts(path, expected):
    assert DIALECTS["anthropic"].endpoint("POST", path) == expected


@pytest.mark.parametrize("api_type", DIALECTS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_reading_and_deleting_is_free(api_type, method):
    for path in [*OPENAI, *ANTHROPIC, "v1/messages/batches/msgbatch_1/results"]:
        assert DIALECTS[api_type].endpoint(method, path) == Endpoint("other", "free")


@pytest.mark.parametrize("api_type", DIALECTS)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "QUERY"])
def test_other_methods_are_not_known_to_be_billed(api_type, method):
    assert DIALECTS[api_type].endpoint(method, "v1/chat/completions").billing == "unknown"


def test_each_dialect_is_named_as_its_urls_are():
    assert {name: dialect.api_type for name, dialect in DIALECTS.items()} == {
        "openai": "openai",
        "anthropic": "anthropic",
    }
