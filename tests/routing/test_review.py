"""What is odd about rules is pointed out, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.review import Known, review
from routing.rules import RuleSet
from tests.routing.test_rules import CONDITIONS, REQUESTS, RULES, rule

KNOWN = Known({"eu": True, "us": True, "old": False}, {"m", "f"}.__contains__)


def notes(*rules, enabled=None):
    ordered = RuleSet(rules).rules
    ids = {one.id for one in ordered} if enabled is None else enabled
    return review(ordered, KNOWN, ids)


def made(number, *conditions, **targets):
    return rule(number, *conditions, **{"model": "m", **targets})


@pytest.mark.parametrize(
    "conditions",
    [
        ("source_app a", "source_app b"),
        ("model gpt-*", "model o3"),
        ("session a", "session b*"),
        ("token_count <5", "token_count >10"),
        ("token_count <5", "token_count >=5"),
        ("token_count <5", "token_count >5"),
        ("cost_today app>9", "cost_today app<2"),
        ("time 09:00-12:00", "time 12:00-17:00"),
        ("time 22:00-06:00", "time 06:00-22:00"),
        ("weekday sat,sun", "weekday mon-fri"),
        ("tools yes", "tools no"),
        ("stream yes", "stream no"),
        ("header x-a=1", "header X-A: 2*"),
    ],
)
def test_a_rule_that_cannot_match(conditions):
    (note,) = notes(made(1, *conditions))[1]
    assert note.startswith("It can never match")
    assert notes(made(1, conditions[0])) == {}


@pytest.mark.parametrize(
    "conditions",
    [
        ("source_app a", "source_app a*"),
        ("source_app a*", "source_app *b"),
        ("source_app a", "model b"),
        ("token_count >5", "token_count <10"),
        ("token_count >=5", "token_count <=5"),
        ("cost_today app>9", "cost_today tag<2"),
        ("time 22:00-06:00", "time 05:00-07:00"),
        ("time 09:00-12:00", "time 12:00-17:00 Asia/Tokyo"),
        ("weekday sat", "weekday fri Asia/Tokyo"),
        ("header x-a=1", "header x-b=2"),
        ("regex a", "regex b"),
    ],
)
def test_conditions_that_can_hold_together(conditions):
    assert notes(made(1, *conditions)) == {}


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ((), ("source_app a",)),
        ((), ()),
        (("source_app a",), ("source_app a", "model b")),
        (("source_app a*",), ("source_app ab",)),
        (("source_app *",), ("source_app a?",)),
        (("token_count >5",), ("token_count >10",)),
        (("token_count >=5",), ("token_count >5",)),
        (("token_count <10",), ("token_count <5", "stream yes")),
        (("cost_today tag>1",), ("cost_today tag>2",)),
        (("time 20:00-08:00",), ("time 22:00-06:00",)),
        (("time 00:00-24:00 Asia/Tokyo",), ("time 22:00-06:00",)),
        (("weekday mon-fri",), ("weekday tue",)),
        (("weekday mon-sun Asia/Tokyo",), ("weekday tue",)),
        (("regex a",), ("regex a", "source_app b")),
        (("header x-a: *",), ("header x-a=1",)),
        (("tools yes",), ("tools yes",)),
    ],
)
def test_a_rule_in_the_shadow_of_an_earlier_one(earlier, later):
    found = notes(made(1, *earlier), made(2, *later))
    assert list(found) == [2]
    assert found[2] == ["It never decides: 'r1' comes first and matches all it matches."]
    assert notes(made(1, *earlier), made(2, *later), enabled={2}) == {}


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (("source_app a",), ("source_app a*",)),
        (("source_app a", "model b"), ("source_app a",)),
        (("source_app a",), ("tag a",)),
        (("token_count >5",), ("token_count >=5",)),
        (("token_count >10",), ("token_count >5",)),
        (("token_count <10",), ("token_count >10",)),
        (("cost_today app>1",), ("cost_today >2",)),
        (("time 22:00-06:00",), ("time 20:00-08:00",)),
        (("time 20:00-08:00",), ("time 22:00-06:00 Asia/Tokyo",)),
        (("weekday mon-fri",), ("weekday sat",)),
        (("regex a",), ("regex aa",)),
        (("header x-a: *",), ("header x-b=1",)),
    ],
)
def test_rules_beside_each_other(earlier, later):
    assert notes(made(1, *earlier), made(2, *later)) == {}


def test_targets_that_are_not_there():
    found = notes(
        made(1, "source_app a", upstreams=(("eu", 1), ("nowhere", 1), ("old", 1))),
        made(2, "source_app b", model="x", fallbacks=("f", "y", "x")),
        made(3, "source_app c", model="", upstreams=(("us", 1),)),
    )
    assert found == {
        1: ["There is no upstream 'nowhere'.", "The upstream 'old' is disabled."],
        2: [
            "Nothing is known of the model 'x': it has no price and was never used.",
            "Nothing is known of the model 'y': it has no price and was never used.",
        ],
    }


@given(RULES, st.lists(REQUESTS, min_size=1, max_size=8))
def test_a_rule_with_such_a_note_never_decides(rows, requests):
    rules = RuleSet(
        rule(n, *conditions, priority=priority, model="m")
        for n, (conditions, priority) in enumerate(rows, 1)
    )
    idle = set(review(rules.rules, KNOWN, {one.id for one in rules.rules}))
    for request in requests:
        route = rules.decide(request)
        assert route is None or route.rule_id not in idle


@given(CONDITIONS, CONDITIONS, REQUESTS)
def test_what_implies_and_excludes_is_true_of_every_request(one, other, request):
    first, second = (RuleSet([rule(1, condition)]) for condition in (one, other))
    holds = [found.decide(request) is not None for found in (first, second)]
    a, b = (found.rules[0].conditions[0] for found in (first, second))
    if a.subject == b.subject:
        assert not (a.predicate.implies(b.predicate) and holds == [True, False])
        assert not (a.predicate.excludes(b.predicate) and holds == [True, True])
