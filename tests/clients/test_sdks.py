"""An SDK that is pointed at TokenWatch notices nothing, and the ledger notices everything.

Each call is made twice, to the provider and through TokenWatch in front of it. What the
program gets, what came over the wire, and what the provider saw must be the same.
"""

import asyncio
import itertools
import json
from dataclasses import replace

import pytest

from demo.fake_provider import Seen
from tests.clients import anthropic_calls, openai_calls
from tests.clients.calls import Call, Made, make, make_async
from tests.clients.conftest import Ways
from tests.clients.ledger import Row, tokens_of
from tests.clients.recording import Pairs, Side

CALLS = [*openai_calls.CALLS, *anthropic_calls.CALLS]
IDS = [f"{call.sdk}-{call.name}".replace(" ", "_") for call in CALLS]

_session = itertools.count(1)

LONGEST_TRAILER = 16
"""Bytes: an empty last block, and gzip's checksum and length."""

_COMPRESSION = frozenset({"content-encoding", "vary"})
# These belong to one connection, or to one way.
_NOT_COMPARED = frozenset({"host", "connection", "content-length", "accept-encoding"})


def made_by(mode: str, call: Call, side: Side) -> Made:
    return make(call, side) if mode == "sync" else asyncio.run(make_async(call, side))


def seen_of(ways: Ways, mode: str, call: Call, side: Side) -> tuple[Made, list[Seen]]:
    """Make a call; the requests that reached the provider meanwhile come with it."""
    ways.provider.seen.clear()
    made = made_by(mode, call, side)
    return made, list(ways.provider.seen)


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_a_call_is_the_same_both_ways_and_accounted_for(ways: Ways, call: Call, mode: str) -> None:
    session = f"call-{next(_session)}"
    direct, asked_directly = seen_of(ways, mode, call, ways.direct)
    proxied, asked = seen_of(ways, mode, call, ways.through_tokenwatch(session))

    assert proxied.outcome == direct.outcome
    raised = direct.outcome.raised
    assert (raised["class"] if raised else "") == call.raises
    assert direct.outcome.values or raised
    assert_same_answers(call, direct, proxied)
    assert len(asked_directly) == len(asked) == 1
    assert_same_request(call, asked_directly[0], asked[0])
    [row] = ways.rows.await_of(session, 1)
    assert_accounted(call, row, proxied)


def assert_same_answers(call: Call, direct: Made, proxied: Made) -> None:
    """Status, headers in their order, and the body's bytes before anything was decoded."""
    one, other = direct.answer, proxied.answer
    assert (one.status, other.status) == (call.status, call.status)
    assert len([name for name, _ in other.headers if name == "set-cookie"]) == 2
    if call.asked_for_usage and "gzip" in dict(one.headers).get("content-encoding", ""):
        # The usage that was asked for can only be taken out of what is not compressed. What
        # the program reads has been compared.
        assert other.provider_headers() == without(one.provider_headers(), _COMPRESSION)
        return
    assert other.provider_headers() == one.provider_headers()
    if call.stream and "content-encoding" in dict(one.headers):
        assert_same_but_for_the_end(one.body, other.body)
    else:
        assert other.body == one.body


def assert_same_but_for_the_end(one: bytes, other: bytes) -> None:
    """The SDKs leave at a stream's last event, and the few bytes by which the compression
    ends after it may have come by then, or not."""
    shorter, longer = sorted((one, other), key=len)
    assert longer.startswith(shorter)
    assert len(longer) - len(shorter) <= LONGEST_TRAILER


def without(headers: Pairs, names: frozenset[str]) -> Pairs:
    return [pair for pair in headers if pair[0] not in names]


def assert_same_request(call: Call, direct: Seen, proxied: Seen) -> None:
    """What the provider saw, but for what TokenWatch asks for beyond it."""
    assert (proxied.method, proxied.path, proxied.query) == (
        direct.method,
        direct.path,
        direct.query,
    )
    assert compared(proxied) == compared(direct)
    assert not [name for name, _ in proxied.headers if name.startswith(b"x-tokenwatch")]
    length = proxied.header("content-length")
    assert length == (str(len(proxied.body)) if direct.header("content-length") else None)
    if call.asked_for_usage:
        asked = {**json.loads(direct.body), "stream_options": {"include_usage": True}}
        assert json.loads(proxied.body) == asked
        assert proxied.header("accept-encoding") == "identity"
    else:
        assert proxied.body == direct.body
        assert proxied.header("accept-encoding") == direct.header("accept-encoding")


def compared(seen: Seen) -> list[tuple[bytes, bytes]]:
    return [(k, v) for k, v in seen.headers if k.decode("latin-1") not in _NOT_COMPARED]


def assert_accounted(call: Call, row: Row, made: Made) -> None:
    """The row says what was asked and answered and what that cost; so do the headers."""
    ours = made.answer.ours()
    assert ours["request-id"] == row["request_id"]
    assert (row["status_code"], row["error_type"]) == (call.status, call.error_type)
    assert (bool(row["stream"]), row["source_app"]) == (call.stream, "sdk-tests")
    assert row["api_type"] == call.sdk
    found = tokens_of(row)
    if call.expect.estimated:
        assert found == replace(found, model=call.expect.model, estimated=True)
        assert found.input > 0
        assert found.cost is not None
        assert found.cost > 0
        return
    assert found == call.expect
    if "cost" in ours:
        assert ours["cost"] == f"{call.expect.cost:.10f}"
        assert ours["input-tokens"] == str(call.expect.input)
        assert ours["output-tokens"] == str(call.expect.output)


@pytest.mark.parametrize(
    "call",
    [
        replace(openai_calls.failing(500, "InternalServerError", "server_error"), retries=1),
        replace(anthropic_calls.failing(500, "InternalServerError", "api_error"), retries=1),
    ],
    ids=["openai", "anthropic"],
)
def test_retries_of_the_sdk_are_requests_of_their_own(ways: Ways, call: Call) -> None:
    session = f"retry-{next(_session)}"
    direct, asked_directly = seen_of(ways, "sync", call, ways.direct)
    proxied, asked = seen_of(ways, "sync", call, ways.through_tokenwatch(session))
    assert proxied.outcome == direct.outcome
    assert [seen.header("x-stainless-retry-count") for seen in asked] == ["0", "1"]
    for one, other in zip(asked_directly, asked, strict=True):
        assert_same_request(call, one, other)
    rows = ways.rows.await_of(session, 2)
    assert [row["request_id"] for row in rows] == [
        exchange.ours()["request-id"] for exchange in proxied.exchanges
    ]
