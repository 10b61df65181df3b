"""With TOKENWATCH_ORACLE_* set, connections come from a bounded pool of the configured server."""

from typing import Any

import oracledb
import pytest

from tests.oracle.process import DSN, PASSWORD, USER, recorded
from tests.oracle.recorder import Recorder
from tokenwatch.conf import load
from tokenwatch.settings import database

CONFIG = load(
    {
        "TOKENWATCH_ORACLE_USER": USER,
        "TOKENWATCH_ORACLE_PASSWORD": PASSWORD,
        "TOKENWATCH_ORACLE_DSN": DSN,
        "TOKENWATCH_DATABASE_URL": "postgres://ignored@db/other",
    }
)


def test_the_driver_takes_every_parameter_of_the_pool() -> None:
    options = dict(database(CONFIG)["OPTIONS"])
    parameters = oracledb.PoolParams(**options.pop("pool"), **options)
    assert (parameters.min, parameters.max) == (2, 16)
    assert parameters.getmode == oracledb.POOL_GETMODE_TIMEDWAIT
    assert parameters.wait_timeout == 5000


def test_a_parameter_that_the_driver_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError):
        Recorder()._create_pool(DSN, maximum=16)


def test_the_pool_is_asked_for_with_the_configured_server(queries: dict[str, Any]) -> None:
    pool = queries["pool"]
    assert (pool["dsn"], pool["user"], pool["password"]) == (DSN, USER, PASSWORD)
    assert pool["tcp_connect_timeout"] == 5.0


def test_the_dsn_is_not_taken_for_a_sid() -> None:
    settings = database(CONFIG)
    assert settings["NAME"] == DSN
    assert "HOST" not in settings
    assert "PORT" not in settings


def test_django_keeps_no_connection_beside_the_pool() -> None:
    assert database(CONFIG)["CONN_MAX_AGE"] == 0


def test_oracle_goes_before_a_database_url() -> None:
    assert database(CONFIG)["ENGINE"] == "django.db.backends.oracle"


def test_a_test_run_needs_no_privileged_user_and_removes_nobody() -> None:
    """The tests' database is the schema of the user that they are given."""
    report = recorded("test-database")
    made = [call["sql"] for call in report["steps"]["made"]]
    assert any(sql.startswith('CREATE TABLE "TW_USAGE"') for sql in made)
    everything = made + [call["sql"] for call in report["steps"]["removed"]]
    for word in ("TABLESPACE", "CREATE USER", "DROP USER", "GRANT"):
        assert not [sql for sql in everything if word in sql.upper()]
    assert (report["pool"]["user"], report["pool"]["password"]) == (USER, PASSWORD)
