"""The other process: TokenWatch with Oracle as its database, and the recorder as its driver.

``python -m tests.oracle.process migrations|queries|test-database`` prints as JSON what was
executed: ``{"pool": {…}, "steps": {name: [{"sql": …, "rows": […], "many": …}, …]}}``. A process
of its own, because settings and the default alias cannot change within one.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
USER, PASSWORD, DSN = "tokenwatch", "not-a-secret", "db.example:1521/FREEPDB1"


@cache
def recorded(what: str) -> dict[str, Any]:
    """Run this module and return what it printed; its errors fail the test that asked."""
    tests_own = what == "test-database"
    return answered("tests.oracle.process", what, tests_own=tests_own)


def answered(module: str, *args: str, stdin: str = "", tests_own: bool = False) -> dict[str, Any]:
    """Run a module of the tests with Oracle as the database; the JSON that it printed.

    With ``tests_own``, under the settings of a test run, configured as for one.
    """
    prefix = "TOKENWATCH_TEST_ORACLE_" if tests_own else "TOKENWATCH_ORACLE_"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENWATCH_")}
    with tempfile.TemporaryDirectory(prefix="tokenwatch-oracle-") as data_dir:
        done = subprocess.run(
            [sys.executable, "-m", module, *args],
            cwd=ROOT,
            env={
                **kept,
                "DJANGO_SETTINGS_MODULE": "tests.settings" if tests_own else "tokenwatch.settings",
                "TOKENWATCH_ENV_FILE": "",
                "TOKENWATCH_DATA_DIR": data_dir,
                "TOKENWATCH_SECRET_KEY": "only-for-tests",
                f"{prefix}USER": USER,
                f"{prefix}PASSWORD": PASSWORD,
                f"{prefix}DSN": DSN,
            },
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main(what: str) -> None:
    from tests.oracle.recorder import Recorder

    recorder = Recorder()
    recorder.install()

    import django

    django.setup()
    from django.db import connection

    connection.ensure_connection()  # what it asks of a new session is no step's doing
    steps = {"migrations": migrations, "queries": queries, "test-database": test_database}[what](
        recorder
    )
    report = {
        "pool": recorder.pool_parameters,
        "steps": {name: [asdict(call) for call in calls] for name, calls in steps.items()},
    }
    json.dump(report, sys.stdout, default=repr)


def migrations(recorder: Any) -> dict[str, Any]:
    """Migrate an empty database; the statements of each migration, data steps included."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    steps: dict[str, Any] = {}

    def progress(action: str, migration: Any = None, fake: Any = False) -> None:
        if action == "apply_start":
            recorder.log = steps.setdefault(f"{migration.app_label}.{migration.name}", [])
        elif action == "apply_success":
            recorder.log = []

    executor = MigrationExecutor(connection, progress)
    executor.migrate(executor.loader.graph.leaf_nodes())
    return steps


def test_database(recorder: Any) -> dict[str, Any]:
    """What a test run does before and after its tests."""
    from django.db import connection

    made: list[Any] = []
    removed: list[Any] = []
    recorder.log = made
    connection.creation.create_test_db(verbosity=0)
    connection.close()
    connection.ensure_connection()
    recorder.log = removed
    connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
    return {"made": made, "removed": removed}


def queries(recorder: Any) -> dict[str, Any]:
    """Run every registered step; the statements of each."""
    from tests.oracle.queries import STEPS
    from tests.oracle.recorder import no_rows

    steps: dict[str, Any] = {}
    for name, step in STEPS.items():
        recorder.log = steps.setdefault(name, [])
        recorder.answer = no_rows
        recorder.meets_rows = True
        step(recorder)
    return steps


if __name__ == "__main__":
    main(sys.argv[1])
