"""Routing rules in the admin."""

import html
import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from routing.facts import PlainFacts
from routing.models import RoutingRule
from routing.store import load_rules
from tests.usage.samples import usage_row
from tokenwatch import policy
from usage import writer

pytestmark = pytest.mark.django_db
LIST = reverse("admin:routing_routingrule_changelist")
ADD = reverse("admin:routing_routingrule_add")
TRY = reverse("admin:routing_routingrule_try")
VALUES = {
    "name": "cheap",
    "priority": "10",
    "enabled": "on",
    "model": "gpt-4o-mini",
    "upstreams": "",
    "fallbacks": "",
}


def form(*conditions, **changes):
    """What the form sends: the rule, and its conditions written as ``kind value``."""
    data = {**VALUES, **changes}
    data["conditions-TOTAL_FORMS"] = str(len(conditions))
    data["conditions-INITIAL_FORMS"] = "0"
    for number, condition in enumerate(conditions):
        kind, value = condition.split(" ", 1)
        data[f"conditions-{number}-kind"], data[f"conditions-{number}-value"] = kind, value
    return data


def rule(name="r", *conditions, **values):
    made = RoutingRule.objects.create(name=name, **{"model": "gpt-4o", **values})
    for condition in conditions:
        kind, value = condition.split(" ", 1)
        made.conditions.create(kind=kind, value=value)
    return made


def page(answer):
    return html.unescape(answer.content.decode())


def test_adding_one_with_its_conditions_reaches_the_workers(admin_client):
    before = policy.current()
    values = form("source_app batch", "time  22:00-06:00 ", upstreams="default")
    assert admin_client.post(ADD, values).status_code == 302
    assert policy.current() > before
    (made,) = load_rules().rules
    assert [str(one) for one in made.conditions] == ["source_app batch", "time 22:00-06:00"]
    assert (made.model, made.upstreams) == ("gpt-4o-mini", (("default", 1),))
    shown = page(admin_client.get(LIST))
    assert "source_app batch and time 22:00-06:00" in shown
    assert "gpt-4o-mini, at default" in shown
    assert TRY in shown


def test_changing_a_condition(admin_client):
    made = rule("cheap", "source_app a")
    kept = made.conditions.get()
    values = form("source_app b")
    values |= {"conditions-INITIAL_FORMS": "1", "conditions-0-id": str(kept.pk)}
    values["conditions-0-rule"] = str(made.pk)
    change = reverse("admin:routing_routingrule_change", args=[made.pk])
    shown = page(admin_client.get(change))
    assert "22:00-06:00" in shown  # the examples
    assert admin_client.post(change, values).status_code == 302
    assert load_rules().decide(PlainFacts(app="b")) is not None
    assert load_rules().decide(PlainFacts(app="a")) is None


@pytest.mark.parametrize(
    ("conditions", "wrong", "said"),
    [
        (("time 25:00-26:00",), {}, "There is no such time"),
        (("regex (a",), {}, "missing )"),
        (("token_count many",), {}, "<2000 or >8000"),
        (("source_app  ",), {}, "required"),
        (("colour red",), {}, "not one of the available choices"),
        ((), {"model": ""}, "Give a model, an upstream or a fallback"),
        ((), {"upstreams": "eu=x"}, "is no upstream with its weight"),
        ((), {"fallbacks": "a, a"}, "Name each model once"),
        ((), {"model": "a\u200eb"}, "printable"),
        ((), {"priority": "high"}, "whole number"),
    ],
)
def test_what_cannot_work_is_refused_beside_its_field(admin_client, conditions, wrong, said):
    assert said in page(admin_client.post(ADD, form(*conditions, **wrong)))
    assert not RoutingRule.objects.exists()


def test_what_is_odd_is_said_when_it_is_saved_and_in_the_list(admin_client):
    answer = admin_client.post(ADD, form("tools yes", "tools no", upstreams="moon"), follow=True)
    shown = page(answer)
    assert "It can never match: no request is both tools yes and tools no." in shown
    assert "There is no upstream 'moon'." in shown
    assert "It can never match" in page(admin_client.get(LIST))
    change = reverse("admin:routing_routingrule_change", args=[RoutingRule.objects.get().pk])
    assert "It can never match" in page(admin_client.get(change))


