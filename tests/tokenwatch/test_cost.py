"""`cost by-tag|by-app|by-session|by-model|forecast`."""

import json
import time
from io import StringIO

import pytest
from django.core.management import call_command

from budgets.models import Budget
from tests.usage.samples import usage_row
from tokenwatch.commands import Error
from usage import writer

pytestmark = pytest.mark.django_db


def run(*args):
    out = StringIO()
    call_command("cost", *args, stdout=out)
    return out.getvalue()


def spend(cost="1.0000000000", days_ago=0.0, **values):
    at = time.time() - days_ago * 86_400
    writer.insert([usage_row(cost=cost, created_at=at, **values)], check=False)


def test_nothing_yet():
    assert run("by-tag") == "No requests (30d).\n"
    assert "Nothing was spent yet" in run("forecast")
    shown = json.loads(run("forecast", "--json"))
    assert (shown["method"], len(shown["days"]), shown["budgets"]) == ("none", 30, [])


@pytest.mark.parametrize(
    ("by", "name", "value"),
    [
        ("by-tag", "tag", "search"),
        ("by-app", "app", "crm"),
        ("by-session", "session", "s1"),
        ("by-model", "model", "gpt-4o-mini-2024-07-18"),
    ],
)
def test_attribution(by, name, value):
    spend(feature_tag="search", session_id="s1")
    spend("0.5000000000", feature_tag="search", session_id="s1")
    assert value in run(by)
    assert "$1.500000" in run(by)
    shown = json.loads(run(by, "--json"))
    (one,) = shown[f"{name}s"]
    assert one[name] == value
    assert (one["requests"], one["cost"], one["share"]) == (2, "1.5000000000", 1.0)
    assert one["average_cost"] == "0.7500000000"


def test_the_top_and_the_timeframe():
    spend(source_app="a")
    spend("2.0000000000", source_app="b")
    spend("9.0000000000", days_ago=3, source_app="c")
    shown = json.loads(run("by-app", "--top", "1", "--timeframe", "24h", "--json"))
    assert [one["app"] for one in shown["apps"]] == ["b"]
    assert shown["total"]["requests"] == 2
    assert "unknown" in (spend(None, source_app="d") or run("by-app"))


def test_a_forecast_with_its_budgets():
    for day in range(1, 10):
        spend(days_ago=day)
    Budget.objects.create(name="tight", limit=12, period="total")
    Budget.objects.create(name="wide", limit=5000, period="total")
    Budget.objects.create(
        name="words", unit="tokens", scope="model", pattern="gpt-*", limit=1500, period="total"
    )
    said = run("forecast")
    assert "the average" in said
    assert "At the end of" in said
    shown = json.loads(run("forecast", "--json"))
    assert (shown["method"], shown["history_days"]) == ("average", 9)
    assert float(shown["days"][0]["expected"]) == pytest.approx(1.0)
    ends = {one["budget"]: one["used_up"] for one in shown["budgets"]}
    assert ends["tight"] is not None
    assert ends["words"] is not None
    assert ends["wide"] is None


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "by-tag|by-app"),
        (("by-week",), "invalid choice"),
        (("by-tag", "--timeframe", "2y"), "invalid choice"),
        (("by-session", "--top", "0"), "no count"),
        (("by-session", "--top", "x"), "no count"),
        (("forecast", "--timeframe", "1h"), "invalid choice"),
    ],
)
def test_bad_input_is_one_clear_line(args, said):
    with pytest.raises(Error) as caught:
        run(*args)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
