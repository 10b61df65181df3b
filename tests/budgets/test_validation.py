"""Budgets that are refused where they are made."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.validation import Draft, problems
from tokenwatch.globs import matcher


def draft(**values):
    defaults = {
        "scope": "app",
        "pattern": "checkout",
        "unit": "usd",
        "limit": Decimal(50),
        "time_zone": "UTC",
        "action": "block",
        "threshold": 80,
        "webhook_url": "",
    }
    return Draft(**{**defaults, **values})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"scope": "global", "pattern": ""},
        {"pattern": "search-*"},
        {"pattern": "[a-z]?"},
        {"pattern": "[unclosed"},
        {"unit": "tokens", "limit": Decimal("1E6")},
        {"limit": Decimal("0.0000000001")},
        {"time_zone": "Pacific/Chatham"},
        {"action": "notify", "webhook_url": "https://hooks.example/x"},
        {"killed": True},
        {"active": False},
        {"webhook_url": "http://[2001:db8::1]:8080/x?y=z"},
    ],
)
def test_sound_budgets(values):
    assert problems(draft(**values)) == {}


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"pattern": ""}, "pattern", "Name the app"),
        ({"pattern": "  "}, "pattern", "Name the app"),
        ({"pattern": "a "}, "pattern", "space"),
        ({"pattern": "a\tb"}, "pattern", "control"),
        ({"pattern": "x[z-a]"}, "pattern", "matches nothing"),
        ({"scope": "global", "pattern": "x"}, "pattern", "leave this empty"),
        ({"limit": Decimal(0)}, "limit", "kill switch"),
        ({"killed": True, "active": False}, "killed", "not active blocks nothing"),
        ({"limit": Decimal(-1)}, "limit", "kill switch"),
        ({"limit": Decimal("1E9")}, "limit", "at most"),
        ({"unit": "tokens", "limit": Decimal("1.5")}, "limit", "whole"),
        ({"time_zone": "Europe/Bonn"}, "time_zone", "Europe/Berlin"),
        ({"time_zone": ""}, "time_zone", "no time zone"),
        ({"threshold": 0}, "threshold", "1 to 100"),
        ({"threshold": 101}, "threshold", "1 to 100"),
        ({"action": "notify"}, "webhook_url", "address"),
        ({"webhook_url": "ftp://x"}, "webhook_url", "http://"),
        ({"webhook_url": "https://"}, "webhook_url", "no URL"),
        ({"webhook_url": "https://a b/"}, "webhook_url", "no URL"),
        ({"webhook_url": "https://a:b/"}, "webhook_url", "no URL"),
        ({"webhook_url": "https://[::1/"}, "webhook_url", "no URL"),
    ],
)
def test_what_is_refused(values, field, said):
    found = problems(draft(**values))
    assert list(found) == [field]
    assert said in found[field]


@given(st.text(alphabet="ab-z[]!*?", min_size=1, max_size=8), st.text(alphabet="ab-z[]!*?"))
def test_what_matches_something_is_admitted(pattern, name):
    if matcher(pattern)(name):
        assert problems(draft(pattern=pattern)) == {}
