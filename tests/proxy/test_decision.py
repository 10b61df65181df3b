"""Rules and tests on live requests: who is asked for what, and what client and ledger learn."""

import json
from dataclasses import replace

import pytest

from experiments.assign import TestSet, TestSpec
from proxy.call import identify, read_body
from proxy.decision import decide, point_of
from routing.conditions import parse
from routing.rules import Rule, RuleSet
from tests.proxy.test_failover import BODY, CHAT, MESSAGES, candidate, good, two

ANSWER = {"model": "gpt-4o-mini-2024-07-18"}


def rules(made, *rules_):
    policies = made.proxy.services.policies
    policies.snapshot = replace(policies.snapshot, rules=RuleSet(rules_))


def use_tests(made, *specs):
    policies = made.proxy.services.policies
    policies.snapshot = replace(policies.snapshot, tests=TestSet(specs))


def rule(name, *conditions, **targets):
    return Rule(1, name, 1, tuple(parse(*one) for one in conditions), **targets)


def ab(share, **values):
    made = {"id": 1, "name": "cheaper?", "model_a": "gpt-4o-mini", "model_b": "gpt-4.1-nano"}
    return TestSpec(**{**made, "share": share, "salt": "s", **values})


async def test_a_rule_changes_the_model(tmp_path):
    async with two(tmp_path, good) as made:
        rules(made, rule("cheap", ("source_app", "batch"), model="gpt-4.1-nano"))
        response = await made.ask(headers={"X-TokenWatch-App": "batch"})
        row = await made.row()
        await made.ask(headers={"X-TokenWatch-App": "web"})
        other = await made.row(2)
    assert json.loads(made.first.requests[0].body) == {**BODY, "model": "gpt-4.1-nano"}
    assert json.loads(made.first.requests[1].body) == BODY
    assert response.headers["x-tokenwatch-routing-rule"] == "cheap"
    assert response.headers["x-tokenwatch-routed-model"] == "gpt-4.1-nano"
    assert (row.routing_rule, row.model_routed) == ("cheap", "gpt-4.1-nano")
    assert (other.routing_rule, other.model_routed, other.routing_saved) == ("", "", None)


async def test_what_a_rule_saved_is_in_the_ledger(tmp_path):
    async with two(tmp_path, good) as made:
        rules(made, rule("cheap", model="gpt-4o-mini"))
        await made.ask(json={**BODY, "model": "gpt-4o"})
        row = await made.row()
    assert (row.model_requested, row.model_routed) == ("gpt-4o", "gpt-4o-mini")
    assert row.cost is not None
    assert float(row.routing_saved) > 5 * float(row.cost)


async def test_a_rule_chooses_the_upstream(tmp_path):
    async with two(tmp_path, good, good) as made:
        rules(made, rule("there", ("tag", "eu"), upstreams=(("second", 1),)))
        response = await made.ask(headers={"X-TokenWatch-Tag": "eu"})
        row = await made.row()
    assert response.headers["x-tokenwatch-upstream"] == "second"
    assert (row.upstream, row.routing_rule, row.model_routed) == ("second", "there", "")
    assert made.first.requests == []


async def test_a_rule_for_upstreams_that_are_not_there_sends_nothing_elsewhere(tmp_path):
    async with two(tmp_path, good, good) as made:
        rules(made, rule("there", upstreams=(("gone", 1),)))
        response = await made.ask()
        row = await made.row()
    assert response.status_code == 503
    assert "there" in response.json()["error"]["message"]
    assert made.first.requests == made.second.requests == []
    assert row.cost == "0.0000000000"


async def test_a_rule_for_the_other_apis_upstreams_says_nothing_of_this_one(tmp_path):
    async with two(tmp_path, good) as made:
        made.use(*made.candidates, candidate("claude", "http://127.0.0.1:9", kind="anthropic"))
        rules(made, rule("there", upstreams=(("claude", 1),)))
        response = await made.ask()
    assert response.headers["x-tokenwatch-upstream"] == "first"


