"""Budgets in the admin."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from budgets.models import Budget, BudgetCounter, WebhookDelivery
from budgets.settlement import counter_of, load_specs
from tokenwatch import policy

pytestmark = pytest.mark.django_db
LIST = reverse("admin:budgets_budget_changelist")
ADD = reverse("admin:budgets_budget_add")
VALUES = {
    "name": "checkout",
    "active": "on",
    "scope": "app",
    "pattern": "checkout",
    "unit": "usd",
    "limit": "50",
    "period": "monthly",
    "time_zone": "UTC",
    "action": "block",
    "threshold": "80",
    "webhook_url": "",
    "webhook_secret": "",
}


def budget(name="b", **values):
    return Budget.objects.create(name=name, limit=values.pop("limit", 10), **values)


def change(made):
    return reverse("admin:budgets_budget_change", args=[made.pk])


def page(client, url=LIST, **query):
    return client.get(url, query).content.decode()


def act(client, action, *chosen):
    data = {"action": action, "_selected_action": [one.pk for one in chosen]}
    return client.post(LIST, data, follow=True).content.decode()


def test_the_list_shows_how_budgets_stand(admin_client):
    budget("<b>bold</b>", scope="app", pattern="check*")
    for spec in load_specs():
        counter_of(spec, spec.at(datetime.now(UTC).timestamp()))
    BudgetCounter.objects.update(spent=85 * 10**9)
    shown = page(admin_client)
    assert "$8.50 of $10.00 (85 %)" in shown
    assert "width: 85%" in shown
    assert "approaching" in shown
    assert "<b>bold</b>" not in shown
    assert "-01 00:00 UTC" in shown


def test_the_lists_queries_do_not_grow_with_the_budgets(admin_client):
    def queries():
        for spec in load_specs():
            counter_of(spec, spec.at(datetime.now(UTC).timestamp()))
        with CaptureQueriesContext(connection) as caught:
            page(admin_client)
        return len(caught)

    budget("0")
    few = queries()
    for number in range(1, 20):
        budget(str(number))
    assert queries() == few


def test_the_form_shows_amounts_as_people_write_them(admin_client):
    assert 'value="10"' in page(admin_client, change(budget(limit=Decimal("10.0000000000"))))
    assert 'value="0.25"' in page(admin_client, change(budget("c", limit=Decimal("0.25"))))
    assert "Resets" not in page(admin_client, ADD)


def test_adding_one_reaches_the_workers(admin_client):
    before = policy.current()
    assert admin_client.post(ADD, VALUES).status_code == 302
    assert Budget.objects.get().pattern == "checkout"
    assert policy.current() > before
    assert "$0.00 of $50.00" in page(admin_client, change(Budget.objects.get()))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pattern": ""}, "Name the app"),
        ({"limit": "0"}, "must be above 0"),
        ({"limit": ""}, "required"),
        ({"time_zone": "Mars"}, "no time zone"),
        ({"threshold": ""}, "required"),
        ({"threshold": "101"}, "1 to 100"),
        ({"action": "notify"}, "needs an address"),
        ({"active": "", "killed": "on"}, "not active blocks nothing"),
    ],
)
def test_what_could_never_work_is_refused_beside_its_field(admin_client, wrong, said):
    answer = admin_client.post(ADD, {**VALUES, **wrong})
    assert said in answer.content.decode()
    assert not Budget.objects.exists()


def test_a_secret_is_kept_and_never_shown(admin_client):
    values = {**VALUES, "webhook_url": "https://hooks.example", "webhook_secret": "s3cr3t-words"}
    admin_client.post(ADD, values)
    made = Budget.objects.get()
    assert made.webhook_secret == "s3cr3t-words"
    assert "s3cr3t-words" not in page(admin_client, change(made))
    admin_client.post(change(made), {**values, "limit": "60", "webhook_secret": ""})
    made.refresh_from_db()
    assert (made.limit, made.webhook_secret) == (60, "s3cr3t-words")


def test_the_switches_reach_the_workers(admin_client):
    one, other = budget("1"), budget("2")
    for action, said, field, value in (
        ("kill", "1 budget blocked.", "killed", True),
        ("revive", "1 budget revived.", "killed", False),
        ("disable", "1 budget disabled.", "active", False),
        ("enable", "1 budget enabled.", "active", True),
    ):
        before = policy.current()
        assert said in act(admin_client, action, one)
        one.refresh_from_db()
        assert getattr(one, field) is value
        assert policy.current() > before
    other.refresh_from_db()
    assert (other.killed, other.active) == (False, True)


def test_to_kill_one_that_is_switched_off_switches_it_on(admin_client):
    made = budget(active=False)
    act(admin_client, "kill", made)
    assert [spec.killed for spec in load_specs()] == [True]


def test_a_reset_begins_the_period_anew(admin_client):
    made = budget()
    before, version = datetime.now(UTC), policy.current()
    assert "1 budget begun anew." in act(admin_client, "reset_period", made)
    made.refresh_from_db()
    assert made.reset_at >= before
    assert policy.current() > version
    assert load_specs()[0].at(datetime.now(UTC).timestamp()).start == made.reset_at.timestamp()


def test_the_log_of_webhooks_is_to_read_and_goes_with_its_budget(admin_client):
    made = budget()
    WebhookDelivery.objects.create(
        budget=made,
        event="exceeded",
        period_start=datetime.now(UTC),
        url="https://hooks.example/x",
        payload="{}",
        next_attempt_at=datetime.now(UTC),
        state="failed",
        last_error="no route to host",
    )
    shown = page(admin_client, reverse("admin:budgets_webhookdelivery_changelist"))
    assert "no route to host" in shown
    assert admin_client.get(reverse("admin:budgets_webhookdelivery_add")).status_code == 403
    deleted = reverse("admin:budgets_budget_delete", args=[made.pk])
    assert admin_client.post(deleted, {"post": "yes"}).status_code == 302
    assert not WebhookDelivery.objects.exists()
