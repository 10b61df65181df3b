"""Batches into the database: each row once, and rollups that agree with the rows."""

from decimal import Decimal

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.usage.samples import (
    NOON,
    assert_rollups_agree,
    rollup_sums,
    stored_ids,
    sums_of,
    usage_row,
)
from usage import writer
from usage.models import UsageRecord, UsageRollup
from usage.rollups import HOUR
from usage.rows import UsageRow
from usage.statements import Statements, build
from usage.writer import DatabaseUnavailableError, RowsRefusedError, insert, probe

pytestmark = pytest.mark.django_db


def test_a_row_is_stored_field_by_field():
    row = usage_row(
        created_at=NOON + 0.123456,
        stream=True,
        ttft_ms=12,
        cost="0.0000270001",
        saved_cost="0.1000000000",
        routing_saved="-0.2000000000",
        cache_similarity=0.25,
        cache_read_tokens=5,
        cache_write_tokens=6,
        cache_write_1h_tokens=7,
        reasoning_tokens=8,
        session_id="s",
        feature_tag="né\N{FOX FACE}",
    )
    insert([row], check=False)
    record = UsageRecord.objects.get()
    for name in row.__struct_fields__:
        if name not in ("created_at", "cost", "saved_cost", "routing_saved", "holds"):
            assert getattr(record, name) == getattr(row, name), name
    assert record.cost == Decimal("0.0000270001")
    assert record.saved_cost == Decimal("0.1")
    assert record.routing_saved == Decimal("-0.2")
    assert record.created_at.isoformat() == "2026-11-23T12:00:00.123456+00:00"


def test_an_unknown_cost_is_null():
    insert([usage_row(cost=None)], check=False)
    assert UsageRecord.objects.get().cost is None


def test_rows_that_are_stored_are_left_out_when_checked():
    rows = [usage_row() for _ in range(3)]
    assert insert(rows[:2], check=False) == 2
    assert insert([*rows, rows[2]], check=True) == 1
    assert stored_ids() == sorted(row.request_id for row in rows)
    assert_rollups_agree()


def test_a_row_that_is_stored_is_refused_when_not_checked():
    row = usage_row()
    insert([row], check=False)
    with pytest.raises(RowsRefusedError):
        insert([usage_row(), row], check=False)
    assert UsageRecord.objects.count() == 1
    assert_rollups_agree()


def test_rollups_grow_with_each_batch():
    for _ in range(3):
        insert([usage_row(), usage_row(cost=None)], check=False)
    assert UsageRollup.objects.count() == 3
    assert_rollups_agree()
    hour = UsageRollup.objects.get(bucket_seconds=HOUR)
    assert (hour.requests, hour.unpriced, hour.cost) == (6, 3, Decimal("0.0000810000"))
    assert hour.bucket_start.isoformat() == "2026-11-23T12:00:00+00:00"


def test_a_fraction_of_a_cent_added_often_does_not_drift():
    for _ in range(200):
        insert([usage_row(cost="0.1000000001")], check=False)
    assert rollup_sums(HOUR)["cost"] == Decimal("20.0000000200")


def test_statements_do_not_grow_with_the_rows():
    def statements(count, tag):
        with CaptureQueriesContext(connection) as queries:
            for _ in range(2):  # once the rollups are new, once they exist
                rows = [usage_row(model_used=f"{tag}{number}") for number in range(count)]
                insert(rows, check=True)
        return len(queries)

    insert([usage_row()], check=False)  # what all requests have in common exists
    assert statements(150, "many") == statements(2, "few")


def test_a_rollup_that_another_worker_inserts_first_is_added_to(monkeypatch):
    """Both looked before either had inserted."""
    insert([usage_row()], check=False)
    real, calls = writer._existing, []

    def blind_once(sql, keys):
        calls.append(keys)
        return set() if len(calls) == 1 else real(sql, keys)

    monkeypatch.setattr(writer, "_existing", blind_once)
    insert([usage_row()], check=False)
    assert len(calls) == 3  # twice for the rollups, once for the timings
    assert_rollups_agree()


def test_rows_without_their_rollups_are_not_stored(monkeypatch):
    monkeypatch.setattr(writer, "_existing", lambda sql, keys: set(keys))
    with pytest.raises(DatabaseUnavailableError, match="removed while"):
        insert([usage_row()], check=False)


def test_a_value_the_database_cannot_hold_is_a_refusal():
    with pytest.raises(RowsRefusedError):
        insert([usage_row(), usage_row(input_tokens=2**70)], check=False)
    assert stored_ids() == []


@pytest.mark.parametrize("call", [lambda: insert([usage_row()], check=False), probe])
@pytest.mark.django_db(transaction=True)
def test_an_unreachable_database_is_told_apart(monkeypatch, call):
    def refuse(self):
        raise OperationalError("connection refused\n\tis the server running?\n")

    connection.close()
    monkeypatch.setattr(BaseDatabaseWrapper, "connect", refuse)
    with pytest.raises(DatabaseUnavailableError, match=r"refused is the server running\?$"):
        call()


@pytest.mark.django_db(transaction=True)
def test_a_missing_table_is_no_fault_of_the_rows(monkeypatch):
    """Before `migrate` ran, rows wait; they are not thrown out."""
    monkeypatch.setattr(
        Statements, "of", classmethod(lambda cls, c: writer_statements_for("tw_nowhere"))
    )
    with pytest.raises(DatabaseUnavailableError):
        insert([usage_row()], check=False)


def writer_statements_for(table):
    def quote(name):
        return f'"{table if name == "tw_usage" else name}"'

    return build(quote)


@pytest.mark.parametrize("code", ["ORA-12899: value too large for column", "ORA-01722: invalid"])
def test_oracles_content_errors_are_refusals(monkeypatch, code):
    def refuse(rows):
        raise DatabaseError(code)

    monkeypatch.setattr(writer, "insert_rows", refuse)
    with pytest.raises(RowsRefusedError):
        insert([usage_row()], check=False)


rows = st.lists(
    st.builds(
        usage_row,
        request_id=st.integers(0, 30).map(lambda n: f"{n:032x}"),
        created_at=st.floats(NOON, NOON + 7200),
        feature_tag=st.sampled_from(["", "chat", "é"]),
        cost=st.none() | st.decimals(0, 100, places=10).map(lambda d: f"{d:.10f}"),
        status_code=st.sampled_from([200, 500]),
        input_tokens=st.integers(0, 10**9),
    ),
    min_size=1,
    max_size=8,
)


@given(batches=st.lists(rows, max_size=5))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_retried_is_counted_once(batches):
    UsageRecord.objects.all().delete()
    UsageRollup.objects.all().delete()
    first: dict[str, UsageRow] = {}
    for batch in batches:
        stored = set(first)
        # of two rows with one id in the same batch, the later counts
        for row in {row.request_id: row for row in batch}.values():
            first.setdefault(row.request_id, row)
        assert insert(batch, check=True) == len(set(first) - stored)
    assert rollup_sums(HOUR) == sums_of(first.values())
    assert_rollups_agree()
