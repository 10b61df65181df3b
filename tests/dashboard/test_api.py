"""The JSON API: who gets in, and that it says what the pages say."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User

from dashboard import tokens
from dashboard.models import ApiToken
from tests.usage.samples import usage_row
from usage.writer import insert

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC).timestamp()
ADDRESSES = (
    "/api/stats",
    "/api/recent",
    "/api/timeseries",
    "/api/cost/by-tag",
    "/api/cost/by-app",
    "/api/cost/by-session",
    "/api/cost/by-model",
    "/api/cost/forecast",
    "/api/budget/status",
    "/api/upstreams",
    "/api/routing/stats",
    "/api/cache/stats",
    "/api/ab/list",
    "/api/replay/runs",
)


def key(**values):
    made = tokens.new_key()
    ApiToken.objects.create(name="t", digest=tokens.digest(made), hint=tokens.hint(made), **values)
    return {"HTTP_AUTHORIZATION": f"Bearer {made}"}


@pytest.mark.parametrize("address", [*ADDRESSES, "/api/requests/" + "0" * 32])
def test_nobody_gets_in_without_a_key(client, address):
    assert client.get(address).status_code == 401
    assert client.get(address, HTTP_AUTHORIZATION="Bearer tw_wrong").status_code == 401
    client.force_login(User.objects.create_user("customer"))
    assert client.get(address).status_code == 401


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_key_opens_everything_that_is_read(client, address):
    insert([usage_row(created_at=NOW - 60)], check=False)
    assert client.get(address, **key()).status_code == 200


def test_a_revoked_key_opens_nothing(client):
    headers = key(revoked_at=datetime.now(UTC))
    assert client.get("/api/stats", **headers).status_code == 401


def test_the_key_itself_is_not_kept(admin_client):
    answer = admin_client.post(
        "/admin/dashboard/apitoken/add/", {"name": "ci", "scope": "read"}, follow=True
    )
    token = ApiToken.objects.get()
    page = answer.content.decode()
    shown = page[page.index("shown only now: ") + 16 :].split("<")[0].strip()
    assert tokens.digest(shown) == token.digest
    assert shown not in (token.digest, token.hint)
    assert shown not in admin_client.get("/admin/dashboard/apitoken/").content.decode()
    admin_client.post(
        "/admin/dashboard/apitoken/", {"action": "revoke", "_selected_action": [token.pk]}
    )
    assert tokens.find(shown, datetime.now(UTC)) is None


def test_pages_follow_each_other_by_cursor(client):
    headers = key()
    rows = [usage_row(created_at=NOW - 60 - number) for number in range(5)]
    insert(rows, check=False)
    seen, cursor = [], ""
    for _ in range(3):
        page = client.get(f"/api/recent?limit=2{cursor}", **headers).json()
        seen += [row["request_id"] for row in page["rows"]]
        cursor = f"&before={page['next']}"
    assert seen == [row.request_id for row in rows]
    assert page["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        "range=2h",
        "zone=Mars",
        "from=x",
        "limit=0",
        "limit=501",
        "status=x",
        "before=x",
        "from=2026-01-02&to=2026-01-01",
    ],
)
def test_what_is_no_parameter_is_refused(client, query):
    assert client.get(f"/api/recent?{query}", **key()).status_code == 422


def test_a_request_and_its_explanation(client):
    headers = key()
    row = usage_row(created_at=NOW - 60, cost="0.0000270000")
    insert([row], check=False)
    found = client.get(f"/api/requests/{row.request_id}", **headers).json()
    assert (found["cost"], found["model_requested"]) == ("0.0000270000", "gpt-4o-mini")
    explained = client.get(f"/api/requests/{row.request_id}/explanation", **headers).json()
    assert sum(float(line["amount"]) for line in explained["lines"]) == pytest.approx(0.000027)
    assert client.get("/api/requests/" + "0" * 32, **headers).status_code == 404


def test_slices_add_up_to_the_total(client):
    headers = key()
    insert([usage_row(created_at=NOW - 60 - 3000 * number) for number in range(40)], check=False)
    total = client.get("/api/stats?range=7d", **headers).json()["total"]
    series = client.get("/api/timeseries?range=7d&zone=Asia/Kolkata", **headers).json()
    slices = [one for line in series["lines"] for one in line["slices"]]
    assert sum(one["requests"] for one in slices) == total["requests"] == 40
    assert sum(float(one["cost"]) for one in slices) == pytest.approx(float(total["cost"]))


def test_documentation_is_served_from_here(admin_client):
    page = admin_client.get("/api/docs").content.decode()
    assert "http" not in page.replace("http-equiv", "")
    assert admin_client.get("/api/openapi.json").json()["info"]["title"] == "TokenWatch"
