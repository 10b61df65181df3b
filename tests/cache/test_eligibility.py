"""What may be answered from the cache, and what never."""

import json

import pytest

from cache.eligibility import Wish, judge, wish

CHAT = {"model": "m", "messages": [{"role": "user", "content": "a"}]}


def verdict(data, kind="chat", method="POST", header="", ttl=100):
    body = json.dumps(data).encode() if data is not None else b"x"
    return judge(method=method, kind=kind, body=body, data=data, header=header, ttl=ttl)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("chat", CHAT),
        ("chat", {**CHAT, "temperature": 0}),
        ("chat", {**CHAT, "temperature": 0.0, "n": 1}),
        ("chat", {**CHAT, "temperature": None, "tool_choice": "auto", "tools": []}),
        ("chat", {**CHAT, "tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("messages", {**CHAT, "tool_choice": {"type": "auto"}, "tools": [{"name": "f"}]}),
        ("messages", {**CHAT, "tools": [{"type": "bash_20250124", "name": "bash"}]}),
        ("completions", {"prompt": "a", "best_of": 1}),
        ("responses", {"input": "a", "store": False}),
    ],
)
def test_these_may_be_answered_and_kept(kind, data):
    found = verdict(data, kind)
    assert found.reason == ""
    assert found.reads
    assert found.keeps
    assert found.semantic
    assert found.ttl == 100


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        ("chat", {**CHAT, "temperature": 0.1}, "temperature"),
        ("chat", {**CHAT, "temperature": False}, "temperature"),
        ("chat", {**CHAT, "temperature": "0"}, "temperature"),
        ("chat", {**CHAT, "n": 2}, "several choices"),
        ("chat", {**CHAT, "n": True}, "several choices"),
        ("completions", {"prompt": "a", "best_of": 3}, "several choices"),
        ("chat", {**CHAT, "tool_choice": "required"}, "a tool is required"),
        ("chat", {**CHAT, "tool_choice": {"type": "function"}}, "a tool is required"),
        ("chat", {**CHAT, "function_call": {"name": "f"}}, "a tool is required"),
        ("messages", {**CHAT, "tool_choice": {"type": "any"}}, "a tool is required"),
        ("messages", {**CHAT, "tool_choice": {"type": "tool"}}, "a tool is required"),
        ("responses", {"input": "a", "tool_choice": "required"}, "a tool is required"),
        ("responses", {"input": "a", "background": True}, "background"),
        ("responses", {"input": "a", "conversation": "c"}, "conversation"),
        ("responses", {"input": "a", "tools": [{"type": "mcp"}]}, "the provider's own tools"),
        (
            "messages",
            {**CHAT, "tools": [{"type": "web_search_20250305"}]},
            "the provider's own tools",
        ),
        ("messages", {**CHAT, "tools": [{"type": 5}]}, "the provider's own tools"),
        ("images", {"prompt": "a"}, "endpoint"),
        ("count_tokens", CHAT, "endpoint"),
        ("chat", None, "body is not a JSON object"),
    ],
)
def test_these_never_are_and_the_reason_is_told(kind, data, reason):
    found = verdict(data, kind)
    assert found.reason == reason
    assert not found.reads
    assert not found.keeps


def test_only_post_is_cached():
    assert verdict(CHAT, method="GET").reason == "endpoint"


@pytest.mark.parametrize(
    ("kind", "data", "why"),
    [
        ("embeddings", {"input": "a"}, "embeddings"),
        ("chat", {**CHAT, "store": True}, "stored by the provider"),
        ("responses", {"input": "a"}, "stored by the provider"),
        (
            "responses",
            {"input": "a", "store": False, "previous_response_id": "r"},
            "goes on from a stored response",
        ),
        ("chat", {**CHAT, "audio": {"voice": "a"}}, "files, images or audio"),
        (
            "chat",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "files, images or audio",
        ),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]},
            "files, images or audio",
        ),
        (
            "responses",
            {
                "store": False,
                "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}],
            },
            "files, images or audio",
        ),
        ("chat", {**CHAT, "modalities": ["text", "audio"]}, "files, images or audio"),
    ],
)
def test_these_are_for_the_exact_tier_alone(kind, data, why):
    found = verdict(data, kind)
    assert found.reason == ""
    assert found.exact_only == why
    assert not found.semantic


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("no-store", Wish(False, False)),
        ("no-cache", Wish(False, True)),
        ("ttl=60", Wish(ttl=60)),
        (" No-Cache , TTL=5,", Wish(False, True, 5)),
        ("", Wish()),
    ],
)
def test_what_a_client_asks_for(header, expected):
    assert wish(header) == expected


@pytest.mark.parametrize("header", ["nostore", "ttl=-1", "ttl=", "ttl=1.5", "max-age=5"])
def test_what_cannot_be_understood_keeps_the_cache_out(header):
    found = verdict(CHAT, header=header)
    assert header in found.reason
    assert not found.reads
    assert not found.keeps


@pytest.mark.parametrize(("header", "ttl"), [("ttl=5", 5), ("ttl=500", 100), ("", 100)])
def test_a_ttl_is_clamped_to_the_setting(header, ttl):
    assert verdict(CHAT, header=header).ttl == ttl


def test_a_ttl_of_zero_keeps_the_cache_out():
    assert verdict(CHAT, header="ttl=0").reason == "ttl=0"
