"""The harness itself notices what it is there to notice."""

import array
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps

from tests.oracle import names
from tests.oracle.dialect import problem
from tests.oracle.recorder import BadBinds, Executed, check_binds


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT "A" FROM "T" ORDER BY 1 FETCH FIRST 5 ROWS ONLY',
        'SELECT "A" FROM "T" OFFSET 5 ROWS FETCH FIRST 2 ROWS ONLY',
        'INSERT INTO "T" ("A") VALUES (:arg0) RETURNING "T"."ID" INTO :arg1',
        'SELECT "A" FROM "T" WHERE "A" LIKE TRANSLATE(:arg0 USING NCHAR_CS)'
        " ESCAPE TRANSLATE('\\' USING NCHAR_CS)",
        "SELECT 'LIMIT 5 :: FROM x AS y' FROM DUAL",
        'ALTER TABLE "T" MODIFY "A" NVARCHAR2(255)',
        'ALTER TABLE "T" MODIFY "A" NULL',
        'SELECT "A" FROM "T" FOR UPDATE SKIP LOCKED',
        "CREATE VECTOR INDEX i ON t (e) ORGANIZATION NEIGHBOR PARTITIONS DISTANCE COSINE"
        " WITH TARGET ACCURACY 95",
        "SELECT a FROM t ORDER BY d FETCH APPROX FIRST 5 ROWS ONLY WITH TARGET ACCURACY 95",
    ],
)
def test_oracle_sql_passes(sql: str) -> None:
    assert problem(sql) == ""


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT "A" FROM "T" LIMIT 5',
        'INSERT INTO "T" ("A") VALUES (1) ON CONFLICT DO NOTHING',
        'INSERT OR IGNORE INTO "T" ("A") VALUES (1)',
        'INSERT INTO "T" ("A") VALUES (1) RETURNING "A"',
        'SELECT "A"::int FROM "T"',
        'SELECT "A" FROM "T" AS "X"',
        'SELECT "A" FROM "T" WHERE "A" ILIKE \'x\'',
        "SELECT `A` FROM `T`",
        'SELEC "A" FROM "T"',
        'SELECT "A" FROM "T" WHERE',
        "PRAGMA journal_mode=WAL",
        "VACUUM",
        "CREATE VECTOR INDEX i ON t (e) DISTANCE COSINE",
        "SELECT a FROM t FETCH APPROX FIRST ROWS",
        "",
        f'SELECT "A" FROM "T" WHERE "A" IN ({", ".join(f":arg{i}" for i in range(1001))})',
    ],
)
def test_another_databases_sql_does_not_pass(sql: str) -> None:
    assert problem(sql) != ""


def check(sql: str, *rows: Any) -> None:
    check_binds(Executed(sql, rows, many=len(rows) > 1))


def test_binds_that_the_driver_takes_pass() -> None:
    check("SELECT :arg0, ':no', :arg1 FROM DUAL", {":arg0": 1, ":arg1": datetime(2026, 1, 1)})
    check("UPDATE T SET A = :arg0 WHERE B = :arg1", [None, "x"], [Decimal("1.5"), "y"], [2, None])


def test_an_array_must_be_bound_as_a_vector() -> None:
    vector = array.array("f", [0.5])
    sql = "SELECT VECTOR_DISTANCE(A, :arg0, COSINE) FROM T"
    check_binds(Executed(sql, [{":arg0": vector}], False, {"arg0": "DB_TYPE_VECTOR"}))
    with pytest.raises(BadBinds, match="not bound as a vector"):
        check(sql, {":arg0": vector})


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT :arg0 FROM DUAL", [{}]),
        ("SELECT 1 FROM DUAL", [{":arg0": 1}]),
        ("UPDATE T SET A = :arg0", [["1.5"], [Decimal("1.5")]]),
        ("UPDATE T SET A = :arg0", [[["a list"]]]),
    ],
    ids=["no value", "no placeholder", "text and number in a column", "unknown type"],
)
def test_binds_that_the_driver_refuses_are_an_error(sql: str, rows: list[Any]) -> None:
    with pytest.raises(BadBinds):
        check(sql, *rows)


@isolate_apps()
def test_long_and_reserved_names_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bad(models.Model):
        level = models.IntegerField()
        a_column_with_a_name_that_is_too_long = models.IntegerField()

        class Meta:
            app_label = "tests"
            db_table = "bad"

        def __str__(self) -> str:
            return "bad"

    monkeypatch.setattr(names, "models_of", lambda app: iter([Bad]))
    assert names.mangled("tests") == ["a_column_with_a_name_that_is_too_long"]
    assert names.reserved_columns("tests") == ["bad.level"]
