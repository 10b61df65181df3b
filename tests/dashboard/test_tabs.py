"""System and Experiments: what they show of a running service and of tests, and who may act."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User

from dashboard import tokens
from dashboard.experiments import bar
from dashboard.models import ApiToken
from experiments.models import ABFeedback, ABTest
from experiments.prompt_models import (
    PromptText,
    ReplayAnswer,
    ReplayResult,
    ReplayRun,
    StoredPrompt,
)
from experiments.statistics import Row
from tests.usage.samples import usage_row
from usage.writer import insert

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC).timestamp()


def viewer(client, *permissions):
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


@pytest.fixture
def test_with_rows():
    made = ABTest.objects.create(name="mini or 4o", model_a="a", model_b="b")
    insert(
        [
            usage_row(
                created_at=NOW - number,
                ab_test=made.name,
                ab_variant="AB"[number % 2],
                session_id=f"s{number}",
                latency_ms=100 + 50 * (number % 2) + number,
            )
            for number in range(80)
        ],
        check=False,
    )
    return made


def test_the_system_tab_says_what_it_knows_without_a_server(client):
    insert(
        [usage_row(created_at=NOW - 60, saved_cost="0.5000000000", cache_tier="exact")], check=False
    )
    page = viewer(client).get("/system/")
    text = page.content.decode()
    assert "No worker runs here" in text
    assert "No upstream is set" in text
    assert page.context["totals"].cache_hits == 1
    assert client.get("/api/cache/stats").json()["saved_cost"] == "0.5000000000"


def test_without_a_test_the_tab_says_what_one_is(client):
    assert "No A/B test yet" in viewer(client).get("/experiments/").content.decode()


def test_a_tests_report_is_drawn(client, test_with_rows):
    page = viewer(client).get("/experiments/").content.decode()
    assert "40 requests got A, 40 got B" in page
    assert "Pause" not in page  # who may only look gets no buttons
    report = client.get(f"/experiments/{test_with_rows.pk}/report/")
    assert "d-interval" in report.content.decode()
    assert report.context["figures"]
    listed = client.get("/api/ab/list").json()
    assert [(one["name"], one["requests_a"]) for one in listed] == [("mini or 4o", 40)]
    found = client.get("/api/ab/report/mini or 4o").json()
    assert found["variants"]["A"]["requests"] == 40
    assert client.get("/api/ab/report/other").status_code == 404


def test_only_who_may_change_tests_switches_one(client, test_with_rows):
    address = f"/experiments/{test_with_rows.pk}/switch/"
    viewer(client)
    assert client.post(address, {"status": "paused"}).status_code == 403
    User.objects.all().delete()
    viewer(client, "change_abtest")
    assert client.get(address).status_code == 405
    client.post(address, {"status": "paused"})
    assert ABTest.objects.get().status == "paused"
    client.post(address, {"status": "nonsense"})
    assert ABTest.objects.get().status == "paused"
    client.post(address, {"status": "completed"})
    client.post(address, {"status": "active"})
    assert ABTest.objects.get().status == "completed"


def test_a_post_from_another_site_is_refused(test_with_rows):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    viewer(client, "change_abtest", "add_abfeedback")
    address = f"/experiments/{test_with_rows.pk}/switch/"
    assert client.post(address, {"status": "paused"}).status_code == 403
    body = {"request_id": "0" * 32, "rating": 1}
    answer = client.post("/api/ab/feedback", body, content_type="application/json")
    assert answer.status_code == 403
    assert ABFeedback.objects.count() == 0


def key(scope):
    made = tokens.new_key()
    ApiToken.objects.create(
        name=scope, digest=tokens.digest(made), hint=tokens.hint(made), scope=scope
    )
    return {"HTTP_AUTHORIZATION": f"Bearer {made}", "content_type": "application/json"}


def test_feedback_needs_a_key_that_may_write(client):
    row = usage_row(created_at=NOW - 60)
    insert([row], check=False)
    body = {"request_id": row.request_id, "rating": 4.5, "labels": ["good"]}
    assert client.post("/api/ab/feedback", body, **key("read")).status_code == 403
    headers = key("write")
    answer = client.post("/api/ab/feedback", body, **headers)
    assert (answer.status_code, answer.json()["replaced"]) == (200, False)
    unknown = {**body, "request_id": "0" * 32}
    assert client.post("/api/ab/feedback", unknown, **headers).status_code == 404
    assert client.post("/api/ab/feedback", {**body, "rating": 999}, **headers).status_code == 422
    assert ABFeedback.objects.count() == 1


def row(difference, low, high):
    return Row("m", "m", "ms", "lower", 1, 2, 1, 1, difference=difference, low=low, high=high)


def test_an_interval_is_drawn_around_zero():
    found = bar(row(10, -10, 30))
    assert found is not None
    assert found.left < 50 < found.left + found.width
    assert found.point > 50
    assert bar(row(None, None, None)) is None
    nothing, wide = bar(row(0, 0, 0)), bar(row(5, None, None))
    assert nothing is not None
    assert wide is not None
    assert nothing.point == 50
    assert (wide.left, wide.width) == (0, 100)


@pytest.fixture
def replayed():
    row = usage_row(created_at=NOW - 60)
    insert([row], check=False)
    now = datetime.now(UTC)
    prompt = StoredPrompt.objects.create(
        request_id=row.request_id, created_at=now, api_type="openai", endpoint="x", status_code=200
    )
    answer = '{"choices": [{"message": {"content": "%s"}}]}'
    PromptText.objects.create(
        prompt=prompt, request_body="a <b>secret</b>", response_body=answer % "before"
    )
    run = ReplayRun.objects.create(
        key="k", created_at=now, source_model="one", target_model="two", url="http://x", prompts=1
    )
    result = ReplayResult.objects.create(
        run=run, request_id=row.request_id, state="done", status_code=200, text_ratio=0.5
    )
    ReplayAnswer.objects.create(result=result, created_at=now, body=answer % "after")
    return run, row


def test_a_replay_shows_its_answers_to_who_may_read_prompts(client, replayed):
    run, row = replayed
    viewer(client, "view_storedprompt")
    assert "1 of 1" in client.get("/experiments/").content.decode()
    page = client.get(f"/experiments/replay/{run.pk}/").content.decode()
    assert "-before" in page
    assert "+after" in page
    detail = client.get(f"/requests/{row.request_id}/").content.decode()
    assert "a &lt;b&gt;secret&lt;/b&gt;" in detail


def test_what_people_wrote_is_hidden_from_other_viewers(client, replayed):
    run, row = replayed
    viewer(client)
    page = client.get(f"/experiments/replay/{run.pk}/").content.decode()
    assert "two" in page
    assert "before" not in page.lower().replace("before</th>", "")
    assert "secret" not in client.get(f"/requests/{row.request_id}/").content.decode()
