"""What a program that uses an SDK sees of a budget that does not admit it."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from tests.clients import anthropic_calls, openai_calls
from tests.clients.calls import Call, make, make_async
from tests.clients.conftest import KILLED, SPENT, Ways

SDKS_OWN_RETRIES = 2
"""What both SDKs do unless they are told otherwise."""

_session = itertools.count(1)


def refused(call: Call) -> Call:
    return replace(call, retries=SDKS_OWN_RETRIES, status=429, raises="RateLimitError")


CALLS = [
    refused(next(call for call in openai_calls.CALLS if call.name == "chat")),
    refused(next(call for call in openai_calls.CALLS if call.name == "chat stream")),
    refused(next(call for call in openai_calls.CALLS if call.name == "response")),
    refused(next(call for call in anthropic_calls.CALLS if call.name == "message")),
    refused(next(call for call in anthropic_calls.CALLS if call.name == "message stream")),
]


@pytest.mark.parametrize(
    ("app", "code", "said"),
    [
        (SPENT, "budget_exceeded", "The budget 'Team A' (app:sdk-spent) does not leave enough"),
        (KILLED, "budget_killed", "The budget 'Team B' (app:sdk-killed) is blocked by its kill"),
    ],
)
@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.sdk}-{call.name}")
def test_a_refusal_is_raised_at_once_and_says_why(
    ways: Ways, call: Call, mode: str, app: str, code: str, said: str
) -> None:
    session = f"refused-{next(_session)}"
    side = ways.through_tokenwatch(session, app)
    ways.provider.seen.clear()
    made = make(call, side) if mode == "sync" else asyncio.run(make_async(call, side))

    raised = made.outcome.raised
    assert raised is not None
    assert (raised["class"], raised["status_code"]) == ("RateLimitError", 429)
    assert said in str(raised)
    assert "it resets at 2" in str(raised)
    assert code in str(raised)
    # No storm: the SDK, which would try twice more, asked once.
    assert len(made.exchanges) == 1
    assert list(ways.provider.seen) == []
    [row] = ways.rows.await_of(session, 1)
    assert (row["status_code"], row["error_type"]) == (429, code)
    assert (row["cost"], row["attempts"]) == (0, 0)