def test_names_are_shown_as_text(admin_client):
    rule("<b>bold</b>", "source_app <i>a</i>", upstreams="<u>x</u>")
    for url in (LIST, TRY):
        shown = admin_client.post(TRY, {"app": "x"}) if url == TRY else admin_client.get(url)
        assert "&lt;b&gt;bold" in shown.content.decode()
        assert not any(tag in shown.content.decode() for tag in ("<b>bold", "<i>a", "<u>x"))


def test_the_lists_queries_do_not_grow_with_the_rules(admin_client):
    def queries():
        with CaptureQueriesContext(connection) as caught:
            page(admin_client.get(LIST))
        return len(caught)

    rule("0", "source_app a")
    queries()
    few = queries()
    for number in range(1, 20):
        rule(str(number), f"source_app a{number}", "stream yes")
    assert queries() == few


def test_switching_several(admin_client):
    rule("a"), rule("b")
    chosen = list(RoutingRule.objects.values_list("pk", flat=True))
    before = policy.current()
    answer = admin_client.post(LIST, {"action": "disable", "_selected_action": chosen}, follow=True)
    assert "2 routing rules disabled." in page(answer)
    assert policy.current() > before
    assert load_rules().rules == ()
    answer = admin_client.post(LIST, {"action": "enable", "_selected_action": chosen[:1]})
    assert len(load_rules().rules) == 1


def verdicts(answer):
    assert answer.status_code == 200
    rows = answer.context["tried"]
    return {row.rule.name: row.verdict for row in rows}


def test_trying_the_rules_on_a_request(admin_client):
    rule("wrong app", "source_app web", priority=1)
    rule("off", enabled=False, priority=2)
    rule("bad", "time never", priority=3)
    rule(
        "all",
        "model gpt-*",
        "source_app batch",
        "tag t",
        "session s*",
        "regex order",
        "header x-team: b*",
        "token_count >100",
        "cost_today >1",
        "cost_today app>2",
        "cost_today tag>3",
        "time 22:00-06:00",
        "weekday sat",
        "tools yes",
        "stream yes",
        priority=4,
    )
    rule("rest", priority=5)
    request = {
        "model": "gpt-4o",
        "app": "batch",
        "tag": "t",
        "session": "s1",
        "text": "my order",
        "headers": "X-Team: blue\n\nx-other: 1",
        "tokens": "101",
        "cost_all": "1.5",
        "cost_app": "2.5",
        "cost_tag": "3.5",
        "at": "2026-11-28 22:30",
        "tools": "on",
        "stream": "on",
    }
    answer = admin_client.post(TRY, request)
    assert verdicts(answer) == {
        "wrong app": "app is 'batch', not 'web'",
        "off": "disabled; matches",
        "bad": "not in force: Write a window: 22:00-06:00, or with a zone: "
        "22:00-06:00 Europe/Berlin.",
        "all": "decides",
        "rest": "matches, but comes later",
    }
    assert "app is 'batch', not 'web'" in page(answer)
    assert verdicts(admin_client.post(TRY, {**request, "tools": ""}))["rest"] == "decides"


def test_what_is_left_empty_is_estimated_or_looked_up(admin_client):
    rule("long", "token_count >10", priority=1)
    rule("dear", "cost_today app>1", "cost_today >2", priority=2)
    rule("now", "time 00:00-24:00", priority=3)
    assert verdicts(admin_client.post(TRY, {"text": "word " * 20}))["long"] == "decides"
    assert verdicts(admin_client.post(TRY, {"app": "a"}))["now"] == "decides"
    rows = [
        usage_row(cost="1.5000000000", source_app=app, created_at=time.time()) for app in ("a", "b")
    ]
    writer.insert(rows, check=False)
    said = verdicts(admin_client.post(TRY, {"app": "a"}))
    assert said["dear"] == "decides"
    assert said["long"] == "the estimated input in tokens is 0, not >10"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"headers": "x-team"}, "is no header"),
        ({"tokens": "-1"}, "greater than or equal to 0"),
        ({"at": "tomorrow"}, "valid date/time"),
    ],
)
def test_a_request_that_makes_no_sense(admin_client, wrong, said):
    answer = admin_client.post(TRY, {"app": "a", **wrong})
    assert said in page(answer)
    assert answer.context["tried"] is None


def test_trying_without_rules(admin_client):
    assert "There are no rules." in page(admin_client.post(TRY, {"app": "a"}))
    assert "There are no rules." not in page(admin_client.get(TRY))


def test_trying_needs_the_admin(client):
    assert client.post(TRY, {"app": "x"}).status_code == 302
