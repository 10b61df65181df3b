"""`explain-request`: what it prints of an imagined request, and of one in the ledger."""

import json
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import call_command

from budgets.models import Budget, BudgetCounter
from experiments.models import ABTest
from proxy.management.commands.explain_request import Command
from routing.models import RoutingCondition, RoutingRule, TagRule
from tests.usage.samples import usage_row
from tokenwatch.commands import Error
from upstreams.models import Upstream, UpstreamHealth
from usage.models import UsageRecord
from usage.writer import insert

pytestmark = pytest.mark.django_db

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100}
NOON = "2026-11-24T12:00"


@pytest.fixture
def body(tmp_path):
    path = tmp_path / "body.json"
    path.write_text(json.dumps(BODY))
    return str(path)


def run(*args):
    out = StringIO()
    call_command("explain_request", *args, stdout=out)
    return out.getvalue()


def explained(body, *args, api_type="openai"):
    return json.loads(run("--api-type", api_type, "--body-file", body, "--json", *args))


def rule(name, priority, *conditions, **values):
    made = RoutingRule.objects.create(name=name, priority=priority, **values)
    for kind, value in conditions:
        RoutingCondition.objects.create(rule=made, kind=kind, value=value)
    return made


def budget(name, limit, **values):
    made = {"scope": "global", "unit": "usd", "period": "daily", "action": "block", **values}
    return Budget.objects.create(name=name, limit=limit, **made)


def test_with_nothing_set_up(body):
    found = explained(body, "--at", NOON)
    assert found["route"]["decision"] == "there are no routing rules"
    assert found["test"]["decision"] == "there are no A/B tests"
    assert found["budgets"]["decision"] == "no budget counts it"
    assert [one["upstream"] for one in found["upstreams"]["order"]] == ["default"]
    assert found["identify"]["at"] == "2026-11-24T12:00:00Z"


def test_which_rule_and_why_not_the_others(body):
    rule("night", 1, ("time", "22:00-06:00"), model="gpt-4.1-mini")
    rule("batch", 2, ("source_app", "batch"), model="gpt-4o-mini")
    rule("later", 3, model="gpt-4.1")
    by_day = explained(body, "--app", "batch", "--at", NOON)
    by_night = explained(body, "--app", "batch", "--at", "2026-11-25T01:00+02:00")
    assert by_day["route"]["rule"] == "batch"
    assert by_day["route"]["reasons"] == [
        "night: the time is 12:00 in UTC, not in 22:00-06:00",
        "batch: decides",
    ]
    assert by_day["upstreams"]["model"] == "gpt-4o-mini"
    assert by_night["route"]["rule"] == "night"


def test_the_tag_of_a_rule(body):
    TagRule.objects.create(name="batches", kind="tag_app", pattern="batch", tag="bulk")
    given = explained(body, "--app", "batch")["identify"]
    sent = explained(body, "--app", "batch", "--tag", "mine")["identify"]
    assert (given["tag"], given["tag_rule"]) == ("bulk", "batches")
    assert (sent["tag"], sent["tag_rule"]) == ("mine", None)


def test_which_test_and_variant(body):
    ABTest.objects.create(name="paused", model_a="gpt-4o", model_b="b", status="paused")
    ABTest.objects.create(name="cheaper", model_a="gpt-4o", model_b="gpt-4o-mini", share_a=0)
    found = explained(body, "--session", "s1")["test"]
    assert (found["test"], found["variant"], found["model"]) == ("cheaper", "B", "gpt-4o-mini")
    assert found["reasons"][0] == "paused: it is paused"
    assert "the session falls on" in found["reasons"][1]


def test_the_budgets_and_what_is_left_of_them(body):
    daily = budget("daily", 1)
    budget("tokens", 150, unit="tokens", scope="app", pattern="batch", period="hourly")
    budget("other", 1, scope="app", pattern="web")
    start = datetime(2026, 11, 24, tzinfo=UTC)
    BudgetCounter.objects.create(budget=daily, period_start=start, spent=4 * 10**9, leased=10**9)
    found = explained(body, "--app", "batch", "--at", NOON)["budgets"]
    day, tokens = found["budgets"]
    assert found["decision"] == "all allow it"
    assert (day["name"], day["limit"], day["spent"], day["leased"]) == (
        "daily",
        "1.00",
        "0.40",
        "0.10",
    )
    assert tokens["reserves"] == str(found["estimate"]["tokens"])
    assert int(tokens["reserves"]) > 100
    assert tokens["resets_at"] == "2026-11-24T13:00:00Z"
    tomorrow = explained(body, "--app", "batch", "--at", "2026-11-25T12:00")["budgets"]["budgets"]
    assert tomorrow[0]["spent"] == "0.00"


def test_a_budget_that_refuses(body):
    budget("tiny", 50, unit="tokens")
    found = explained(body, "--at", NOON)
    assert found["budgets"]["refused"] == {"budget": "tiny", "code": "budget_exceeded"}
    assert found["budgets"]["decision"].startswith("refused with 429: The budget 'tiny'")
    assert found["upstreams"]["decision"].startswith("nothing is sent")
    assert not BudgetCounter.objects.exists()  # nothing was written


