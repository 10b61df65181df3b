"""Tag rules in the admin."""

import pytest
from django.urls import reverse

from routing.models import TagRule
from routing.store import load_tag_rules
from tokenwatch import policy

pytestmark = pytest.mark.django_db
LIST = reverse("admin:routing_tagrule_changelist")
ADD = reverse("admin:routing_tagrule_add")
TRY = reverse("admin:routing_tagrule_try")
VALUES = {
    "name": "refunds",
    "kind": "tag_regex",
    "pattern": "(?i)refund",
    "tag": "refund",
    "priority": "10",
    "enabled": "on",
}


def rule(name="r", **values):
    return TagRule.objects.create(**{**VALUES, "name": name, "enabled": True, **values})


def page(answer):
    return answer.content.decode()


def test_adding_one_reaches_the_workers(admin_client):
    before = policy.current()
    assert admin_client.post(ADD, VALUES).status_code == 302
    assert policy.current() > before
    assert load_tag_rules().tag("", lambda: "Refund!") == "refund"
    shown = page(admin_client.get(LIST))
    assert "(?i)refund" in shown
    assert TRY in shown


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pattern": "(a"}, "missing )"),
        ({"pattern": "(?=a)"}, "look-around"),
        ({"pattern": ""}, "required"),
        ({"kind": "tag_app", "pattern": "  "}, "required"),
        ({"tag": " "}, "required"),
        ({"tag": "a\u200eb"}, "printable"),
        ({"priority": "x"}, "whole number"),
    ],
)
def test_what_cannot_work_is_refused(admin_client, wrong, said):
    assert said in page(admin_client.post(ADD, {**VALUES, **wrong}))
    assert not TagRule.objects.exists()


def test_switching_several(admin_client):
    rule("a"), rule("b")
    chosen = list(TagRule.objects.values_list("pk", flat=True))
    before = policy.current()
    answer = admin_client.post(LIST, {"action": "disable", "_selected_action": chosen}, follow=True)
    assert "2 tag rules disabled." in page(answer)
    assert policy.current() > before
    assert load_tag_rules().specs == []


def test_trying_the_rules_on_a_text(admin_client):
    rule("words")
    rule("app", kind="tag_app", pattern="crm", tag="crm", priority=20)
    rule("late", pattern="REFUND|Refund", tag="late", priority=30)
    rule("off", enabled=False, priority=1)
    shown = page(admin_client.post(TRY, {"app": "crm", "text": "A <b>Refund</b>, please"}))
    assert "Tag: refund (rule words)" in shown
    assert shown.count("matches, but comes later") == 2
    assert "disabled" in shown
    assert "<b>Refund" not in shown
    shown = page(admin_client.post(TRY, {"app": "x", "text": "hello"}))
    assert "No rule matches" in shown


def test_trying_a_pattern_that_is_not_saved(admin_client):
    shown = page(admin_client.post(TRY, {"text": "an order <1>", "pattern": "or.er"}))
    assert "<mark>order</mark> &lt;1&gt;" in shown
    shown = page(admin_client.post(TRY, {"text": "x", "pattern": "y"}))
    assert "does not match." in shown
    assert "missing )" in page(admin_client.post(TRY, {"text": "x", "pattern": "(y"}))


def test_trying_needs_the_admin(client):
    assert client.post(TRY, {"text": "x"}).status_code == 302


def test_a_rule_that_went_bad_is_left_out(caplog):
    rule("bad", pattern="(a")
    rule("good")
    assert [spec.name for spec in load_tag_rules().specs] == ["good"]
    assert "'bad' is left out" in caplog.text
