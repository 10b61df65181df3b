"""On Oracle, `migrate` runs from nothing to the newest state."""

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db.migrations.loader import MigrationLoader

from tests.oracle.dialect import problem
from tests.oracle.names import OWN_APPS, mangled, reserved_columns

Report = dict[str, Any]


def test_every_migration_of_every_app_is_run(migrations: Report) -> None:
    loader = MigrationLoader(None)
    assert set(migrations["steps"]) == {f"{app}.{name}" for app, name in loader.disk_migrations}


def test_every_statement_is_oracle_sql(migrations: Report) -> None:
    statements = [
        (step, call["sql"]) for step, calls in migrations["steps"].items() for call in calls
    ]
    assert len(statements) > 50
    wrong = [(step, what, sql) for step, sql in statements if (what := problem(sql))]
    assert wrong == []


def test_every_model_of_ours_gets_its_table(migrations: Report) -> None:
    created = {
        call["sql"].split('"')[1]
        for calls in migrations["steps"].values()
        for call in calls
        if call["sql"].startswith("CREATE TABLE")
    }
    tables = {m._meta.db_table for app in OWN_APPS for m in apps.get_app_config(app).get_models()}
    assert {table.upper() for table in tables} <= created


def test_the_price_sheet_is_filled_in_one_batch(migrations: Report) -> None:
    seeds = [
        call
        for call in migrations["steps"]["usage.0002_seed_price_sheet"]
        if "TW_MODEL_PRICE" in call["sql"]
    ]
    rows = import_module("usage.migrations.0002_seed_price_sheet").ROWS
    assert len(seeds) == 1
    for pattern, *_ in rows:
        assert pattern in str(seeds[0]["rows"])


def test_vectors_are_a_column_of_oracles_type_and_never_null(migrations: Report) -> None:
    (table,) = [
        call["sql"]
        for call in migrations["steps"]["cache.0001_initial"]
        if "TW_CACHE_VECTOR" in call["sql"] and call["sql"].startswith("CREATE TABLE")
    ]
    assert '"EMBEDDING" VECTOR(384, FLOAT32) NOT NULL' in table


@pytest.mark.parametrize("app", OWN_APPS)
def test_no_name_is_too_long_for_oracle(app: str) -> None:
    assert mangled(app) == []


@pytest.mark.parametrize("app", OWN_APPS)
def test_no_column_has_a_reserved_name(app: str) -> None:
    assert reserved_columns(app) == []


def test_the_index_of_ab_tests_has_no_condition_and_needs_none(migrations: Report) -> None:
    """Rows whose indexed columns are all NULL are in no index of Oracle's."""
    (index,) = [
        call["sql"]
        for calls in migrations["steps"].values()
        for call in calls
        if "TW_USAGE_AB" in call["sql"]
    ]
    assert index.endswith('ON "TW_USAGE" ("AB_TEST", "AB_VARIANT")')
