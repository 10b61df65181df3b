"""PostgreSQL goes away under load and comes back: nobody notices but the operator.

``TOKENWATCH_TEST_OUTAGE_SECONDS`` says for how long (5 seconds, unless it is set).
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.faults import postgres
from tests.faults.books import Books
from tests.faults.child import PATIENCE, Child
from tests.faults.load import Load
from tests.faults.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

OUTAGE_SECONDS = float(os.environ.get("TOKENWATCH_TEST_OUTAGE_SECONDS", "5"))


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.server() as started:
        yield started


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_fails_and_no_row_is_lost(
    server: postgres.Server, tmp_path: Path, upstream: str, workers: int
) -> None:
    settings = {"DATABASE_URL": server.url}
    books = Books(lambda: psycopg.connect(server.url.replace("postgres://", "postgresql://")))
    child = Child(tmp_path, upstream, workers=workers, settings=settings)
    child.migrate()
    child.manage("reset", "--yes")
    with child:
        with Load(child.run.proxy_url) as load:
            load.await_answers(30)
            server.stop()
            back = time.monotonic() + OUTAGE_SECONDS
            try:
                until(
                    lambda: child.health()["database"] == "unreachable",
                    lambda: "the outage is not noticed",
                    PATIENCE,
                )
                until(
                    lambda: time.monotonic() >= back,
                    lambda: "the clock stands still",
                    OUTAGE_SECONDS + PATIENCE,
                )
                load.await_answers(20)
            finally:
                server.start()
            load.await_answers(30)
        assert load.cut == []
        # With two workers, `/health` speaks of the one that answers: the rows tell of both.
        until(
            lambda: set(load.answered) <= set(books.ids()),
            lambda: f"{len(set(load.answered) - set(books.ids()))} rows are missing",
            PATIENCE,
        )
        child.settle()
        assert len(books.ids()) == load.sent
        books.check(load)
    assert child.spool_files == []
