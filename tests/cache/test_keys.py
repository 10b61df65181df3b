"""The exact key: what is the same request, and what is not."""

import json
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cache.keys import IGNORED, Asked, compared, keyed

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
NAMES = st.sampled_from(
    ["model", "messages", "user", "metadata", "stream", "temperature", "a", "tools", "é"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(NAMES, VALUES, max_size=5)
KINDS = st.sampled_from(sorted(IGNORED))


def spelled(data, *, indent=None, reverse=False, ascii_only=True):
    if reverse and isinstance(data, dict):
        data = dict(reversed(data.items()))
    return json.dumps(data, indent=indent, ensure_ascii=ascii_only).encode()


def asked(body, kind="chat", **more):
    values = {
        "api_type": "openai",
        "path": "v1/chat/completions",
        "query": "",
        "headers": [(b"authorization", b"Bearer me"), (b"user-agent", b"x")],
        "stream": False,
        **more,
    }
    return Asked(kind=kind, body=body, data=orjson.loads(body), **values)


def key(body, kind="chat", model="m", **more):
    return keyed(asked(body, kind, **more)).key(model)


def counted(data, kind):
    """The body as it counts: equal ones, and no others, may share a key. Strict about types,
    as true is not 1 and 1 is not 1.0 to every provider."""
    kept = {name: value for name, value in data.items() if name not in IGNORED[kind]}
    if isinstance(kept.get("model"), str):
        kept["model"] = "a model"
    return typed(kept)


def typed(value):
    if isinstance(value, dict):
        return frozenset((name, typed(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return tuple(typed(inner) for inner in value)
    return type(value).__name__, repr(value)


@given(BODIES, BODIES, KINDS)
@example({"a": 1}, {"a": 1.0}, "chat")
@example({"a": True}, {"a": 1}, "chat")
@example({"a": None}, {}, "chat")
@example({"stream": False}, {}, "chat")
@example({"user": "one"}, {"user": "two"}, "chat")
@example({"user": "one"}, {"user": "two"}, "responses")
@example({"metadata": {"user_id": "a"}}, {}, "messages")
@example({"metadata": {"user_id": "a"}}, {}, "chat")
@example({"model": "a"}, {"model": "b"}, "chat")
@example({"model": True}, {"model": "b"}, "chat")
def test_two_bodies_share_a_key_only_if_they_are_equal(one, other, kind):
    equal = counted(one, kind) == counted(other, kind)
    if key(spelled(one), kind) == key(spelled(other), kind):
        assert equal
    elif equal:  # where a number may have been rounded, the bytes themselves count
        assert sum(character.isdigit() for character in json.dumps([one, other])) >= 16


@given(BODIES, KINDS)
def test_the_spelling_of_the_json_does_not_matter(data, kind):
    plain = key(spelled(data), kind)
    digits = sum(character.isdigit() for character in json.dumps(data))
    if digits < 16:  # where a number may have been rounded, the bytes themselves count
        assert key(spelled(data, indent=2), kind) == plain
        assert key(spelled(data, reverse=True, ascii_only=False), kind) == plain


@given(BODIES, st.data())
def test_changing_any_one_value_changes_the_key(data, draw):
    paths = [path for path in walk(data) if path[0] not in ("user", "model")]
    if not paths:
        return
    path = draw.draw(st.sampled_from(paths))
    other = deepcopy(data)
    place = other
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = [place[path[-1]], "changed"]
    assert key(spelled(data)) != key(spelled(other))


def walk(value, path=()):
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for step, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from walk(one, (*path, step))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"seed":18446744073709551616}', b'{"seed":18446744073709551617}'),
        (b'{"seed":36893488147419103232}', b'{"seed":36893488147419103233}'),
        (b'{"top_p":0.1000000000000000055}', b'{"top_p":0.1000000000000000056}'),
        (b'{"top_p":1234567890.12345678901}', b'{"top_p":1234567890.12345678902}'),
    ],
)
def test_numbers_that_a_parser_rounds_are_told_apart(one, other):
    assert orjson.loads(one) == orjson.loads(other)
    assert key(one) != key(other)


FULL: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "u"}]},
    ],
    "temperature": 0,
    "top_p": 1,
    "max_tokens": 5,
    "seed": 1,
    "stop": ["x"],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": {}}}}],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "stream_options": {"include_usage": True},
    "logit_bias": {"1": 2},
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "logprobs": True,
    "metadata": {"a": "b"},
    "service_tier": "auto",
    "reasoning_effort": "low",
    "parallel_tool_calls": True,
    "something_new": {"deep": [1, {"er": 2}]},
}


