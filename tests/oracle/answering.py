"""`oracle_check --json` in a process of its own, with a driver that answers by SQL.

``python -m tests.oracle.answering`` reads a JSON object of scenarios by name and prints what
came of each: ``{name: {"report": …, "error": …}}``. A scenario has pieces of SQL and the rows
that answer a statement with it, or the driver's error. ``connect`` is an error of every
connection, ``migrated`` makes the database one with all migrations applied.
"""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from io import StringIO
from typing import Any

import oracledb

from tests.oracle import recorder as stand_in
from tests.oracle.recorder import Executed, Recorder


def main() -> None:
    recorder = Recorder()
    recorder.install()

    import django

    django.setup()
    from django.core.management import CommandError, call_command
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    applied = [
        (number, app, name, datetime(2026, 1, 1))
        for number, (app, name) in enumerate(MigrationLoader(None).disk_migrations)
    ]
    found = {}
    acquire = stand_in.Pool.acquire
    for name, scenario in json.load(sys.stdin).items():
        connection.close()
        refusal = scenario.pop("connect", None)
        stand_in.Pool.acquire = refuse(refusal) if refusal else acquire  # type: ignore[method-assign]
        recorder.answer = answers(scenario, applied if scenario.pop("migrated", False) else [])
        out, error = StringIO(), ""
        try:
            call_command("oracle_check", "--json", stdout=out)
        except CommandError as exc:
            error = str(exc)
        found[name] = {"report": json.loads(out.getvalue()), "error": error}
    json.dump(found, sys.stdout)


def answers(scenario: dict[str, Any], applied: Sequence[tuple[Any, ...]]) -> Any:
    def answer(call: Executed) -> Sequence[tuple[Any, ...]]:
        sql = call.sql.upper()
        if "USER_TABLES" in sql and "USER_TABLESPACES" not in sql:
            return [("django_migrations", "t", None)] if applied else []
        if 'FROM "DJANGO_MIGRATIONS"' in sql:
            return applied
        for piece, rows in scenario.items():
            if piece in sql:
                if isinstance(rows, str):
                    raise oracledb.DatabaseError(rows)
                return [tuple(row) for row in rows]
        return ()

    return answer


def refuse(error: str) -> Any:
    def acquire(*_: Any) -> Any:
        raise oracledb.DatabaseError(error)

    return acquire


if __name__ == "__main__":
    main()
