"""The ledger as a whole, with its thread and its files: nothing lost, nothing twice."""

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.faults.waiting import until
from tests.usage.keeping import KeptLedger
from tests.usage.samples import assert_rollups_agree, stored_ids, usage_row
from usage import drain, lines, writer
from usage import ledger as ledger_module
from usage.ledger import Ledger, ResetCounts, reset
from usage.models import UsageRecord, UsageRollup
from usage.presence import is_running
from usage.segments import WorkerLock
from usage.spool import Spool

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = 30


@pytest.fixture(autouse=True)
def database_on_disk(transactional_db):
    name = connection.settings_dict["NAME"]
    assert "mode=memory" not in str(name), "threads need a test database on disk: set TEST NAME"


@pytest.fixture
def make_ledger(tmp_path):
    made = []

    def make(**values):
        ledger = KeptLedger(tmp_path / "spool", **values)
        made.append(ledger)
        return ledger

    yield make
    for ledger in made:
        ledger.stop(PATIENCE)


class Outage:
    """Takes the database away from the ledger's threads, and brings it back."""

    def __init__(self, monkeypatch):
        self.down = threading.Event()
        self.refused = threading.Semaphore(0)
        """Released at each attempt that fails."""
        for name in ("cursor", "connect"):
            real = getattr(BaseDatabaseWrapper, name)
            monkeypatch.setattr(BaseDatabaseWrapper, name, self._unless_down(real))

    def _unless_down(self, real):
        def call(wrapper):
            if self.down.is_set() and threading.current_thread().name == "ledger":
                self.refused.release()
                raise OperationalError("server closed the connection unexpectedly")
            return real(wrapper)

        return call


@pytest.fixture
def outage(monkeypatch):
    return Outage(monkeypatch)


def record(ledger, count, **values):
    rows = [usage_row(**values) for _ in range(count)]
    for row in rows:
        ledger.record(row)
    return sorted(row.request_id for row in rows)


def spool_files(ledger):
    return sorted(path.name for path in ledger.directory.iterdir())


def all_stored(ledger):
    """Wait until nothing waits, whoever recorded it."""
    until(lambda: ledger.depth() == 0, lambda: f"{ledger.depth()} rows wait", PATIENCE)


def test_recorded_rows_are_stored(make_ledger):
    ledger = make_ledger()
    ledger.start()
    ids = record(ledger, 1200)
    assert ledger.flush(PATIENCE)
    assert stored_ids() == ids
    assert (ledger.depth(), ledger.database_ok) == (0, True)
    assert_rollups_agree()


def test_a_graceful_stop_stores_everything_and_leaves_no_files(make_ledger):
    ledger = make_ledger()
    ledger.start()
    ids = record(ledger, 700)
    assert ledger.stop(PATIENCE)
    assert stored_ids() == ids
    assert spool_files(ledger) == []


def test_stopping_twice_touches_nothing_of_others(make_ledger):
    """A lock that is given up twice would close a file that has its number by then."""
    first = make_ledger()
    assert first.stop(PATIENCE)
    second = make_ledger()
    first.stop(PATIENCE)
    assert WorkerLock.take(second.directory, second._spool.worker) is None  # it still holds it


def test_a_ledger_that_was_never_started_keeps_its_rows(make_ledger):
    first = make_ledger()
    ids = record(first, 3)
    assert not first.stop(PATIENCE)
    second = make_ledger()
    second.start()
    all_stored(second)
    assert stored_ids() == ids


def test_rows_wait_out_an_outage(make_ledger, outage, caplog):
    ledger = make_ledger()
    ledger.start()
    outage.down.set()
    ids = record(ledger, 50)
    for _ in range(3):
        assert outage.refused.acquire(timeout=PATIENCE)
    assert not ledger.database_ok
    assert ledger.depth() == 50
    outage.down.clear()
    assert ledger.flush(PATIENCE)
    assert stored_ids() == ids
    assert ledger.database_ok
    said = [record.levelno for record in caplog.records if record.name == "tokenwatch.ledger"]
    assert said == [logging.ERROR, logging.WARNING]  # once each, however often it was tried


def test_a_stop_during_an_outage_leaves_the_rows_to_the_next_start(make_ledger, outage):
    ledger = make_ledger()
    outage.down.set()
    ids = record(ledger, 20)
    ledger.start()
    assert not ledger.stop(0.5)
    outage.down.clear()
    again = make_ledger()
    again.start()
    all_stored(again)
    assert stored_ids() == ids


