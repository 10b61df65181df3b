"""`oracle_check` tells what is missing, with its fix, by what the database answers."""

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.oracle.process import answered

READY: dict[str, Any] = {
    "FROM PRODUCT_COMPONENT_VERSION": [["23.26.1.0.0"]],
    "PRIVILEGE FROM SESSION_PRIVS": [
        ["CREATE SESSION"],
        ["CREATE TABLE"],
        ["CREATE SEQUENCE"],
        ["CREATE PROCEDURE"],
        ["CREATE TRIGGER"],
    ],
    "COUNT(*) FROM SESSION_PRIVS": [[0]],
    "FROM USER_USERS": [["USERS"]],
    "FROM USER_TABLESPACES": [["AUTO"]],
    "FROM USER_TS_QUOTAS": [[-1]],
    "FROM V$PARAMETER": [["536870912"]],
    "FROM USER_TAB_COLUMNS": [["TW_CACHE_VECTOR", "EMBEDDING"]],
    "FROM USER_INDEXES": [["TW_CACHE_VECTOR"]],
}
DENIED = "ORA-00942: table or view does not exist"
BARE: dict[str, Any] = {
    "FROM PRODUCT_COMPONENT_VERSION": [["19.3.0.0.0"]],
    "PRIVILEGE FROM SESSION_PRIVS": [["CREATE SESSION"], ["CREATE TABLE"]],
    "FROM USER_USERS": [["SYSTEM"]],
    "FROM USER_TABLESPACES": [["MANUAL"]],
    "FROM USER_TS_QUOTAS": [],
}

ADVISED: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "no pool": ({"FROM V$PARAMETER": [["0"]]}, "vector memory", "advised", "_size = 512M"),
    "pool unknown": ({"FROM V$PARAMETER": DENIED}, "vector memory", "unknown", "SHOW PARAMETER"),
    "no index": (
        {"FROM USER_INDEXES": []},
        "vector index",
        "advised",
        "CREATE VECTOR INDEX TW_CACHE_VECTOR_VX ON TW_CACHE_VECTOR (EMBEDDING)",
    ),
    "no vectors": ({"FROM USER_TAB_COLUMNS": []}, "vector index", "ok", ""),
    "small quota": ({"FROM USER_TS_QUOTAS": [[1 << 30]]}, "quota", "advised", "ON USERS"),
    "privilege": (
        {"FROM USER_TS_QUOTAS": [], "COUNT(*) FROM SESSION_PRIVS": [[1]]},
        "quota",
        "ok",
        "",
    ),
}
"""Changes, and what they make of which finding."""

UNREACHABLE = {
    "ORA-01017: invalid credential": "TOKENWATCH_ORACLE_PASSWORD",
    "ORA-01045: user lacks CREATE SESSION": "GRANT CREATE SESSION TO tokenwatch;",
    "DPY-6005: cannot connect to database\nmore": "Start the database",
    "DPY-6001: Service is not registered": ":1521/FREEPDB1",
    "ORA-99999: something new": "See the error.",
}
"""The driver's error, and a piece of its fix."""

SCENARIOS = {
    "ready": {**READY, "migrated": True},
    "bare": {**READY, **BARE},
    **{name: {**READY, "migrated": True, **case[0]} for name, case in ADVISED.items()},
    **{error: {"connect": error} for error in UNREACHABLE},
}


@pytest.fixture(scope="module")
def reports() -> dict[str, Any]:
    """What the command said in each scenario, all run in one other process."""
    return answered("tests.oracle.answering", stdin=json.dumps(SCENARIOS))


def findings(report: dict[str, Any]) -> dict[str, dict[str, str]]:
    assert report["report"]["ok"] == (report["error"] == "")
    return {finding["what"]: finding for finding in report["report"]["findings"]}


def test_a_database_that_has_everything(reports: dict[str, Any]) -> None:
    found = findings(reports["ready"])
    assert {finding["state"] for finding in found.values()} == {"ok"}
    assert len(found) == 8
    assert found["vector memory"]["found"] == "512 MiB"


def test_an_empty_database_of_a_user_without_rights_is_told_all_at_once(
    reports: dict[str, Any],
) -> None:
    assert reports["bare"]["error"] == ("not ready: version, grants, tablespace, quota, migrations")
    fixes = {what: finding["fix"] for what, finding in findings(reports["bare"]).items()}
    assert fixes["grants"] == (
        "GRANT CREATE SEQUENCE, CREATE PROCEDURE, CREATE TRIGGER TO TOKENWATCH;"
    )
    assert "SEGMENT SPACE MANAGEMENT AUTO" in fixes["tablespace"]
    assert fixes["quota"] == "ALTER USER TOKENWATCH QUOTA UNLIMITED ON SYSTEM;"
    assert fixes["migrations"] == "tokenwatch migrate"


@pytest.mark.parametrize("name", ADVISED)
def test_what_is_only_advised_fails_nothing(reports: dict[str, Any], name: str) -> None:
    _, what, state, fix = ADVISED[name]
    found = findings(reports[name])
    assert reports[name]["error"] == ""
    assert found[what]["state"] == state
    assert fix in found[what]["fix"]


@pytest.mark.parametrize("error", UNREACHABLE)
def test_a_database_that_cannot_be_reached_is_the_only_finding(
    reports: dict[str, Any], error: str
) -> None:
    found = findings(reports[error])
    assert reports[error]["error"] == "not ready: connection"
    assert list(found) == ["connection"]
    assert UNREACHABLE[error] in found["connection"]["fix"]


def test_on_another_engine_it_says_what_to_set(db: None) -> None:
    with pytest.raises(CommandError, match="TOKENWATCH_ORACLE_USER"):
        call_command("oracle_check")
