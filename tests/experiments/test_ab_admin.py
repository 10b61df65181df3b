"""A/B tests in the admin."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from experiments.models import ABFeedback, ABTest
from experiments.store import load_tests
from tests.experiments.rows import STARTED, row, sessions, store
from tokenwatch import policy

pytestmark = pytest.mark.django_db
LIST = reverse("admin:experiments_abtest_changelist")
ADD = reverse("admin:experiments_abtest_add")
VALUES = {
    "name": "cheaper",
    "model_a": "gpt-4o",
    "model_b": "gpt-4o-mini",
    "share_a": "50",
    "api_type": "openai",
    "app": "",
    "tag": "",
    "model": "gpt-4o",
}


def made(name="t", **values):
    return ABTest.objects.create(**{"name": name, "model_a": "a", "model_b": "b", **values})


def change(test):
    return reverse("admin:experiments_abtest_change", args=[test.pk])


def page(client, url=LIST, **query):
    return client.get(url, query).content.decode()


def act(client, action, *chosen):
    data = {"action": action, "_selected_action": [one.pk for one in chosen]}
    return client.post(LIST, data, follow=True).content.decode()


def test_the_list_shows_status_shares_and_counts(admin_client):
    made("<b>t</b>", share_a="12.5", app="crm")
    store(row("A", test="<b>t</b>"), row("B", test="<b>t</b>"), row("B", test="<b>t</b>"))
    shown = page(admin_client)
    assert "a (12.5 %): 1 requests" in shown
    assert "b (87.5 %): 2 requests" in shown
    assert "app crm" in shown
    assert "<b>t</b>" not in shown


def test_the_lists_queries_do_not_grow_with_the_tests(admin_client):
    def queries():
        with CaptureQueriesContext(connection) as caught:
            page(admin_client)
        return len(caught)

    made("0")
    few = queries()
    for number in range(1, 15):
        made(str(number))
    assert queries() == few


def test_adding_one_reaches_the_workers(admin_client):
    before = policy.current()
    assert admin_client.post(ADD, VALUES).status_code == 302
    assert policy.current() > before
    assert load_tests().specs[0].model_b == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model_b": "gpt-4o"}, "nothing to compare"),
        ({"share_a": "0"}, "Both variants need a share"),
        ({"share_a": "100"}, "Both variants need a share"),
        ({"share_a": ""}, "required"),
        ({"name": ""}, "required"),
        ({"app": "\x07"}, "control characters"),
    ],
)
def test_what_could_tell_nothing_is_refused_beside_its_field(admin_client, wrong, said):
    answer = admin_client.post(ADD, {**VALUES, **wrong})
    assert said in answer.content.decode()
    assert not ABTest.objects.exists()


def test_overlapping_tests_are_pointed_out(admin_client):
    made("older", app="crm")
    values = {**VALUES, "model": "", "api_type": ""}
    shown = admin_client.post(ADD, values, follow=True).content.decode()
    assert "older is older and takes the requests that fit both it and cheaper." in shown
    assert "Requests of both APIs for any model take part" in shown
    assert "takes the requests that fit both" in page(admin_client, change(ABTest.objects.last()))


def test_a_test_with_requests_keeps_its_models_share_and_name(admin_client):
    test = made()
    values = {**VALUES, "name": "t", "app": "crm"}
    admin_client.post(change(test), values)
    test.refresh_from_db()
    assert (test.model_a, test.app) == ("gpt-4o", "crm")
    store(row("A"))
    salt = test.salt
    admin_client.post(change(test), {**values, "name": "u", "model_a": "x", "share_a": "9"})
    test.refresh_from_db()
    assert (test.name, test.model_a, test.share_a, test.salt) == ("t", "gpt-4o", 50, salt)
    test.model_b = "another"
    with pytest.raises(Exception, match="pause or complete it, and create a new one"):
        test.full_clean()


def test_the_switches_reach_the_workers_and_completed_is_final(admin_client):
    one, other = made("1", app="x"), made("2", app="y")
    for action, said, status in (
        ("pause", "1 A/B test is paused.", "paused"),
        ("start", "1 A/B test is active.", "active"),
        ("complete", "1 A/B test is completed.", "completed"),
        ("start", "The test 1 is completed, which is final", "completed"),
    ):
        before = policy.current()
        assert said in act(admin_client, action, one)
        one.refresh_from_db()
        assert one.status == status
        assert policy.current() > before or "final" in said
    other.refresh_from_db()
    assert other.status == "active"


def test_a_tests_page_has_its_report(admin_client):
    test = made()
    assert "No request was counted yet." in page(admin_client, change(test))
    store(*sessions(150, "A"), *sessions(150, "B", latency=900))
    shown = page(admin_client, change(test))
    assert "A is better: latency p50" in shown
    assert "95 % interval" in shown
    assert "cost per request" in shown


def test_feedback_is_to_read(admin_client):
    (one,) = store(row("A"))
    ABFeedback.objects.create(request_id=one, rating=5, labels="good", created_at=STARTED)
    assert one in page(admin_client, reverse("admin:experiments_abfeedback_changelist"))
    assert admin_client.get(reverse("admin:experiments_abfeedback_add")).status_code == 403
