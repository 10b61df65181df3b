"""A recorder in the place of Oracle's driver connections, under Django's real backend.

Everything above the driver is real: Django compiles the SQL, python-oracledb checks the
pool's parameters, and what would have gone over the wire is kept in `Recorder.log`. Answers
come from `Recorder.answer`, by default no rows. Install it before ``django.setup()``, in a
process of its own: the backend keeps what it learned of its server for the process's life.

How it fails: binds that the driver would refuse (a placeholder without a value, a type that
it does not know, text and numbers mixed in one column of a batch) raise `BadBinds`. What
only a server can refuse passes: that is for the same tests against a real one.
"""

import array
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import oracledb

SERVER_VERSION = "23.26.1.0.0"
_LITERAL = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
_PLACEHOLDER = re.compile(r":\w+")


class BadBinds(Exception):
    """The driver would not send this."""


@dataclass(frozen=True)
class Executed:
    """One call of the driver's ``execute`` or ``executemany``."""

    sql: str
    rows: Sequence[Any]
    """A dict or a list of values for each row; one for ``execute``."""
    many: bool
    sizes: Mapping[str, str] = field(default_factory=dict)
    """The types that ``setinputsizes`` was told, by placeholder."""


Answer = Callable[[Executed], Sequence[tuple[Any, ...]]]


def no_rows(call: Executed) -> Sequence[tuple[Any, ...]]:
    return ()


class Recorder:
    """Where all connections of the process write what they are asked."""

    def __init__(self) -> None:
        self.log: list[Executed] = []
        self.answer: Answer = no_rows
        self.meets_rows = True
        """Whether every UPDATE and DELETE finds its rows in the table."""
        self.pool_parameters: dict[str, Any] = {}

    def install(self) -> None:
        driver: Any = oracledb
        driver.connect = lambda **kwargs: Connection(self)
        driver.create_pool = self._create_pool

    def record(self, call: Executed) -> Sequence[tuple[Any, ...]]:
        check_binds(call)
        self.log.append(call)
        return self.answer(call)

    def _create_pool(self, dsn: str, **kwargs: Any) -> "Pool":
        oracledb.PoolParams(**kwargs)  # TypeError on a parameter that the driver does not know
        self.pool_parameters = {"dsn": dsn, **kwargs}
        return Pool(self)


def check_binds(call: Executed) -> None:
    """Hold a call to the driver's rules for binds.

    Raises:
        BadBinds: a placeholder has no value, a value no placeholder, or a type is refused.
    """
    wanted = set(_PLACEHOLDER.findall(_LITERAL.sub("", call.sql)))
    kinds: dict[Any, str] = {}
    for row in call.rows:
        named = row if isinstance(row, Mapping) else {f":arg{i}": v for i, v in enumerate(row)}
        given = {name if name.startswith(":") else f":{name}" for name in named}
        if given != wanted:
            raise BadBinds(f"{sorted(given ^ wanted)} in {call.sql}")
        for name, value in named.items():
            kind = _kind(value)
            if kind == "vector" and call.sizes.get(name.lstrip(":")) != "DB_TYPE_VECTOR":
                raise BadBinds(f"{name} is an array and not bound as a vector in {call.sql}")
            if kind and kinds.setdefault(name, kind) != kind:
                raise BadBinds(f"{name} is {kinds[name]} and {kind} in {call.sql}")


def _kind(value: object) -> str:
    """What the driver takes a value for; nothing for None, which suits every column."""
    if value is None:
        return ""
    for kind, types in _KINDS.items():
        if isinstance(value, types):
            return kind
    raise BadBinds(f"the driver knows no {type(value).__name__}")


class Pool:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def acquire(self) -> "Connection":
        return Connection(self._recorder)

    def close(self, force: bool = False) -> None:
        pass


class Connection:
    version = SERVER_VERSION
    autocommit = False
    stmtcachesize = 20

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def cursor(self) -> "Cursor":
        return Cursor(self._recorder)

    def commit(self) -> None:
        pass

    rollback = ping = close = commit


class Variable:
    """What ``RETURNING … INTO`` fills: the first key."""

    def getvalue(self) -> list[int]:
        return [1]


_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (bool, int, float, Decimal),
    "time": (datetime,),
    "bytes": (bytes,),
    "interval": (timedelta,),
    "variable": (Variable,),
    "vector": (array.array,),
}


class Cursor:
    arraysize = 100
    description = None

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._rows: list[tuple[Any, ...]] = []
        self._sizes: dict[str, str] = {}
        self.rowcount = 0

    def execute(self, sql: str, binds: Any = None) -> "Cursor":
        return self._run(Executed(sql, [binds or {}], many=False))

    def executemany(self, sql: str, binds: Sequence[Any]) -> "Cursor":
        return self._run(Executed(sql, binds, many=True))

    def _run(self, call: Executed) -> "Cursor":
        call = replace(call, sizes=self._sizes)
        self._sizes = {}
        self._rows = list(self._recorder.record(call))
        if call.sql.startswith(("UPDATE", "DELETE")):
            self.rowcount = len(call.rows) if self._recorder.meets_rows else 0
        else:
            self.rowcount = len(call.rows) if call.sql.startswith("INSERT") else len(self._rows)
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 100) -> list[tuple[Any, ...]]:
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.fetchmany(len(self._rows))

    def var(self, *args: Any, **kwargs: Any) -> Variable:
        return Variable()

    def setinputsizes(self, *args: Any, **kwargs: Any) -> None:
        given = kwargs or {f"arg{i}": kind for i, kind in enumerate(args)}
        self._sizes = {
            name.lstrip(":"): getattr(kind, "name", str(kind))
            for name, kind in given.items()
            if kind
        }

    def close(self) -> None:
        pass