def test_a_commit_whose_answer_is_lost_does_not_double_its_rows(make_ledger, monkeypatch):
    real = writer.insert
    answers = []

    def lost_once(rows, *, check):
        stored = real(rows, check=check)
        answers.append(check)
        if len(answers) == 2:
            raise writer.DatabaseUnavailableError("connection lost at commit")
        return stored

    monkeypatch.setattr(writer, "insert", lost_once)
    ledger = make_ledger()
    ledger.start()
    ids = record(ledger, 1)
    assert ledger.flush(PATIENCE)
    ids += record(ledger, 10)
    assert ledger.flush(PATIENCE)
    assert answers[1] is False  # nothing gave reason to look them up
    assert any(answers[2:])
    assert stored_ids() == sorted(ids)
    assert_rollups_agree()


def test_one_bad_row_does_not_hold_up_the_others(make_ledger, caplog):
    ledger = make_ledger()
    good = record(ledger, 5)
    bad = usage_row(input_tokens=-5)
    ledger.record(bad)
    ledger._spool.append(b"\n{garbage\n")
    good += record(ledger, 5)
    ledger.start()
    assert ledger.flush(PATIENCE)
    assert stored_ids() == sorted(good)
    rejected = (ledger.directory / "rejected.jsonl").read_text().splitlines()
    assert [bad.request_id in rejected[0], rejected[1]] == [True, "{garbage"]
    assert f"Request {bad.request_id} is not in the ledger: input_tokens" in caplog.text
    assert ledger.depth() == 0


def test_a_row_that_only_the_database_refuses_is_found_by_halving(make_ledger, monkeypatch):
    poison = usage_row(input_tokens=2**70)  # past 64 bits
    monkeypatch.setattr(
        drain, "decode", lambda line: poison if b"poison" in line else lines.decode(line)
    )
    ledger = make_ledger()
    good = record(ledger, 40)
    ledger._spool.append(b'\n{"poison": 1}\n')
    good += record(ledger, 40)
    ledger.start()
    assert ledger.flush(PATIENCE)
    assert stored_ids() == sorted(good)
    assert b"poison" in (ledger.directory / "rejected.jsonl").read_bytes()
    assert_rollups_agree()


