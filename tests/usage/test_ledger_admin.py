"""The ledger in the admin: found by name and by filter, edited by nobody, fast when it is big."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.usage.samples import usage_row
from usage import admin as ledger_admin
from usage.models import UsageRecord
from usage.writer import insert

pytestmark = pytest.mark.django_db
LIST = "/admin/usage/usagerecord/"
NOW = datetime.now(UTC).timestamp()


def store(*rows):
    insert(rows, check=False)
    return rows


def shown(client, **query):
    """The apps of the requests that the list shows, in its order."""
    response = client.get(LIST, query)
    assert response.status_code == 200
    return [record.source_app for record in response.context["cl"].result_list]


def test_the_newest_requests_come_first(admin_client):
    store(
        usage_row(source_app="older", created_at=NOW - 60),
        usage_row(source_app="newest", created_at=NOW),
        usage_row(source_app="oldest", created_at=NOW - 120),
    )
    assert shown(admin_client) == ["newest", "older", "oldest"]


def test_the_list_tells_known_from_unknown_and_counted_from_estimated(admin_client):
    store(
        usage_row(created_at=NOW, cost=None, usage_estimated=True, input_tokens=1234),
        usage_row(created_at=NOW, status_code=529, error_type="overloaded_error"),
    )
    page = admin_client.get(LIST).content.decode()
    for text in ("unknown", "~1,234", "$0.0000270000", "529 overloaded_error"):
        assert text in page


@pytest.mark.parametrize("field", ["model_used", "model_requested", "session_id", "feature_tag"])
def test_a_request_is_found_by_a_part_of_a_name(admin_client, field):
    store(usage_row(source_app="found", **{field: "the Needle here"}), usage_row())
    assert shown(admin_client, q="needle") == ["found"]


def test_a_request_id_is_looked_up_by_its_index(admin_client):
    wanted, _ = store(usage_row(source_app="found"), usage_row())
    with CaptureQueriesContext(connection) as queries:
        assert shown(admin_client, q=f" {wanted.request_id.upper()} ") == ["found"]
    searches = [q["sql"] for q in queries if wanted.request_id in q["sql"]]
    assert searches
    assert not any("LIKE" in sql for sql in searches)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"period": "1h"}, ["new"]),
        ({"period": "7d"}, ["new", ""]),
        ({"period": "30d"}, ["new", "", "old"]),
        ({"period": "nonsense"}, ["new", "", "old"]),
        ({"model": "glm-4.7"}, ["old"]),
        ({"app": "new"}, ["new"]),
        ({"app": ledger_admin.NONE}, [""]),
        ({"tag": "chat"}, ["new"]),
        ({"status": "4"}, [""]),
        ({"status": "5"}, []),
        ({"status": "error"}, ["new", ""]),
        ({"cost": "unknown"}, ["old"]),
        ({"cost": "known"}, ["new", ""]),
        ({"app": "new", "status": "4"}, []),
    ],
)
def test_filters_narrow_the_list(admin_client, query, expected):
    day = 24 * 3600
    store(
        usage_row(source_app="new", created_at=NOW, feature_tag="chat", error_type="stream_error"),
        usage_row(source_app="", created_at=NOW - 2 * day, status_code=404),
        usage_row(
            source_app="old",
            created_at=NOW - 20 * day,
            cost=None,
            model_used="",
            model_requested="glm-4.7",
        ),
    )
    assert shown(admin_client, **query) == expected


def test_filters_offer_the_names_that_there_are(admin_client):
    store(usage_row(created_at=NOW, feature_tag="chat"), usage_row(created_at=NOW, feature_tag=""))
    (tags,) = [
        spec
        for spec in admin_client.get(LIST).context["cl"].filter_specs
        if spec.parameter_name == "tag"
    ]
    assert sorted(name for name, _ in tags.lookup_choices) == [ledger_admin.NONE, "chat"]


def test_no_page_counts_or_sorts_the_whole_table(admin_client, monkeypatch):
    monkeypatch.setattr(ledger_admin, "COUNT_LIMIT", 60)
    store(*[usage_row(created_at=NOW) for _ in range(80)])
    with CaptureQueriesContext(connection) as queries:
        page = admin_client.get(LIST, {"p": 2, "app": "crm", "o": "1"})
    assert len(page.context["cl"].result_list) == 10
    on_rows = [q["sql"] for q in queries if '"tw_usage"' in q["sql"]]
    assert on_rows
    assert all("LIMIT" in sql and "DISTINCT" not in sql for sql in on_rows)


def test_a_request_is_shown_whole_and_cannot_be_changed(admin_client):
    (row,) = store(usage_row(source_app="<script>alert(1)</script>", saved_cost="0.5000000000"))
    record = UsageRecord.objects.get()
    address = reverse("admin:usage_usagerecord_change", args=[record.pk])
    page = admin_client.get(address).content.decode()
    assert row.request_id in page
    assert "<script>alert(1)" not in page
    assert admin_client.post(address, {"source_app": "other"}).status_code == 403
    assert admin_client.get(f"{LIST}add/").status_code == 403
    delete = reverse("admin:usage_usagerecord_delete", args=[record.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    assert UsageRecord.objects.get().source_app == row.source_app


def test_the_detail_page_leaves_no_field_out():
    fields = {
        name for _, options in ledger_admin.UsageRecordAdmin.fieldsets for name in options["fields"]
    }
    columns = {f.name for f in UsageRecord._meta.concrete_fields}
    assert columns - fields == {"id", "cost"}  # the cost is shown as `price`