def test_the_candidates_with_their_breakers(body):
    for name, priority, enabled in (("first", 1, True), ("second", 2, True), ("off", 3, False)):
        url = f"https://{name}.example"
        Upstream.objects.create(
            name=name, api_type="openai", base_url=url, priority=priority, enabled=enabled
        )
    now = datetime.now(UTC)
    UpstreamHealth.objects.create(
        api_type="openai",
        upstream="first",
        state="open",
        since=now,
        failures=5,
        last_error="connect",
        cool_down_until=datetime.fromtimestamp(now.timestamp() + 600, UTC),
    )
    found = explained(body)["upstreams"]
    assert [(one["upstream"], one["breaker"]) for one in found["order"]] == [
        ("second", "closed"),
        ("first", "open"),
    ]
    assert "rests for another" in found["order"][1]["health"]
    assert "off: left out, disabled" in found["reasons"]
    later = datetime.fromtimestamp(now.timestamp() + 3600, UTC).isoformat()
    assert explained(body, "--at", later)["upstreams"]["order"][0]["upstream"] == "first"


def test_the_other_api_and_what_is_piped(monkeypatch):
    class Piped:
        buffer = type("Buffer", (), {"read": staticmethod(lambda: json.dumps(BODY).encode())})

    monkeypatch.setattr("sys.stdin", Piped)
    found = explained("-", "--path", "/v1/messages/count_tokens?beta=true", api_type="anthropic")
    assert found["identify"]["path"] == "v1/messages/count_tokens"
    assert found["budgets"]["estimate"] == {"cost": "0.00", "tokens": 0}


def test_as_a_tree_it_says_the_same(body):
    rule("cheap", 1, ("header", "x-team=blue"), model="gpt-4o-mini")
    said = run("--api-type", "openai", "--body-file", body, "--header", "X-Team: blue")
    assert "route: the rule cheap decides: asks for gpt-4o-mini" in said
    assert "└── cheap: decides" in said


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "imagine one with"),
        (("0" * 32, "--api-type", "openai"), "imagine one with"),
        (("--api-type", "openai"), "--body-file"),
        (("--api-type", "openai", "--body-file", "/nowhere"), "No such file"),
        (("--api-type", "openai", "--body-file", "BODY", "--at", "noon"), "no time"),
        (("--api-type", "openai", "--body-file", "BODY", "--header", "x"), "NAME:VALUE"),
        (("xyz",), "32 hex digits"),
        (("0" * 32,), "the ledger has no request"),
    ],
)
def test_bad_input_gets_one_clear_line(body, args, says):
    with pytest.raises(Error, match=says):
        run(*(body if one == "BODY" else one for one in args))


DECISION = {
    "policy": 7,
    "rule": 3,
    "order": ["first", "second"],
    "budgets": [["daily", "usd", 612000, 4 * 10**9, 10**10], ["watch", "tokens", 0, 5, 100]],
}


def stored(**values):
    row = usage_row(**values)
    insert([row], check=False)
    return row.request_id


def test_a_request_of_the_ledger():
    found = json.loads(
        run(
            stored(
                routing_rule="cheap",
                model_requested="gpt-4o",
                model_routed="gpt-4o-mini",
                upstream="second",
                attempts=2,
                attempt_log="first:503",
                overhead_ms=0.25,
                decision=json.dumps(DECISION),
            ).upper(),
            "--json",
        )
    )
    assert found["route"]["decision"] == "the rule cheap (id 3) decided"
    assert found["budgets"]["reasons"] == [
        "daily: reserved $0.0000612; spent before: $0.40 of $1.00",
        "watch: counts, and does not block; spent before: 5 tokens of 100 tokens",
    ]
    assert found["upstreams"]["decision"] == "gpt-4o-mini at second, 2 attempts, status 200"
    assert found["upstreams"]["reasons"][:3] == ["1. first", "2. second", "failed: first:503"]


def test_a_refused_one():
    refused = {"by": "daily", "code": "budget_exceeded", "unit": "usd", "needed": 612000}
    found = {"policy": 7, "refused": {**refused, "spent": 10**10, "limit": 10**10}}
    said = run(stored(status_code=429, attempts=0, decision=json.dumps(found)))
    assert "refused by daily (budget_exceeded): spent $1.00 of $1.00, needed $0.0000612" in said
    assert "nothing was sent to an upstream; status 429" in said


@pytest.mark.parametrize("decision", ["", "no json", "[]", '{"policy": 1}'])
def test_a_row_that_tells_nothing_is_no_error(decision):
    said = run(stored(decision=decision))
    assert "no routing rule decided" in said


def test_the_ledgers_page_shows_the_decision(admin_client):
    request_id = stored(routing_rule="cheap<b>", decision=json.dumps(DECISION), attempts=1)
    record = UsageRecord.objects.get(request_id=request_id)
    page = admin_client.get(f"/admin/usage/usagerecord/{record.pk}/change/").content.decode()
    assert "the rule cheap&lt;b&gt; (id 3) decided" in page
    assert "daily: reserved $0.0000612" in page


def test_the_command_is_one_of_the_projects_own():
    from tokenwatch.cli import own_commands

    assert Command.help
    assert "explain_request" in own_commands()
