"""Streams put together are what the official SDKs make of them, and what would have come whole."""

import json
import random
from typing import Any

import httpx
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from demo.fake_provider import FakeProvider
from tests.proxy.streams import ANTHROPIC, OPENAI, chunk, sse
from upstreams.dialects.assemble import assemble

TOOL = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me of Rome."}]}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "chat, tools": (
        "/v1/chat/completions",
        {**CHAT, "tools": [{"type": "function", "function": {"name": "w", "parameters": TOOL}}]},
    ),
    "completions": ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Once"}),
    "responses": ("/v1/responses", {"model": "gpt-4o", "input": "Tell me of Rome."}),
    "responses, tools": (
        "/v1/responses",
        {
            "model": "gpt-4o",
            "input": "Rome",
            "tools": [{"type": "function", "name": "w", "parameters": TOOL}],
        },
    ),
    "messages": (
        "/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": CHAT["messages"]},
    ),
    "messages, tools and thinking": (
        "/v1/messages",
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 3000,
            "messages": CHAT["messages"],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "tools": [{"name": "w", "input_schema": TOOL}],
        },
    ),
}
VARYING = {
    "id",
    "created",
    "created_at",
    "completed_at",
    "signature",
    "call_id",
    "system_fingerprint",
}


async def ask(path: str, body: dict[str, Any], *, stream: bool) -> bytes:
    transport = httpx.ASGITransport(FakeProvider().app)
    async with httpx.AsyncClient(transport=transport, base_url="http://fake") as client:
        sent = {**body, "stream": stream}
        if stream and path.endswith("completions"):
            sent["stream_options"] = {"include_usage": True}
        headers = {"authorization": "Bearer k", "x-api-key": "k", "anthropic-version": "2023-06-01"}
        answer = await client.post(path, json=sent, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.content


def settled(value: Any) -> Any:
    """Without what differs from answer to answer, and without nulls and the empty lists that
    only whole answers spell out (``annotations``)."""
    if isinstance(value, dict):
        return {k: settled(v) for k, v in value.items() if k not in VARYING and v not in (None, [])}
    return [settled(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("call", CALLS)
async def test_a_stream_is_what_would_have_come_whole(call):
    path, body = CALLS[call]
    whole = json.loads(await ask(path, body, stream=False))
    found = assemble(await ask(path, body, stream=True))
    assert found is not None
    assert found.complete
    assert settled(found.body) == settled(whole)


def events_of(stream: bytes) -> list[Any]:
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


def without_index(message: dict[str, Any]) -> dict[str, Any]:
    for call in message.get("tool_calls") or []:
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    message.pop("parsed", None)
    return message


@pytest.mark.parametrize("call", ["chat", "chat, tools"])
async def test_chat_is_what_openais_sdk_makes_of_it(call):
    stream = await ask(*CALLS[call], stream=True)
    state: Any = ChatCompletionStreamState()
    for event in events_of(stream):
        state.handle_chunk(ChatCompletionChunk.model_validate(event))
    theirs = state.current_completion_snapshot.to_dict()
    found = assemble(stream)
    assert found is not None
    assert found.body["usage"] == theirs["usage"]
    assert len(found.body["choices"]) == len(theirs["choices"])
    for ours, other in zip(found.body["choices"], theirs["choices"], strict=True):
        assert settled(ours["message"]) == settled(without_index(other["message"]))
        assert ours["finish_reason"] == other["finish_reason"]


@pytest.mark.parametrize("call", ["messages", "messages, tools and thinking"])
async def test_messages_are_what_anthropics_sdk_makes_of_them(call):
    stream = await ask(*CALLS[call], stream=True)
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    adapter: Any = TypeAdapter(RawMessageStreamEvent)
    for event in events_of(stream):
        if event["type"] != "ping":
            parsed = adapter.validate_python(event)
            snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    found = assemble(stream)
    assert found is not None
    theirs = json.loads(snapshot.to_json())
    # What the SDK does not carry over from the end's usage is compared with the whole answer.
    assert settled(found.body["content"]) == settled(theirs["content"])
    assert found.body["stop_reason"] == theirs["stop_reason"]
    assert found.body["usage"]["output_tokens"] == theirs["usage"]["output_tokens"]


@pytest.mark.parametrize("call", CALLS)
async def test_any_beginning_of_a_stream_is_put_together(call):
    stream = await ask(*CALLS[call], stream=True)
    whole = assemble(stream)
    assert whole is not None
    random_ = random.Random(1)
    for cut in [random_.randrange(len(stream)) for _ in range(60)]:
        found = assemble(stream[:cut])
        assert found is None or isinstance(found.body, dict)
    half = assemble(stream[: len(stream) // 2])
    assert half is not None
    assert not half.complete


def test_recorded_streams():
    openai, anthropic = assemble(b"".join(OPENAI)), assemble(b"".join(ANTHROPIC))
    assert openai is not None
    assert anthropic is not None
    message = openai.body["choices"][0]["message"]
    assert message == {
        "role": "assistant",
        "content": 'The word "usage": {"x": 1} is harmless \u00fcn\u00efcode \U0001f600',
    }
    assert openai.body["object"] == "chat.completion"
    assert anthropic.complete
    assert anthropic.body["type"] == "message"


def test_what_hosts_do_differently():
    """The role in every chunk, tool calls without numbers, a call's name again and again."""
    first = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}}
    more = {"function": {"name": "f", "arguments": ":1}"}}
    other = {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    stream = sse(
        chunk({"role": "assistant", "reasoning_content": "hm"}),
        chunk({"role": "assistant", "reasoning_content": "m", "tool_calls": [first]}),
        chunk({"role": "assistant", "tool_calls": [more]}),
        chunk({"role": "assistant", "tool_calls": [other]}, "tool_calls"),
    )
    found = assemble(b"".join(stream).replace(b"\n", b"\r\n"))
    assert found is not None
    assert found.complete
    (choice,) = found.body["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "reasoning_content": "hmm",
        "tool_calls": [{**first, "function": {"name": "f", "arguments": '{"x":1}'}}, other],
    }


def test_an_error_in_a_stream_is_kept_and_makes_it_incomplete():
    stream = b"".join(sse(chunk({"content": "a"}), {"error": {"message": "no", "type": "x"}}))
    found = assemble(stream)
    assert found is not None
    assert not found.complete
    assert found.body["error"]["type"] == "x"
    assert found.body["choices"][0]["message"] == {"content": "a"}
    assert assemble(b"data: nonsense\n\n: comment\n\ndata: [1]\n\n") is None


def test_a_broken_off_tool_call_keeps_what_came():
    stream = sse(
        {"type": "message_start", "message": {"id": "m", "type": "message", "usage": {}}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "t", "name": "w", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": '{"city": "R'},
        },
        named=True,
    )
    found = assemble(b"".join(stream))
    assert found is not None
    assert not found.complete
    (block,) = found.body["content"]
    assert (block["input"], block["partial_input"]) == ({}, '{"city": "R')


def test_choices_that_come_in_turns():
    def part(index, **choice):
        return {**chunk(), "choices": [{"index": index, "delta": {}, **choice}]}

    log = {"content": [{"token": "a", "logprob": -1.0}]}
    stream = sse(
        part(1, delta={"content": "b"}, logprobs=log),
        part(0, delta={"content": "a"}),
        part(1, delta={"content": "B"}, logprobs=log, finish_reason="stop"),
        part(0, delta={"content": "A"}, finish_reason="length"),
    )
    found = assemble(b"".join(stream))
    assert found is not None
    assert found.complete
    first, second = found.body["choices"]
    assert (first["message"]["content"], first["finish_reason"]) == ("aA", "length")
    assert (second["message"]["content"], second["finish_reason"]) == ("bB", "stop")
    assert second["logprobs"]["content"] == log["content"] * 2
