"""The price sheet as an operator sees and changes it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from tests.usage.samples import usage_row
from tokenwatch import policy
from usage import (
    prices_admin,  # noqa: F401 - registers the sheet
    writer,
)
from usage.models import ModelPrice
from usage.pricebook import load_price_book

pytestmark = pytest.mark.django_db
LIST = "admin:usage_modelprice_changelist"
ADD = "admin:usage_modelprice_add"


def text(response):
    return " ".join(response.content.decode().split())


def used_without_a_price(model, requests=3, days_ago=1):
    at = (timezone.now() - timedelta(days=days_ago)).timestamp()
    rows = [usage_row(model_used=model, created_at=at, cost=None) for _ in range(requests)]
    writer.insert([*rows, usage_row(model_used=model, created_at=at)], check=False)


def make(pattern="gpt-4o", price="2.5", output="10", **options):
    return ModelPrice.objects.create(
        **{
            "pattern": pattern,
            "input_per_mtok": Decimal(price),
            "output_per_mtok": Decimal(output),
            "valid_from": datetime(2026, 1, 1, tzinfo=UTC),
            **options,
        }
    )


def form(**changes):
    return {
        "pattern": "my-model",
        "input_per_mtok": "1",
        "output_per_mtok": "2",
        "cache_read_per_mtok": "",
        "cache_write_per_mtok": "",
        "cache_write_1h_per_mtok": "",
        "valid_from_0": "2026-01-01",
        "valid_from_1": "00:00:00",
        "retired_at_0": "",
        "retired_at_1": "",
        **changes,
    }


def columns(response, pattern):
    """The cells of one row of the list, as the admin computed them."""
    changelist = response.context["cl"]
    row = next(row for row in changelist.result_list if row.pattern == pattern)
    model_admin = changelist.model_admin
    return {
        name: getattr(model_admin, name)(row)
        for name in ("price", "cache_price", "catalogue_price", "verdict", "state")
    }


def test_the_list_shows_the_catalogues_price_and_marks_rows_that_differ(admin_client):
    response = admin_client.get(reverse(LIST))
    assert columns(response, "claude-opus-4-6") == {
        "price": "15 / 75",
        "cache_price": "– / – / –",
        "catalogue_price": "5 / 25",
        "verdict": "differs",
        "state": "in force",
    }
    assert columns(response, "claude-sonnet-4-5")["verdict"] == "same"
    assert columns(response, "glm-4.7-flash")["verdict"] == "not in the catalogue"
    page = text(response)
    for words in ("15 / 75", "5 / 25", "differs", "same", "not in the catalogue"):
        assert words in page


def test_a_cache_price_of_ones_own_counts_as_a_difference(admin_client):
    make(cache_read_per_mtok=Decimal("1.25"))
    make("gpt-4o-mini", "0.15", "0.6", cache_read_per_mtok=Decimal("0.1"))
    response = admin_client.get(reverse(LIST))
    assert columns(response, "gpt-4o")["verdict"] == "same"
    assert columns(response, "gpt-4o-mini")["verdict"] == "differs"


def test_the_list_tells_which_rows_are_in_force(admin_client):
    soon = timezone.now() + timedelta(days=1)
    make("one", valid_from=datetime(2025, 1, 1, tzinfo=UTC))
    make("two", valid_from=soon)
    make("three", retired_at=timezone.now())
    make("model-4.5", valid_from=datetime(2025, 1, 1, tzinfo=UTC))
    make("Model-4-5")
    response = admin_client.get(reverse(LIST))
    patterns = ("one", "two", "three", "model-4.5", "Model-4-5")
    states = [columns(response, pattern)["state"] for pattern in patterns]
    assert states == ["in force", "not yet", "retired", "superseded", "in force"]


def test_models_without_a_price_are_listed_with_a_link_to_add_one(admin_client):
    used_without_a_price("acme/größe & co", requests=7)
    used_without_a_price("<b>bold</b>", requests=1)
    used_without_a_price("long-ago", days_ago=40)
    response = admin_client.get(reverse(LIST))
    page = text(response)
    found = [(item["model"], item["requests"]) for item in response.context["unpriced_models"]]
    assert found == [("acme/größe & co", 7), ("<b>bold</b>", 1)]
    assert f"{reverse(ADD)}?pattern={quote('acme/größe & co', safe='').replace('%20', '+')}" in page
    assert "7 requests" in page
    assert "1 request<" in page.replace(" <", "<")
    assert "<b>bold</b>" not in page
    assert "long-ago" not in page


def test_the_list_of_unpriced_models_is_absent_where_all_are_priced(admin_client):
    assert "unpriced-models" not in text(admin_client.get(reverse(LIST)))


def test_add_a_price_starts_with_the_model_and_with_now(admin_client):
    response = admin_client.get(reverse(ADD), {"pattern": "acme/model"})
    initial = response.context["adminform"].form.initial
    assert initial["pattern"] == "acme/model"
    assert abs(initial["valid_from"] - timezone.now()) < timedelta(minutes=1)


def test_a_new_price_is_stored_and_reaches_the_workers(admin_client):
    before = policy.current()
    response = admin_client.post(reverse(ADD), form(pattern="  my-model "))
    assert response.status_code == 302
    assert ModelPrice.objects.filter(pattern="my-model").count() == 1
    assert policy.current() > before


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"input_per_mtok": "-1"}, "input_per_mtok"),
        ({"cache_write_1h_per_mtok": "-0.000001"}, "cache_write_1h_per_mtok"),
        ({"pattern": "   "}, "pattern"),
        ({"pattern": "two words"}, "pattern"),
        ({"retired_at_0": "2025-01-01", "retired_at_1": "00:00:00"}, "retired_at"),
        ({"output_per_mtok": ""}, "output_per_mtok"),
    ],
)
def test_nonsense_is_refused_at_its_field(admin_client, changes, field):
    response = admin_client.post(reverse(ADD), form(**changes))
    assert response.status_code == 200
    assert set(response.context["adminform"].form.errors) == {field}
    assert not ModelPrice.objects.filter(valid_from__year=2026).exists()


def use_the_catalogue(client, *rows):
    data = {"action": "use_the_catalogue", "_selected_action": [row.pk for row in rows]}
    return client.post(reverse(LIST), data, follow=True)


def cost_of(model):
    rates = load_price_book().rates(model, at=timezone.now().timestamp()).rates
    return None if rates is None else rates.base.prices["input"]


def test_use_the_catalogues_price_retires_the_row_on_every_worker(admin_client):
    row = ModelPrice.objects.get(pattern="claude-opus-4-6")
    before = policy.current()
    assert cost_of("claude-opus-4-6") == 15
    page = text(use_the_catalogue(admin_client, row))
    assert "1 row retired." in page
    assert cost_of("claude-opus-4-6") == 5
    assert policy.current() > before
    assert LogEntry.objects.filter(object_id=str(row.pk)).exists()


def test_a_row_that_the_catalogue_cannot_replace_stays(admin_client):
    row = ModelPrice.objects.get(pattern="glm-4.7-flash")
    page = text(use_the_catalogue(admin_client, row))
    assert "glm-4.7-flash stays" in page
    assert "0 rows retired." in page
    row.refresh_from_db()
    assert row.retired_at is None


def test_retiring_again_does_not_move_the_time(admin_client):
    row = make(retired_at=datetime(2026, 2, 1, tzinfo=UTC))
    before = policy.current()
    use_the_catalogue(admin_client, row)
    row.refresh_from_db()
    assert row.retired_at == datetime(2026, 2, 1, tzinfo=UTC)
    assert policy.current() == before
