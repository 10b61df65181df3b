"""Which rule decides: priority, several conditions, what is looked at and how often."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import dimensions
from routing.conditions import parse
from routing.facts import PlainFacts
from routing.rules import Route, Rule, RuleSet
from tests.routing.test_conditions import moment

NIGHT = moment("2026-11-28T23:00")  # a Saturday


def rule(number, *conditions, priority=None, **targets):
    """A rule with conditions written as ``kind value``."""
    parsed = tuple(parse(*one.split(" ", 1)) for one in conditions)
    targets = targets or {"model": f"m{number}"}
    return Rule(number, f"r{number}", number if priority is None else priority, parsed, **targets)


def decided(rules, **facts):
    route = RuleSet(rules).decide(PlainFacts(**facts))
    return route.rule_id if route is not None else None


def test_no_rules_decide_nothing():
    assert RuleSet().decide(PlainFacts(app="a")) is None
    assert RuleSet().explain(PlainFacts(app="a")) == []
    assert not RuleSet().needs_cost


def test_a_rule_without_conditions_is_for_every_request():
    assert decided([rule(1)]) == 1


def test_the_lowest_priority_number_is_first_then_the_oldest():
    rules = [
        rule(1, "source_app a", priority=50),
        rule(2, "model m", priority=10),
        rule(3, "source_app a", priority=50),
        rule(4, priority=99),
    ]
    assert decided(rules, app="a", model="m") == 2
    assert decided(rules, app="a") == 1
    assert decided(rules) == 4


def test_the_route_says_what_the_rule_says():
    targets = {"model": "m", "upstreams": (("eu", 70), ("us", 30)), "fallbacks": ("f", "g")}
    route = RuleSet([rule(7, "source_app a", **targets)]).decide(PlainFacts(app="a"))
    assert route == Route(7, "r7", "m", (("eu", 70), ("us", 30)), ("f", "g"))


EVERYTHING = (
    "model gpt-*",
    "source_app batch",
    "tag nightly",
    "session s-?",
    "regex (?i)summar",
    "header x-team=blue",
    "token_count >1000",
    "token_count <2000",
    "cost_today >5",
    "cost_today app<3",
    "time 22:00-06:00",
    "weekday sat,sun",
    "tools no",
    "stream yes",
)
ALL_HOLD = PlainFacts(
    model="gpt-4o",
    app="batch",
    tag="nightly",
    session="s-1",
    at=NIGHT,
    stream=True,
    headers={b"x-team": b"blue"},
    text="Summarise this",
    tokens=1500,
    costs={"all": Decimal(6), "app": Decimal(2)},
)


def test_all_conditions_of_a_rule_must_hold():
    rules = RuleSet([rule(1, *EVERYTHING)])
    assert rules.decide(ALL_HOLD) is not None
    assert [verdict.reason for verdict in rules.explain(ALL_HOLD)] == [""]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "o3"}, "model is"),
        ({"app": "web"}, "app is"),
        ({"tag": ""}, "tag is not given"),
        ({"session": "s-12"}, "session is"),
        ({"text": "Translate this"}, "the last user message"),
        ({"headers": {}}, "header x-team"),
        ({"tokens": 1000}, "the estimated input in tokens is 1,000, not >1,000"),
        ({"tokens": 2000}, "the estimated input in tokens is 2,000, not <2,000"),
        ({"costs": {"all": Decimal(5)}}, "cost today is 5"),
        ({"costs": {"all": Decimal(6), "app": Decimal(3)}}, "cost today of the app is 3"),
        ({"at": NIGHT - 2 * 3600}, "the time is 21:00"),
        ({"at": NIGHT - 24 * 3600}, "the day is fri"),
        ({"has_tools": True}, "having tools"),
        ({"stream": False}, "streaming"),
    ],
)
def test_one_condition_that_fails_is_enough(change, reason):
    rules = RuleSet([rule(1, *EVERYTHING)])
    request = replace(ALL_HOLD, **change)
    assert rules.decide(request) is None
    (verdict,) = rules.explain(request)
    assert verdict.reason.startswith(reason)


def test_several_conditions_of_one_kind():
    rules = [rule(1, "source_app a*", "source_app *z"), rule(2, "source_app abc", "source_app a*")]
    assert decided(rules, app="az") == 1
    assert decided(rules, app="abc") == 2
    assert decided(rules, app="ab") is None
    both = [rule(1, "regex order", "regex refund")]
    assert decided(both, text="refund my order") == 1
    assert decided(both, text="my order") is None


class Counting:
    """A request that counts what is asked of it."""

    def __init__(self, facts):
        self._facts = facts
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name):
        value = getattr(self._facts, name)
        if not callable(value):
            return value

        def ask(*args):
            self.asked[" ".join((name, *args))] += 1
            return value(*args)

        return ask


def asked(rules, **facts):
    request = Counting(PlainFacts(**facts))
    RuleSet(rules).decide(request)
    return dict(request.asked)


COSTLY = ("regex x", "token_count >5", "cost_today >1", "cost_today app>1")


def test_what_costs_something_is_left_alone_where_no_rule_asks():
    assert asked([rule(1, "source_app a"), rule(2, "stream yes")], app="a") == {}
    assert asked([rule(1, "source_app b", *COSTLY), rule(2, "tools yes", *COSTLY)], app="a") == {}


def test_what_costs_something_is_left_alone_behind_a_rule_that_wins():
    assert asked([rule(1, "source_app a"), rule(2, *COSTLY)], app="a") == {}
    assert asked([rule(1, "token_count >5"), rule(2, *COSTLY)], tokens=6) == {"input_tokens": 1}


def test_what_costs_something_is_asked_once_a_request():
    rules = [rule(n, *COSTLY) for n in range(1, 20)]
    assert asked(rules, app="a", tokens=4) == {"input_tokens": 1}
    costs = {"all": Decimal(2), "app": Decimal(2)}
    assert asked(rules, app="a", tokens=6, costs=costs, text="y") == {
        "input_tokens": 1,
        "cost_today all": 1,
        "cost_today app": 1,
        "last_user_text": 1,
    }
    many = [rule(n, f"regex x{n}", f"token_count >{n}") for n in range(1, 20)]
    assert asked(many, tokens=100, text="x19") == {"input_tokens": 1, "last_user_text": 1}


def test_costs_are_needed_where_a_rule_asks_for_them():
    assert not RuleSet([rule(1, "token_count >5")]).needs_cost
    assert RuleSet([rule(1), rule(2, "source_app a", "cost_today tag>5")]).needs_cost


def test_values_that_clients_make_up_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(dimensions, "REMEMBERED", 10)
    rules = RuleSet([rule(1, "session a*"), rule(2, "header x-a: b*")])
    for number in range(50):
        for request in (
            PlainFacts(session=f"a{number}"),
            PlainFacts(headers={b"x-a": b"b%d" % number}),
            PlainFacts(headers={b"x-a": b"b" * 5_000}),
        ):
            assert rules.decide(request) is not None
    for dimension in rules._dimensions:
        assert len(dimension._known) <= 10
        assert all(len(str(value)) < 300 for value in dimension._known)


CONDITIONS = st.sampled_from(
    [
        "model a", "model b*", "source_app a", "source_app b", "source_app ?", "tag a", "tag *",
        "session a", "session *b", "regex a", "regex b$", "regex (?i)A|b", "header x-a=a",
        "header x-a: *", "header x-b: a*", "token_count <2", "token_count >1", "token_count >=1",
        "token_count <=3", "cost_today >1", "cost_today app>1", "cost_today tag<=2",
        "time 22:00-06:00", "time 00:00-12:00 Asia/Tokyo", "weekday sat,sun",
        "weekday mon-fri Pacific/Auckland", "tools yes", "tools no", "stream yes",
    ]
)  # fmt: skip
WORDS = st.sampled_from(["", "a", "b", "ab", "ba"])
COST = st.sampled_from([Decimal(0), Decimal(1), Decimal("1.0"), Decimal("1.5"), Decimal(2)])
RULES = st.lists(
    st.builds(
        lambda conditions, priority: (conditions, priority),
        st.lists(CONDITIONS, max_size=4),
        st.integers(0, 3),
    ),
    max_size=8,
)
REQUESTS = st.builds(
    PlainFacts,
    model=WORDS,
    app=WORDS,
    tag=WORDS,
    session=WORDS,
    text=WORDS,
    at=st.floats(1.79e9, 1.80e9),
    stream=st.booleans(),
    has_tools=st.booleans(),
    headers=st.dictionaries(
        st.sampled_from([b"x-a", b"x-b", b"x-c"]), st.sampled_from([b"", b"a", b"ab"])
    ),
    tokens=st.integers(0, 4),
    costs=st.dictionaries(st.sampled_from(["all", "app", "tag"]), COST),
)


@given(RULES, st.lists(REQUESTS, min_size=1, max_size=5))
def test_it_is_the_first_in_order_of_which_every_condition_holds_alone(rows, requests):
    """The index, the memory and the laziness change nothing, and the explanation agrees."""
    made = [
        rule(n, *conditions, priority=priority) for n, (conditions, priority) in enumerate(rows, 1)
    ]
    rules = RuleSet(made)
    for request in requests:
        expected = [one.id for one in rules.rules if holds_alone(one, request)]
        route = rules.decide(request)
        assert (route.rule_id if route else None) == (expected[0] if expected else None)
        verdicts = rules.explain(request)
        assert [verdict.rule for verdict in verdicts] == list(rules.rules)
        assert [verdict.rule.id for verdict in verdicts if verdict.matches] == expected


def holds_alone(one, request):
    return all(
        RuleSet([Rule(1, "r", 1, (condition,))]).decide(request) is not None
        for condition in one.conditions
    )