async def test_an_ab_test_splits_and_a_session_stays(tmp_path):
    async with two(tmp_path, good) as made:
        use_tests(made, ab(0.5))
        seen: dict[str, str] = {}
        for number in range(20):
            session = f"s{number % 10}"
            response = await made.ask(headers={"X-TokenWatch-Session": session})
            row = await made.row(number + 1)
            assert response.headers["x-tokenwatch-ab-test"] == "cheaper?"
            assert response.headers["x-tokenwatch-ab-variant"] == row.ab_variant
            assert seen.setdefault(session, row.ab_variant) == row.ab_variant
            assert row.model_routed == ("gpt-4.1-nano" if row.ab_variant == "B" else "")
            assert row.routing_saved is None
    assert set(seen.values()) == {"A", "B"}


@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_a_rule_that_changes_the_model_goes_before_a_test(tmp_path, share):
    async with two(tmp_path, good) as made:
        rules(made, rule("cheap", model="gpt-4.1-mini"))
        use_tests(made, ab(share))
        response = await made.ask()
        row = await made.row()
        rules(made, rule("first", upstreams=(("first", 1),)))
        await made.ask()
        both = await made.row(2)
    assert "x-tokenwatch-ab-test" not in response.headers
    assert (row.ab_test, row.model_routed) == ("", "gpt-4.1-mini")
    assert (both.ab_test, both.routing_rule) == ("cheaper?", "first")


async def test_embeddings_take_no_part_in_a_test(tmp_path):
    async with two(tmp_path, good) as made:
        use_tests(made, ab(0.0))
        await made.ask("/openai/v1/embeddings", json={"model": "gpt-4o-mini", "input": "x"})
        row = await made.row()
    assert row.ab_test == ""


async def test_a_body_that_is_not_read_keeps_its_model(tmp_path):
    async with two(tmp_path, good) as made:
        rules(made, rule("cheap", model="gpt-4.1-nano", fallbacks=("gpt-4.1-mini",)))
        await made.ask(
            "/openai/v1/audio/transcriptions",
            json=None,
            data={"model": "whisper-1"},
            files={"file": ("a.wav", b"RIFF" * 50)},
        )
        row = await made.row()
    assert b"whisper-1" in made.first.requests[0].body
    assert (row.model_requested, row.model_routed) == ("whisper-1", "")


async def test_the_rule_before_the_budget(tmp_path):
    """What a rule makes of the model is what the fallbacks, budgets and prices see."""
    async with two(tmp_path, good) as made:
        rules(made, rule("many", ("tools", "no"), ("stream", "no"), model="gpt-4.1-nano"))
        await made.ask(MESSAGES, json={**BODY, "max_tokens": 5})
        row = await made.row()
    assert (row.api_type, row.model_routed) == ("anthropic", "gpt-4.1-nano")


def call(session, number=0):
    scope = {
        "path": CHAT,
        "raw_path": CHAT.encode(),
        "method": "POST",
        "headers": [(b"x-tokenwatch-session", session.encode())] if session else [],
    }
    made = identify(scope)
    assert made is not None
    read_body(made, json.dumps(BODY).encode())
    return made


def test_the_point_of_a_session_is_its_own_and_that_of_a_request_is_random():
    assert point_of(call("a")) == point_of(call("a"))
    points = [point_of(call("")) for _ in range(400)] + [point_of(call(f"{n}")) for n in range(400)]
    assert all(0 <= point < 1 for point in points)
    assert 0.45 < sum(points[:400]) / 400 < 0.55
    assert 0.45 < sum(points[400:]) / 400 < 0.55


def test_nothing_is_asked_where_nothing_is_to_be_decided(tmp_path):
    """One upstream, no rule, no test: neither costs nor breakers are looked at."""

    class Unasked:
        def __getattr__(self, name):
            raise AssertionError(f"{name} was asked")

    from proxy.snapshot import Policies
    from tokenwatch.conf import load

    snapshot = Policies(load({"TOKENWATCH_DATA_DIR": str(tmp_path)})).snapshot
    decision = decide(call("a"), snapshot, Unasked(), Unasked(), 0.0)
    assert (decision.rule, decision.assignment) == (None, None)
    assert [target.model for target in decision.targets] == ["gpt-4o-mini"]
