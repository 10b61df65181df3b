"""What an Oracle database still lacks for TokenWatch, each with what puts it right.

Read-only. What is checked needs no privilege beyond a user's own views, but for the vector
pool's size: where that may not be read, the finding says so and does not guess.

How it fails: a database that cannot be reached is itself a finding, the only one then. A
question that the database refuses (a view that is not granted) is an ``unknown`` finding;
other errors of the database are passed on.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.db import DatabaseError, Error, connection
from django.db.migrations.executor import MigrationExecutor

State = Literal["ok", "missing", "advised", "unknown"]
"""``missing`` must be put right; ``advised`` makes it faster or safer."""

NEEDED = (
    "CREATE SESSION",
    "CREATE TABLE",
    "CREATE SEQUENCE",
    "CREATE PROCEDURE",
    "CREATE TRIGGER",
)
OLDEST = (23, 4)
"""The first release with the type VECTOR."""
NO_SUCH_VIEW = ("ORA-00942", "ORA-01031", "ORA-41900")

CONNECTION_FIXES = {
    "ORA-01017": "Set TOKENWATCH_ORACLE_USER and TOKENWATCH_ORACLE_PASSWORD to a user that exists.",
    "ORA-01045": "As SYSTEM: GRANT CREATE SESSION TO {user};",
    "ORA-28000": "As SYSTEM: ALTER USER {user} ACCOUNT UNLOCK;",
    "ORA-28001": 'As SYSTEM: ALTER USER {user} IDENTIFIED BY "…";',
    "ORA-12514": "TOKENWATCH_ORACLE_DSN names a service that the listener does not know: "
    "host:port/service, for the free edition :1521/FREEPDB1.",
    "DPY-6001": "TOKENWATCH_ORACLE_DSN names a service that the listener does not know: "
    "host:port/service, for the free edition :1521/FREEPDB1.",
    "DPY-6005": "Start the database, and check host and port in TOKENWATCH_ORACLE_DSN.",
    "ORA-01109": "As SYS: ALTER PLUGGABLE DATABASE ALL OPEN;",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    found: str
    fix: str = ""
    """Statements or settings that put it right; empty where nothing is to be done."""


def check(user: str) -> list[Finding]:
    """Look at everything. ``user`` is the one that TokenWatch connects as."""
    try:
        connection.ensure_connection()
    except Error as exc:
        return [unreachable(exc, user)]
    user = user.upper()
    tablespace = _value("SELECT default_tablespace FROM user_users") or ""
    checks: Sequence[Callable[[], Finding]] = (
        version,
        lambda: grants(user),
        lambda: space_management(user, tablespace),
        lambda: quota(user, tablespace),
        migrations,
        vector_memory,
        vector_index,
    )
    return [Finding("connection", "ok", f"as {user}"), *(one() for one in checks)]


def unreachable(exc: Error, user: str) -> Finding:
    line = " ".join(str(exc).split())
    code = re.search(r"\b(?:ORA|DPY)-\d+", line)
    fix = CONNECTION_FIXES.get(code[0] if code else "", "See the error.")
    return Finding("connection", "missing", line, fix.format(user=user))


def version() -> Finding:
    text = _value("SELECT version_full FROM product_component_version") or "unknown"
    if _release(text) < OLDEST:
        fix = "Upgrade to Oracle AI Database 26ai; the semantic cache needs its type VECTOR."
        return Finding("version", "missing", text, fix)
    return Finding("version", "ok", text)


def grants(user: str) -> Finding:
    granted = {row[0] for row in _rows("SELECT privilege FROM session_privs")}
    lacking = [privilege for privilege in NEEDED if privilege not in granted]
    if lacking:
        names = ", ".join(lacking)
        return Finding("grants", "missing", f"without {names}", f"GRANT {names} TO {user};")
    return Finding("grants", "ok", "all")


def space_management(user: str, tablespace: str) -> Finding:
    """Vector indexes, and SecureFile LOBs, need automatic segment space management (ASSM)."""
    how = _value(
        "SELECT segment_space_management FROM user_tablespaces WHERE tablespace_name = %s",
        [tablespace],
    )
    if how == "AUTO":
        return Finding("tablespace", "ok", f"{tablespace}, ASSM")
    fix = (
        "CREATE TABLESPACE tokenwatch DATAFILE SIZE 500M AUTOEXTEND ON"
        f" SEGMENT SPACE MANAGEMENT AUTO; ALTER USER {user} DEFAULT TABLESPACE tokenwatch"
        " QUOTA UNLIMITED ON tokenwatch; and migrate after that."
    )
    return Finding("tablespace", "missing", f"{tablespace}, {how or 'not visible'}", fix)


def quota(user: str, tablespace: str) -> Finding:
    most = _value("SELECT max_bytes FROM user_ts_quotas WHERE tablespace_name = %s", [tablespace])
    unlimited = _value(
        "SELECT COUNT(*) FROM session_privs WHERE privilege = %s", ["UNLIMITED TABLESPACE"]
    )
    fix = f"ALTER USER {user} QUOTA UNLIMITED ON {tablespace};"
    if unlimited or (most is not None and int(most) < 0):
        return Finding("quota", "ok", f"unlimited on {tablespace}")
    if not most:
        return Finding("quota", "missing", f"none on {tablespace}", fix)
    return Finding("quota", "advised", f"{int(most) >> 20} MiB on {tablespace}", fix)


def migrations() -> Finding:
    executor = MigrationExecutor(connection)
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if waiting:
        return Finding("migrations", "missing", f"{waiting} to apply", "tokenwatch migrate")
    return Finding("migrations", "ok", "all applied")


def vector_memory() -> Finding:
    """The pool that holds in-memory vector indexes (HNSW); without it the search is exact."""
    fix = (
        "As SYS in CDB$ROOT: ALTER SYSTEM SET vector_memory_size = 512M SCOPE = SPFILE;"
        " and restart the database."
    )
    try:
        size = _value("SELECT value FROM v$parameter WHERE name = %s", ["vector_memory_size"])
    except DatabaseError as exc:
        if not str(exc).lstrip().startswith(NO_SUCH_VIEW):
            raise
        ask = "As SYS: SHOW PARAMETER vector_memory_size; 0 there: " + fix
        return Finding("vector memory", "unknown", "V$PARAMETER is not granted", ask)
    if size is None:
        return Finding("vector memory", "unknown", "no such parameter", "See version.")
    if int(size) <= 0:
        return Finding("vector memory", "advised", "0", fix)
    return Finding("vector memory", "ok", f"{int(size) >> 20} MiB")


def vector_index() -> Finding:
    columns = list(
        _rows(
            "SELECT table_name, column_name FROM user_tab_columns WHERE data_type = %s"
            " ORDER BY table_name, column_name",
            ["VECTOR"],
        )
    )
    if not columns:
        return Finding("vector index", "ok", "no vectors are stored")
    indexed = {
        row[0]
        for row in _rows("SELECT table_name FROM user_indexes WHERE index_type = %s", ["VECTOR"])
    }
    bare = [(table, column) for table, column in columns if table not in indexed]
    if not bare:
        return Finding("vector index", "ok", ", ".join(sorted(indexed)))
    fix = " ".join(
        f"CREATE VECTOR INDEX {table[:26]}_VX ON {table} ({column}) ORGANIZATION INMEMORY"
        " NEIGHBOR GRAPH DISTANCE COSINE WITH TARGET ACCURACY 95;"
        for table, column in bare
    )
    found = f"none on {', '.join(table for table, _ in bare)}: the search is exact"
    return Finding("vector index", "advised", found, fix)


def _release(text: str) -> tuple[int, ...]:
    """The first two numbers of ``23.26.1.0.0``."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def _value(sql: str, binds: Iterable[Any] = ()) -> Any:
    """The first column of the first row; None where there is none."""
    rows = _rows(sql, binds)
    return rows[0][0] if rows else None


def _rows(sql: str, binds: Iterable[Any] = ()) -> Sequence[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, list(binds))
        return list(cursor.fetchall())
