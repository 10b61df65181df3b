"""Jobs run once, by one process at a time, and outlive whoever had them."""

import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db import OperationalError, connection

from tests.faults.waiting import until
from tokenwatch import jobs
from tokenwatch.jobs import LIFE, BusyError, JobRunner, Task, Turn, claimed
from tokenwatch.models import Job

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOURLY = timedelta(hours=1)


class Clock:
    """Time that moves when told to."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def forward(self, delta):
        self.now += delta


@pytest.fixture
def clock():
    return Clock()


def due(name="job", at=START):
    return Job.objects.create(name=name, due_at=at)


def turn(clock, name="job", stop=None):
    return Turn(name, stop=stop or threading.Event(), clock=clock)


@pytest.mark.django_db
def test_of_two_that_claim_one_gets_the_job(clock):
    due()
    assert turn(clock).claim(due_only=True)
    assert not turn(clock).claim(due_only=True)


@pytest.mark.django_db
def test_a_job_that_is_not_due_waits(clock):
    due(at=START + HOURLY)
    assert not turn(clock).claim(due_only=True)
    clock.forward(HOURLY)
    assert turn(clock).claim(due_only=True)


@pytest.mark.django_db
def test_the_job_of_a_runner_that_died_is_taken_over_and_the_dead_one_writes_nothing(clock):
    due()
    dead, heir = turn(clock), turn(clock)
    assert dead.claim(due_only=True)
    clock.forward(LIFE)
    assert not heir.claim(due_only=True)
    clock.forward(timedelta(seconds=1))
    assert heir.claim(due_only=True)
    assert not dead.go_on()
    dead.end("the dead one's", START, took=0, failed=False)
    found = Job.objects.get()
    assert (found.claimed_by, found.last_outcome) == (heir.owner, "")


@pytest.mark.django_db
def test_a_long_job_keeps_its_claim_while_it_goes_on(clock):
    due()
    long = turn(clock)
    assert long.claim(due_only=True)
    for _ in range(10):
        clock.forward(LIFE / 2)
        assert long.go_on()
        assert not turn(clock).claim(due_only=True)


@pytest.mark.django_db
def test_the_outcome_is_recorded_and_the_job_comes_again(clock):
    due()
    mine = turn(clock)
    assert mine.claim(due_only=True)
    jobs.run(Task("job", HOURLY, lambda turn: "did it"), mine)
    found = Job.objects.get()
    assert (found.last_outcome, found.last_run_at) == ("did it", START)
    assert (found.due_at, found.claimed_by, found.claimed_until) == (START + HOURLY, "", None)


@pytest.mark.django_db
def test_a_job_that_fails_comes_again_later_and_later_until_it_succeeds(clock, caplog):
    due()
    works: list[bool] = []

    def fails(turn):
        if works:
            return "done"
        raise OSError("no room\nat all")

    waits = []
    for _ in range(9):
        mine = turn(clock)
        assert mine.claim(due_only=True)
        jobs.run(Task("job", HOURLY, fails), mine)
        found = Job.objects.get()
        waits.append((found.due_at - clock.now).total_seconds() / 60)
        clock.now = found.due_at
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert Job.objects.get().last_outcome == "failed: no room at all"
    works.append(True)
    mine = turn(clock)
    assert mine.claim(due_only=True)
    jobs.run(Task("job", HOURLY, fails), mine)
    assert Job.objects.get().failures == 0


@pytest.mark.django_db
def test_a_job_that_was_stopped_is_due_at_once(clock):
    due()
    stop = threading.Event()
    mine = turn(clock, stop=stop)
    assert mine.claim(due_only=True)
    stop.set()
    jobs.run(Task("job", HOURLY, lambda turn: str(turn.pause(60))), mine)
    found = Job.objects.get()
    assert (found.due_at, found.last_outcome) == (START, "False")


@pytest.mark.django_db
def test_a_command_that_holds_a_job_keeps_runners_away_and_its_schedule_as_it_is(clock):
    due(at=START + HOURLY)
    with claimed("job"):
        with pytest.raises(BusyError), claimed("job"):
            pass
    found = Job.objects.get()
    assert (found.claimed_until, found.due_at) == (None, START + HOURLY)


class Rounds:
    """A job that notes who runs it, and whether two do at once."""

    def __init__(self):
        self.done = []
        self.together = 0
        self._inside = threading.Lock()

    def were(self, count):
        return len(self.done) == count

    def __call__(self, turn):
        if not self._inside.acquire(blocking=False):
            self.together += 1
            return "twice"
        try:
            self.done.append(threading.current_thread().name)
            turn.pause(0.01)
        finally:
            self._inside.release()
        return "once"


@pytest.mark.django_db(transaction=True)
def test_many_runners_run_a_job_once_each_time_it_is_due():
    rounds = Rounds()
    now = datetime.now(UTC)
    due(at=now)
    runners = [JobRunner([Task("job", timedelta(days=1), rounds)]) for _ in range(6)]
    for runner in runners:
        runner.start()
    try:
        for count in (1, 2, 3):
            until(partial(rounds.were, count), lambda: f"{rounds.done}", 30)
            until(_is_free, lambda: f"{Job.objects.values()}", 30)
            Job.objects.update(due_at=now)
            for runner in runners:
                runner.start_due()
    finally:
        stopped = [runner.stop() for runner in runners]
        connection.close()
    assert all(stopped)
    assert rounds.together == 0
    assert len(rounds.done) in (3, 4)  # it was made due once more at the end


def _is_free():
    return Job.objects.filter(claimed_until=None).exists()


@pytest.mark.django_db(transaction=True)
def test_a_runner_makes_the_rows_of_new_jobs_and_stops_a_long_one_at_its_next_step():
    began = threading.Event()

    def endless(turn):
        began.set()
        while turn.pause(0.01):
            pass
        return "stopped"

    runner = JobRunner([Task("endless", HOURLY, endless)])
    runner.start()
    assert began.wait(30)
    assert runner.stop()
    found = Job.objects.get(pk="endless")
    assert (found.last_outcome, found.claimed_until) == ("stopped", None)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_told_once_and_ends_nothing(monkeypatch, caplog):
    looks = threading.Semaphore(0)
    runner = JobRunner([])

    def away():
        looks.release()
        raise OperationalError("no route\nto it")

    monkeypatch.setattr(runner, "start_due", away)
    monkeypatch.setattr(jobs, "LONGEST_LOOK", 0.01)
    runner.start()
    for _ in range(3):
        assert looks.acquire(timeout=30)
    assert runner.stop()
    told = [record.getMessage() for record in caplog.records]
    assert told == ["Jobs wait for the database: no route to it"]