@pytest.fixture
def full_disk(monkeypatch):
    """Nothing can be written while the list has something in it."""
    real, full = os.write, [True]

    def write(fd, data):
        if full:
            raise OSError(28, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr("usage.spool.os.write", write)
    return full


def test_a_full_disk_loses_no_row_while_memory_lasts(make_ledger, full_disk):
    ledger = make_ledger()
    ids = record(ledger, 600)
    assert ledger.depth() == 600
    ledger.rescue()
    assert stored_ids() == ids
    assert ledger.depth() == 0


def test_rows_in_memory_go_to_the_disk_as_soon_as_it_takes_them(make_ledger, full_disk):
    ledger = make_ledger()
    ids = record(ledger, 5)
    full_disk.clear()
    ledger.rescue()
    assert stored_ids() == []
    ledger.start()
    assert ledger.flush(PATIENCE)
    assert stored_ids() == ids


def test_rows_in_memory_reach_the_disk_before_the_end(make_ledger, full_disk, outage, caplog):
    """The disk was full for a while, and at the stop the database is away."""
    outage.down.set()
    ledger = make_ledger()
    ids = record(ledger, 5)
    ledger.start()
    full_disk.clear()
    assert not ledger.stop(0.1)
    assert "lost" not in caplog.text
    outage.down.clear()
    again = make_ledger()
    again.start()
    all_stored(again)
    assert stored_ids() == ids


def test_rows_that_have_no_place_at_the_end_are_counted(
    make_ledger, full_disk, monkeypatch, caplog
):
    ledger = make_ledger()
    record(ledger, 5)

    def unreachable(rows, *, check):
        raise writer.DatabaseUnavailableError("nobody answers")

    monkeypatch.setattr(writer, "insert", unreachable)
    assert not ledger.stop(0.1)
    assert "5 requests are lost" in caplog.text


def test_what_neither_disk_nor_memory_takes_is_logged(tmp_path, make_ledger, full_disk, caplog):
    ledger = make_ledger(spool=Spool(tmp_path / "spool", memory_lines=10))
    record(ledger, 17)
    ledger.rescue()
    assert UsageRecord.objects.count() == 10
    assert "7 requests are not in the ledger" in caplog.text


def test_the_storing_process_ends_with_the_last_worker(make_ledger):
    first, second = make_ledger(), make_ledger()
    ids = record(first, 3) + record(second, 2)
    first.start()
    assert first.flush(PATIENCE)
    Ledger.stop(first, PATIENCE)
    assert is_running(first.directory)
    assert second.flush(PATIENCE)
    Ledger.stop(second, PATIENCE)
    assert not is_running(first.directory)
    assert stored_ids() == sorted(ids)
    assert spool_files(first) == []


def test_a_storing_process_that_gives_no_sign_of_life_is_noticed(make_ledger, monkeypatch):
    ledger = make_ledger()
    ledger.start()
    record(ledger, 1)
    assert ledger.flush(PATIENCE)
    assert ledger.database_ok
    real = time.time
    monkeypatch.setattr("usage.ledger.time.time", lambda: real() + 60)
    assert not ledger.database_ok


def test_two_workers_share_one_database(make_ledger):
    workers = [make_ledger(), make_ledger()]
    ids = []
    for worker in workers:
        worker.start()
    threads = [
        threading.Thread(target=lambda worker=worker: ids.extend(record(worker, 900)))
        for worker in workers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(worker.flush(PATIENCE) for worker in workers)
    assert stored_ids() == sorted(ids)
    assert_rollups_agree()


def test_an_unexpected_error_does_not_end_the_thread(make_ledger, monkeypatch, caplog):
    failures: list[int] = []
    real = drain.Drain.round

    def fail_once(self, stop):
        if not failures:
            failures.append(1)
            raise RuntimeError("a fault of ours")
        return real(self, stop)

    monkeypatch.setattr(drain.Drain, "round", fail_once)
    ledger = make_ledger()
    ids = record(ledger, 3)
    ledger.start()
    assert ledger.flush(PATIENCE)
    assert stored_ids() == ids
    assert "a fault of ours" in caplog.text


def test_rows_of_a_killed_worker_are_stored_once(tmp_path, make_ledger):
    """SIGKILL in the middle of recording and writing; a new worker finds everything."""
    directory = tmp_path / "spool"
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.usage.recorder", str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(tmp_path),
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    printed = [child.stdout.readline().strip() for _ in range(5)]
    while not UsageRecord.objects.exists():  # its writer is at work
        printed.append(child.stdout.readline().strip())
    printed += [child.stdout.readline().strip() for _ in range(2000)]
    child.kill()
    printed += [line.strip() for line in child.stdout if line.endswith("\n")]
    child.wait()
    child.stdout.close()
    before = UsageRecord.objects.count()

    ledger = make_ledger()
    ledger.start()
    all_stored(ledger)
    stored = stored_ids()
    assert before < len(stored)
    assert len(stored) == len(set(stored))
    assert set(printed) <= set(stored)
    assert len(stored) - len(printed) <= 1  # recorded, and killed before it was printed
    assert_rollups_agree()
    assert Ledger.stop(ledger, PATIENCE)
    until(lambda: spool_files(ledger) == [], lambda: f"{spool_files(ledger)} remain", PATIENCE)


def child_environment(tmp_path):
    """The real settings over the test database."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "tokenwatch.settings",
        "TOKENWATCH_ENV_FILE": "",
        "TOKENWATCH_DATA_DIR": str(tmp_path / "data"),
        **database_settings(),
    }


def database_settings():
    found = connection.settings_dict
    if connection.vendor == "oracle":
        names = {"DSN": "NAME", "USER": "USER", "PASSWORD": "PASSWORD"}
        return {f"TOKENWATCH_ORACLE_{ours}": found[name] for ours, name in names.items()}
    if connection.vendor == "sqlite":
        return {"TOKENWATCH_DATABASE_URL": f"sqlite:///{found['NAME']}"}
    host = f"{found['HOST'] or 'localhost'}:{found['PORT'] or 5432}"
    url = f"postgres://{found['USER']}:{found['PASSWORD']}@{host}/{found['NAME']}"
    return {"TOKENWATCH_DATABASE_URL": url}


def test_reset_removes_rows_and_rollups(make_ledger, monkeypatch):
    monkeypatch.setattr(ledger_module, "RESET_BATCH", 10)
    ledger = make_ledger()
    ledger.start()
    record(ledger, 25)
    assert ledger.flush(PATIENCE)
    assert reset() == ResetCounts(requests=25, rollups=9)
    assert not UsageRecord.objects.exists()
    assert not UsageRollup.objects.exists()


def test_a_fault_while_storing_from_memory_costs_no_row(make_ledger, monkeypatch):
    ledger = make_ledger()
    spool = ledger._spool
    with monkeypatch.context() as full:
        full.setattr("usage.spool.os.write", lambda fd, data: 0)
        ids = record(ledger, 3)

        def fault(rows, *, check):
            raise RuntimeError("a fault in another domain")

        full.setattr(writer, "insert", fault)
        with pytest.raises(RuntimeError):
            ledger.rescue()
    assert spool.in_memory == 3
    ledger.rescue()
    ledger.start()
    assert ledger.flush(PATIENCE)
    assert stored_ids() == ids
