"""The background process runs the jobs that are due."""

import sqlite3
from contextlib import closing

from tests.faults.child import PATIENCE
from tests.faults.conftest import Installation
from tests.faults.waiting import until


def test_each_job_runs_soon_after_the_start(installation: Installation) -> None:
    def ended() -> dict[str, str]:
        with closing(sqlite3.connect(installation.database, timeout=20)) as database:
            found = database.execute("SELECT name, last_outcome FROM tw_job WHERE failures = 0")
            return {name: outcome for name, outcome in found if outcome}

    with installation.start():
        until(lambda: len(ended()) == 2, lambda: f"{ended()}", PATIENCE)
        assert ended() == {
            "retention": "nothing is too old",
            "statistics": "0 sums checked, 0 repaired",
        }