@pytest.mark.parametrize("path", list(walk(FULL)), ids=str)
def test_a_mutation_of_any_field_is_another_key(path):
    original = key(spelled(FULL))
    for mutate in (lambda value: [value, 1], lambda value: None if value is not None else 1):
        body = deepcopy(FULL)
        place = body
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = mutate(place[path[-1]])
        assert key(spelled(body)) != original
        del place[path[-1]]
        assert key(spelled(body)) != original


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"api_type": "anthropic"},
        {"path": "v1/completions"},
        {"query": "a=b"},
        {"stream": True},
        {"route": "eu"},
        {"caller": "7"},
        {"headers": []},
        {"headers": [(b"authorization", b"Bearer you")]},
        {"headers": [(b"authorization", b"Bearer me"), (b"x-api-key", b"k")]},
        {"headers": [(b"authorization", b"Bearer me"), (b"anthropic-beta", b"k")]},
        {"headers": [(b"x-api-key", b"Bearer me")]},
        {"headers": [(b"cookie", b"a")]},
    ],
)
def test_who_asks_what_where_is_part_of_the_key_and_of_the_partition(change):
    body = spelled(FULL)
    assert key(body, **change) != key(body)
    assert partition(FULL, **change) != partition(FULL)


def test_trace_headers_and_cookies_beside_a_credential_do_not_matter():
    headers = [
        (b"authorization", b"Bearer me"),
        (b"cookie", b"__cf_bm=1"),
        (b"traceparent", b"00-1-1-01"),
        (b"x-stainless-retry-count", b"1"),
    ]
    assert key(spelled(FULL), headers=headers) == key(spelled(FULL))


def partition(data, kind="chat", model="m", **more):
    found = compared(asked(spelled(data), kind, **more))
    return found.partition(model) if found else None


def with_text(text):
    body = deepcopy(FULL)
    body["messages"][1]["content"][0]["text"] = text
    return body


def test_only_the_last_user_text_is_apart_from_the_partition():
    assert partition(with_text("another")) == partition(FULL)
    found = compared(asked(spelled(with_text("another"))))
    assert found is not None
    assert found.text == "another"


PARTS = [p for p in walk(FULL) if p != ("messages", 1, "content", 0, "text")]


@pytest.mark.parametrize("path", PARTS, ids=str)
def test_all_else_is_part_of_the_partition(path):
    body = deepcopy(FULL)
    place = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = [place[path[-1]], 1]
    assert partition(body) != partition(FULL)


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("chat", {"messages": [{"role": "user", "content": "a"}]}, "a"),
        ("messages", {"messages": [{"role": "user", "content": "a"}]}, "a"),
        ("responses", {"input": "a"}, "a"),
        ("responses", {"input": [{"role": "user", "content": "a"}]}, "a"),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]},
            "a",
        ),
        ("completions", {"prompt": "a"}, "a"),
        ("completions", {"prompt": ["a"]}, None),
        ("embeddings", {"input": "a"}, None),
        ("chat", {"messages": []}, None),
        ("chat", {"messages": "a"}, None),
        ("chat", {"messages": [{"role": "user", "content": " "}]}, None),
        ("chat", {"messages": [{"role": "assistant", "content": "a"}]}, None),
        (
            "messages",
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "{"}]},
            None,
        ),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "a"}]}]},
            None,
        ),
        (
            "chat",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 2}]},
            None,
        ),
    ],
)
def test_the_text_that_is_compared(kind, data, text):
    found = compared(asked(spelled(data), kind))
    assert (found.text if found else None) == text
