"""What webhooks are told, and where they may go."""

import hashlib
import hmac
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.periods import Period
from budgets.scopes import PER_DOLLAR, BudgetSpec
from budgets.webhook_rules import (
    RETRY_AFTER,
    due_event,
    is_delivered,
    is_final,
    is_public,
    payload,
    retry_after,
    signature,
)

SPEC = BudgetSpec(
    id=1,
    name="checkout",
    scope="app",
    pattern="check*",
    unit="usd",
    limit=50 * PER_DOLLAR,
    period="monthly",
    time_zone="UTC",
    action="block",
    threshold=80,
)
PERIOD = Period(1_793_491_200.0, 1_796_083_200.0)


@pytest.mark.parametrize(
    ("dollars", "told", "expected"),
    [
        (39, set(), None),
        (40, set(), "approaching"),
        (40, {"approaching"}, None),
        (50, {"approaching"}, "exceeded"),
        (50, set(), "exceeded"),
        (50, {"exceeded"}, None),
        (45, {"exceeded"}, None),
    ],
)
def test_each_mark_is_told_once(dollars, told, expected):
    assert due_event(SPEC, dollars * PER_DOLLAR, told) == expected


@given(st.lists(st.integers(0, 60 * PER_DOLLAR), max_size=20))
def test_spend_that_grows_tells_each_event_at_most_once(steps):
    told: list[str] = []
    for spent in sorted(steps):
        if event := due_event(SPEC, spent, told):
            told.append(event)
    assert told in ([], ["approaching"], ["exceeded"], ["approaching", "exceeded"])
    assert ("exceeded" in told) == (max(steps, default=0) >= SPEC.limit)


def test_the_payload():
    assert json.loads(payload(SPEC, "exceeded", 501 * PER_DOLLAR // 10, PERIOD)) == {
        "version": 1,
        "event": "exceeded",
        "budget": "checkout",
        "scope": "app",
        "value": "check*",
        "unit": "usd",
        "limit": "50.0000000000",
        "spent": "50.1000000000",
        "action": "block",
        "period": "monthly",
        "period_start": "2026-11-01T00:00:00Z",
        "reset": "2026-12-01T00:00:00Z",
    }
    total = replace(SPEC, scope="global", pattern="", unit="tokens", limit=1000, period="total")
    sent = json.loads(payload(total, "approaching", 900, Period(0.0, None)))
    assert (sent["value"], sent["limit"], sent["spent"], sent["reset"]) == (
        None,
        "1000",
        "900",
        None,
    )


def test_a_receiver_can_verify_the_signature():
    body = b'{"event": "exceeded"}'
    stamp, signed = signature("secret", body, 1_793_491_200).split(",")
    assert stamp == "t=1793491200"
    expected = hmac.new(b"secret", b"1793491200." + body, hashlib.sha256).hexdigest()
    assert signed == f"v1={expected}"


def test_attempts_are_further_and_further_apart_and_end():
    delays = [retry_after(attempts) for attempts in range(1, len(RETRY_AFTER) + 2)]
    assert delays == [*sorted(RETRY_AFTER), None]


@pytest.mark.parametrize(
    ("status", "delivered", "final"),
    [
        (200, True, False),
        (204, True, False),
        (302, False, False),
        (404, False, False),
        (410, False, True),
        (500, False, False),
    ],
)
def test_answers(status, delivered, final):
    assert (is_delivered(status), is_final(status)) == (delivered, final)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_addresses_that_are_not(address):
    assert not is_public(address)
