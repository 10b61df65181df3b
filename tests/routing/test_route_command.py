"""`route add|list|enable|disable|remove`."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from routing.facts import PlainFacts
from routing.models import RoutingCondition, RoutingRule
from routing.store import load_rules
from tokenwatch import policy
from tokenwatch.commands import Error
from upstreams.models import Upstream

pytestmark = pytest.mark.django_db


def run(*args):
    out = StringIO()
    call_command("route", *args, stdout=out)
    return out.getvalue()


def as_json(*args):
    return json.loads(run(*args, "--json"))


def batch(*more):
    condition = ("--condition", "source_app", "--value", "batch")
    return ("add", "cheap", *condition, "--target", "gpt-4o-mini", *more)


def test_a_rule_from_the_command_line():
    before = policy.current()
    said = run(*batch())
    made = RoutingRule.objects.get()
    assert said == f"Added rule {made.pk}: cheap (source_app batch → gpt-4o-mini).\n"
    assert policy.current() > before
    assert (made.priority, made.enabled) == (100, True)
    route = load_rules().decide(PlainFacts(app="batch"))
    assert route is not None
    assert (route.rule_id, route.rule_name, route.model) == (made.pk, "cheap", "gpt-4o-mini")
    assert load_rules().decide(PlainFacts(app="web")) is None


def test_all_options():
    Upstream.objects.create(name="eu", api_type="openai", base_url="https://eu.example")
    Upstream.objects.create(name="us", api_type="openai", base_url="https://us.example")
    conditions = [
        ("token_count", ">8,000"),
        ("regex", "(?i)summar"),
        ("model", "gpt-*"),
        ("time", "22:00-06:00 Europe/Berlin"),
        ("cost_today", "app>5"),
        ("tag", "nightly"),
        ("session", "s-*"),
        ("header", "x-team: blue"),
        ("weekday", "sat,sun"),
        ("tools", "no"),
        ("stream", "yes"),
    ]
    pairs = [part for kind, value in conditions for part in ("--condition", kind, "--value", value)]
    args = ["--upstream", "eu=70", "--upstream", "us=30", "--fallback", "gpt-4.1"]
    args += ["--fallback", "gpt-4o-mini", "--priority", "5", "--target", "gpt-4o", "--disabled"]
    shown = as_json("add", "big", *pairs, *args)
    assert shown == {
        "id": RoutingRule.objects.get().pk,
        "name": "big",
        "priority": 5,
        "enabled": False,
        "conditions": [{"kind": kind, "value": value} for kind, value in conditions],
        "model": "gpt-4o",
        "upstreams": [{"name": "eu", "weight": 70}, {"name": "us", "weight": 30}],
        "fallbacks": ["gpt-4.1", "gpt-4o-mini"],
        "notes": [],
    }
    assert load_rules().rules == ()


def test_the_list_shows_rules_in_their_order_and_what_is_odd():
    assert "No rules. Make one: route add" in run("list")
    assert as_json("list") == []
    run(*batch())
    run("add", "first", "--priority", "1", "--upstream", "nowhere")
    first, cheap = as_json("list")
    assert (first["name"], first["conditions"], first["model"]) == ("first", [], None)
    assert first["notes"] == ["There is no upstream 'nowhere'."]
    assert cheap["notes"] == ["It never decides: 'first' comes first and matches all it matches."]
    said = run("list")
    assert said.index("first") < said.index("cheap")
    assert "every request" in said
    assert "It never decides" in said


def test_adding_one_that_is_odd_says_so():
    said = run("add", "x", "--target", "no-such-model-7")
    assert "Note: Nothing is known of the model 'no-such-model-7'" in said


def test_enable_disable_and_remove_by_id_or_name():
    pk = str(as_json(*batch())["id"])
    version = policy.current()
    assert run("disable", "--id", pk) == f"Disabled rule {pk} (cheap).\n"
    assert load_rules().rules == ()
    assert as_json("enable", "cheap")["enabled"] is True
    assert len(load_rules().rules) == 1
    assert as_json("remove", "--id", pk) == {"removed": int(pk)}
    assert policy.current() >= version + 3
    assert not RoutingRule.objects.exists()
    assert not RoutingCondition.objects.exists()


PAIR = ("--condition", "source_app", "--value", "a")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("add",), "name"),
        (("add", "x"), "target: Give a model, an upstream or a fallback"),
        (("add", "x", *PAIR), "target: Give a model"),
        (("add", "", "--target", "m"), "name: "),
        (("add", "n" * 101, "--target", "m"), "name: "),
        (("add", "a\nb", "--target", "m"), "name: Give the name in printable"),
        (("add", "x", "--target", "a\x1b"), "target: Give the model in printable"),
        (("add", "x", "--target", "m", "--condition", "model"), "there are 1 of the one and 0"),
        (("add", "x", "--target", "m", *PAIR, "--value", "b"), "there are 1 of the one and 2"),
        (("add", "x", "--target", "m", "--condition", "colour", "--value", "b"), "invalid choice"),
        (
            ("add", "x", "--target", "m", "--condition", "time", "--value", "25:00-26:00"),
            "condition time: There is no such time",
        ),
        (("add", "x", "--target", "m", "--condition", "tag", "--value", ""), "condition tag: "),
        (("add", "x", "--target", "m", "--condition", "regex", "--value", "(a"), "missing )"),
        (("add", "x", "--upstream", "eu=x"), "upstream: 'eu=x' is no upstream"),
        (("add", "x", "--upstream", "eu", "--upstream", "eu"), "upstream: Name each"),
        (("add", "x", "--fallback", "a", "--fallback", "a"), "fallback: Name each"),
        (("add", "x", "--target", "m", "--priority", "high"), "priority"),
        (("enable",), "name one rule"),
        (("enable", "x", "--id", "1"), "name one rule"),
        (("disable", "--id", "7"), "there is no rule with the id 7"),
        (("disable", "--id", "99999999999999999999"), "there is no rule"),
        (("remove", "nobody"), "there is no rule with the name 'nobody'"),
        ((), "add|list"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_made(args, said):
    with pytest.raises(Error, match=r".") as caught:
        run(*args)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not RoutingRule.objects.exists()
    assert not RoutingCondition.objects.exists()


def test_a_name_is_given_once():
    run(*batch())
    with pytest.raises(Error, match=r"^name: .*exists"):
        run(*batch())


def test_what_was_written_cannot_steer_the_terminal():
    RoutingRule.objects.create(name="\x1b[2Jz", model="\x1b[2Jm")
    assert "\x1b" not in run("list")
    assert "\x1b" not in run("disable", "\x1b[2Jz")
