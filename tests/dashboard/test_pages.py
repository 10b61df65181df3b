"""The pages: they add up to each other, say what they do not know, and run nothing they show."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from budgets import settlement
from budgets.models import Budget
from budgets.settlement import spec_of
from dashboard import budgets, costs, params
from dashboard.foretelling import Foreteller
from demo import history
from tests.usage.samples import usage_row
from usage.forecast import forecast
from usage.models import UsageRecord
from usage.writer import insert

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC).timestamp()
HOUR = 3600
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def staff_client(client):
    """Someone who may look and no more."""
    client.force_login(User.objects.create_user("viewer", is_staff=True))
    return client


@pytest.fixture
def weeks():
    """Twenty days of history."""
    history.fill(history.rows(900, NOW - 20 * 24 * HOUR, NOW), NOW)


def data(page, name="chart-data"):
    found = re.search(rf'<script id="{name}" type="application/json">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def test_whoever_is_not_logged_in_is_sent_to_the_login(client):
    for name in ("overview", "cost", "coming", "requests", "export", "api:openapi-view"):
        answer = client.get(reverse(name))
        assert answer.status_code == 302, name
        assert "/login/" in answer["Location"]
    assert client.get("/requests/" + "0" * 32 + "/").status_code == 302


def test_a_viewer_may_look_but_pages_take_no_post(staff_client):
    assert staff_client.get("/").status_code == 200
    assert staff_client.post("/").status_code == 405


@pytest.mark.parametrize("name", ["overview", "cost", "coming"])
def test_pages_load_nothing_from_elsewhere_and_have_no_script_inside(staff_client, weeks, name):
    answer = staff_client.get(reverse(name) + "?range=30d")
    page = answer.content.decode()
    assert "script-src 'self'" in answer["Content-Security-Policy"]
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert not re.search(r"<script(?![^>]*(src=|application/json))", page)


@pytest.mark.parametrize(
    "query", ["range=1h", "range=24h", "range=7d", "range=30d", "range=all", "range=30d&app=search"]
)
def test_the_tabs_add_up_to_each_other(staff_client, weeks, query):
    overview = staff_client.get(f"/?{query}&zone=Europe/Berlin")
    cost = staff_client.get(f"/cost/?{query}&zone=Europe/Berlin")
    total = cost.context["totals"]
    assert overview.context["totals"] == total
    for table in cost.context["tables"]:
        assert sum(row.totals.requests for row in table.rows) == total.requests
        assert sum(row.totals.cost for row in table.rows) == total.cost
        assert sum(row.totals.tokens for row in table.rows) == total.tokens
    if not total.requests:
        return
    drawn = data(overview.content.decode())
    assert sum(drawn["ok"]) + sum(drawn["errors"]) == total.requests
    assert sum(drawn["errors"]) == total.errors
    assert sum(sum(one["tokens"]) for one in drawn["models"]) == total.tokens
    spent = sum(sum(one["cost"]) for one in drawn["models"])
    assert spent == pytest.approx(float(total.cost), abs=1e-8)
    by_tag = data(cost.content.decode())
    assert sum(sum(one["cost"]) for one in by_tag["lines"]) == pytest.approx(spent, abs=1e-8)
    api = staff_client.get(f"/api/stats?{query}&zone=Europe/Berlin").json()
    assert Decimal(api["total"]["cost"] or 0) == total.cost
    assert api["total"]["requests"] == total.requests


def test_totals_are_those_of_the_rows(staff_client, weeks):
    total = staff_client.get("/?range=all").context["totals"]
    rows = UsageRecord.objects.values_list("cost", "input_tokens")
    assert total.requests == len(rows)
    assert total.cost == sum(cost or 0 for cost, _ in rows)
    assert total.input_tokens == sum(tokens for _, tokens in rows)


def test_tiles_compare_with_the_period_before(staff_client):
    insert(
        [
            *(usage_row(created_at=NOW - 60, cost="2.0000000000") for _ in range(3)),
            usage_row(created_at=NOW - 24 * HOUR - 3600, cost="3.0000000000"),
        ],
        check=False,
    )
    tiles = {tile.name: tile for tile in staff_client.get("/?range=24h").context["tiles"]}
    assert (tiles["spend"].value, tiles["spend"].change.text) == ("$6.00", "100%")
    assert (tiles["requests"].change.arrow, tiles["requests"].change.text) == ("▲", "200%")
    assert staff_client.get("/?range=all").context["tiles"][0].change is None


def test_unknown_cost_is_never_shown_as_nothing(staff_client):
    insert([usage_row(created_at=NOW - 60, cost=None, model_used="acme")], check=False)
    page = staff_client.get("/")
    assert page.context["tiles"][0].value == "unknown"
    assert "1 requests have no price: acme" in page.content.decode()
    cost = staff_client.get("/cost/").content.decode()
    assert "Set price" in cost
    assert "pattern=acme" in cost


def test_untagged_and_others_are_shown(staff_client):
    insert(
        [
            usage_row(created_at=NOW - 60, feature_tag=f"t{number}" if number else "")
            for number in range(20)
        ],
        check=False,
    )
    (table, *_) = staff_client.get("/cost/").context["tables"]
    labels = [row.label for row in table.rows]
    assert "untagged" in labels
    assert labels[-1] == "8 others"


def test_an_empty_page_says_what_to_do(staff_client):
    page = staff_client.get("/").content.decode()
    assert "OPENAI_BASE_URL=http://testserver" in page
    filtered = staff_client.get("/?tag=x").content.decode()
    assert "Take a filter away" in filtered


def test_a_budget_over_its_limit_is_the_first_alert(staff_client):
    Budget.objects.create(name="small", limit=Decimal("0.00001"), period="total")
    insert([usage_row(created_at=NOW - 60), usage_row(created_at=NOW - 60, cost=None)], check=False)
    alerts = staff_client.get("/").context["alerts"]
    assert [alert.level for alert in alerts] == ["critical", "warning"]
    assert "Budget small blocks requests" in alerts[0].text


def test_budgets_have_their_burn_down(staff_client, weeks, monkeypatch):
    foreteller = Foreteller(forecast)
    monkeypatch.setattr(budgets, "foreteller", foreteller)
    monkeypatch.setattr(costs, "foreteller", foreteller)
    Budget.objects.create(name="month", limit=Decimal(5000), period="monthly")
    assert b"Working out how long it lasts" in staff_client.get("/cost/coming/?range=30d").content
    costs.coming(params.read({"range": "30d"}, datetime.now(UTC)), wait=60)
    budgets.burns(datetime.now(UTC), wait=60)
    page = staff_client.get("/cost/coming/?range=30d")
    (burn,) = page.context["burns"]
    assert burn.spent > 0
    assert "Lasts" in page.content.decode() or "Used up" in page.content.decode()
    assert data(page.content.decode(), "forecast-data")["coming"]


def test_filters_and_search_find_requests(staff_client):
    wanted = usage_row(created_at=NOW - 60, source_app="a", feature_tag="x")
    insert([wanted, usage_row(created_at=NOW - 50, source_app="b")], check=False)
    found = staff_client.get("/?app=a&tag=x").context["requests"].rows
    assert [row.request_id for row in found] == [wanted.request_id]
    found = staff_client.get("/?q=" + wanted.request_id.upper()).context["requests"].rows
    assert [row.request_id for row in found] == [wanted.request_id]
    assert staff_client.get("/?q=nonsense").context["requests"].rows == []
    assert staff_client.get("/?before=nonsense").status_code == 404


def test_a_requests_page_has_a_bill_that_adds_up(staff_client):
    row = usage_row(
        created_at=NOW - 60,
        input_tokens=1000,
        output_tokens=100,
        cost="0.0002100000",
        attempts=2,
        attempt_log="first:connect",
        decision='{"rule": "cheap", "why": ["tag"]}',
    )
    insert([row], check=False)
    page = staff_client.get(f"/requests/{row.request_id}/")
    detail = page.context["detail"]
    assert sum(line.amount for line in detail.lines) == Decimal("0.0002100000")
    assert [(a.upstream, a.sent) for a in detail.attempts] == [("first", False), ("openai", True)]
    assert ("why", '["tag"]') in detail.decision
    assert staff_client.get("/requests/" + "0" * 32 + "/").status_code == 404


def test_a_price_that_changed_since_is_a_line_of_its_own(staff_client):
    row = usage_row(created_at=NOW - 60, cost="9.0000000000")
    insert([row], check=False)
    lines = staff_client.get(f"/requests/{row.request_id}/").context["detail"].lines
    assert sum(line.amount for line in lines) == 9
    assert lines[-1].name.startswith("Not itemised")


def test_script_in_every_field_is_only_text(staff_client):
    row = usage_row(created_at=NOW - 60, cost=None)
    texts = {"endpoint", "model_requested", "model_used", "upstream", "error_type", "source_app"}
    texts |= {"session_id", "feature_tag", "finish_reason", "service_tier", "routing_rule"}
    texts |= {"ab_test", "cache_note", "attempt_log", "decision", "model_routed"}
    for name in texts:
        setattr(row, name, SCRIPT[:50] if name in ("finish_reason", "service_tier") else SCRIPT)
    insert([row], check=False)
    for address in ("/", "/cost/", f"/requests/{row.request_id}/", "/requests/", "/cost/coming/"):
        page = staff_client.get(address).content.decode()
        assert "<script>alert" not in page, address
        assert "<img src=x" not in page, address
    query = f"?tag={SCRIPT}&zone={SCRIPT}&range={SCRIPT}&q={SCRIPT}"
    assert "<script>alert" not in staff_client.get("/" + query).content.decode()


@pytest.mark.parametrize(("address", "most"), [("/", 25), ("/cost/", 22), ("/requests/", 6)])
def test_the_number_of_queries_does_not_grow(staff_client, weeks, address, most):
    for number in range(5):
        budget = Budget.objects.create(name=f"b{number}", limit=Decimal(5000), period="monthly")
        settlement.counter_of(spec_of(budget), spec_of(budget).at(NOW))  # as a worker does
    with CaptureQueriesContext(connection) as queries:
        staff_client.get(address + "?range=30d")
    assert len(queries) <= most, "\n".join(q["sql"][:160] for q in queries)


@pytest.mark.django_db(transaction=True)
async def test_the_export_is_exactly_the_view(async_client, django_user_model):
    from asgiref.sync import sync_to_async

    user = await sync_to_async(django_user_model.objects.create_user)("v", is_staff=True)
    await sync_to_async(async_client.force_login)(user)
    rows = [
        usage_row(
            created_at=NOW - 60 - number, source_app="=1+1", feature_tag="a" if number % 2 else "b"
        )
        for number in range(6)
    ]
    await sync_to_async(insert)(rows, check=False)
    answer = await async_client.get("/requests/export.csv?tag=a")
    text = b"".join([part async for part in answer.streaming_content]).decode()
    lines = text.splitlines()
    assert len(lines) == 4
    assert [line.split(",")[0] for line in lines[1:]] == [rows[n].request_id for n in (1, 3, 5)]
    assert "'=1+1" in lines[1]


def test_a_link_to_a_day_shows_that_day(staff_client):
    insert([usage_row(created_at=NOW - 3 * 24 * HOUR)], check=False)
    moment = datetime.fromtimestamp(NOW - 3 * 24 * HOUR, UTC)
    first, last = (moment - timedelta(hours=1), moment + timedelta(hours=1))
    address = f"/?from={first:%Y-%m-%dT%H:%M:%SZ}&to={last:%Y-%m-%dT%H:%M:%SZ}"
    assert staff_client.get(address).context["totals"].requests == 1
