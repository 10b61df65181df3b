"""Loading the rules."""

import pytest

from routing.facts import PlainFacts
from routing.models import RoutingRule
from routing.rules import Route
from routing.store import all_rules, load_rules, reviewed
from tests.usage.samples import usage_row
from tokenwatch import policy
from upstreams.models import Upstream
from usage import writer

pytestmark = pytest.mark.django_db


def rule(name="r", *conditions, **values):
    made = RoutingRule.objects.create(name=name, **{"model": "gpt-4o", **values})
    for condition in conditions:
        kind, value = condition.split(" ", 1)
        made.conditions.create(kind=kind, value=value)
    return made


def notes():
    return {one.name: reviewed(all_rules()).get(one.pk, []) for one in all_rules()}


def test_the_enabled_rules_with_all_they_say():
    made = rule(
        "r", "source_app a", "model b*", upstreams="eu=2, us=1", fallbacks="x\ny", priority=3
    )
    rule("off", enabled=False, priority=1)
    rules = load_rules()
    assert [one.priority for one in rules.rules] == [3]
    assert rules.decide(PlainFacts(app="a", model="b")) == Route(
        made.pk, "r", "gpt-4o", (("eu", 2), ("us", 1)), ("x", "y")
    )
    assert rules.decide(PlainFacts(app="a")) is None


def test_two_queries_however_many_rules(django_assert_num_queries):
    for number in range(20):
        rule(str(number), f"source_app a{number}", "stream yes")
    with django_assert_num_queries(2):
        assert len(load_rules().rules) == 20


def test_a_rule_that_went_bad_is_left_out_as_a_whole(caplog):
    bad = rule("bad", "source_app a", "time never")
    rule("worse", "source_app a", upstreams="eu=x")
    rule("good", "source_app a")
    assert [one.name for one in load_rules().rules] == ["good"]
    assert "'bad' is left out" in caplog.text
    assert "'worse' is left out" in caplog.text
    assert notes()["bad"][0].startswith("It is not in force: Write a window")
    bad.delete()
    assert notes()["good"] == []


def test_every_change_reaches_the_workers():
    versions = [policy.current()]
    made = rule("r", "source_app a")
    versions.append(policy.current())
    condition = made.conditions.get()
    condition.value = "b"
    condition.save()
    versions.append(policy.current())
    condition.delete()
    versions.append(policy.current())
    made.delete()
    versions.append(policy.current())
    assert versions == sorted(set(versions))


def test_upstreams_are_known_by_their_rows_and_the_configured_urls():
    Upstream.objects.create(name="eu", api_type="openai", base_url="https://h")
    Upstream.objects.create(name="old", api_type="openai", base_url="https://h", enabled=False)
    rule("r", upstreams="eu, default, old, gone")
    assert notes()["r"] == ["The upstream 'old' is disabled.", "There is no upstream 'gone'."]


def test_models_are_known_by_their_price_or_their_use():
    rule("r", model="house-model", fallbacks="gpt-4o, other-model")
    writer.insert([usage_row(model_used="other-model")], check=False)
    assert notes()["r"] == [
        "Nothing is known of the model 'house-model': it has no price and was never used."
    ]


def test_disabled_rules_are_reviewed_too_and_shadow_nothing():
    rule("off", "source_app a*", enabled=False, priority=1)
    rule("on", "source_app ab", priority=2)
    rule("late", "source_app ab", enabled=False, priority=3)
    assert notes() == {
        "off": [],
        "on": [],
        "late": ["It never decides: 'on' comes first and matches all it matches."],
    }
