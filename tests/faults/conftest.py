"""A provider, a migrated database file, and how to start TokenWatch on it again and again."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.fake_provider import FakeProvider
from demo.serving import serve
from tests.faults.books import Books, sqlite_books
from tests.faults.child import Child
from tests.faults.holding import HoldingProvider, holding_provider

DATABASE = "tokenwatch.sqlite3"


@pytest.fixture(scope="package")
def upstream() -> Iterator[str]:
    with serve(FakeProvider(remember=1).app) as url:
        yield url


@pytest.fixture
def provider() -> Iterator[tuple[HoldingProvider, str]]:
    with holding_provider() as made:
        yield made


@dataclass(frozen=True)
class Installation:
    """One data directory with its SQLite file."""

    directory: Path
    start: Callable[..., Child]
    """Takes the number of workers, if it is not one."""

    @property
    def database(self) -> Path:
        return self.directory / DATABASE

    @property
    def books(self) -> Books:
        return sqlite_books(self.database)


@pytest.fixture(scope="package")
def migrated(tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Path:
    """An empty database file with all tables, to be copied."""
    directory = tmp_path_factory.mktemp("migrated")
    Child(directory, upstream).migrate()
    path = directory / DATABASE
    # What is still in the write-ahead log would not be copied.
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def installation(tmp_path: Path, upstream: str, migrated: Path) -> Installation:
    shutil.copy(migrated, tmp_path)

    def start(workers: int = 1) -> Child:
        return Child(tmp_path, upstream, workers=workers)

    return Installation(tmp_path, start)
