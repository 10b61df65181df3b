"""Kills, stops and outages on the embedded database: no answered request loses its row."""

import random

import pytest

from tests.faults.books import locked, missing
from tests.faults.child import PATIENCE, kill_worker
from tests.faults.conftest import Installation
from tests.faults.load import Load
from tests.faults.waiting import until
from tokenwatch.running import is_alive


def test_a_stop_writes_everything_and_leaves_nothing_behind(installation: Installation) -> None:
    with installation.start() as child:
        with Load(child.run.proxy_url) as load:
            load.await_answers(60)
            child.terminate()
            assert child.ended() == 0
        assert child.spool_files == []
        assert not (installation.directory / "run.json").exists()
    installation.books.check(load)


@pytest.mark.slow
def test_a_stop_while_the_database_is_locked_loses_nothing(installation: Installation) -> None:
    with installation.start() as child, Load(child.run.proxy_url) as load:
        with locked(installation.database):
            load.await_answers(60)
            child.terminate()
            load.stop()
            assert child.ended() == 0
        assert missing(installation.books, load.answered)
    with installation.start() as again:
        again.settle()
        installation.books.check(load)


@pytest.mark.parametrize("rounds", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_answered_requests_have_their_rows_after_a_kill(
    installation: Installation, rounds: int
) -> None:
    moment = random.Random(rounds)
    loads = []
    for number in range(rounds):
        with installation.start() as child:
            child.settle()
            with Load(child.run.proxy_url, seed=number) as load:
                loads.append(load)
                load.await_answers(moment.randint(20, 120))
                child.kill()
    with installation.start() as child:
        child.settle()
        installation.books.check(*loads)
    assert child.spool_files == []


def test_rows_that_waited_for_the_database_survive_the_kill(installation: Installation) -> None:
    """Worker and background process are killed while the rows wait."""
    with installation.start() as child, Load(child.run.proxy_url) as load:
        background = child.background()
        with locked(installation.database):
            load.await_answers(80)
            child.kill()
            kill_worker(background)
        load.stop()
    assert len(missing(installation.books, load.answered)) >= 80
    with installation.start() as child:
        child.settle()
        installation.books.check(load)


def test_the_rows_of_a_killed_worker_are_stored_without_another_start(
    installation: Installation,
) -> None:
    with installation.start() as child, Load(child.run.proxy_url) as load:
        background = child.background()
        load.await_answers(80)
        child.kill()
        load.stop()
    until(lambda: not is_alive(background), lambda: "the background process stays", PATIENCE)
    installation.books.check(load)
    assert child.spool_files == []


def test_a_killed_background_process_is_replaced(installation: Installation) -> None:
    with installation.start() as child, Load(child.run.proxy_url) as load:
        for _ in range(2):
            background = child.background()
            load.await_answers(40)
            kill_worker(background)
            until(
                lambda gone=background: child.background() != gone,  # type: ignore[misc]
                lambda: "it is not replaced",
                PATIENCE,
            )
        load.stop()
        assert load.cut == []
        child.settle()
        installation.books.check(load)


def test_a_background_process_with_older_code_is_replaced(installation: Installation) -> None:
    """As in a rolling restart after an upgrade: here its meter says that it is older."""
    with installation.start() as child, Load(child.run.proxy_url) as load:
        background = child.background()
        load.await_answers(20)
        child.age_background()
        until(lambda: child.background() != background, lambda: "it is not replaced", PATIENCE)
        load.await_answers(20)
        load.stop()
        assert load.cut == []
        child.settle()
        installation.books.check(load)


def test_a_locked_database_holds_up_no_request(installation: Installation) -> None:
    with installation.start() as child:
        with Load(child.run.proxy_url) as load:
            load.await_answers(10)
            with locked(installation.database):
                load.await_answers(100)
                assert int(str(child.health()["spool_depth"])) >= 90
            load.await_answers(10)
        assert load.cut == []
        child.settle()
        installation.books.check(load)


@pytest.mark.slow
def test_a_database_locked_for_longer_than_the_writer_waits(installation: Installation) -> None:
    with installation.start() as child:
        with Load(child.run.proxy_url) as load:
            with locked(installation.database):
                until(
                    lambda: child.health()["database"] == "unreachable",
                    lambda: "the outage is not noticed",
                    PATIENCE,
                )
                load.await_answers(50)
            load.await_answers(10)
        assert load.cut == []
        child.settle()
        assert child.health()["database"] == "ok"
        installation.books.check(load)


def test_another_worker_takes_over_what_a_killed_one_left(installation: Installation) -> None:
    with installation.start(workers=2) as child:
        until(lambda: len(child.workers()) == 2, lambda: f"{child.workers()}", PATIENCE)
        workers = child.workers()
        with Load(child.run.proxy_url) as load:
            with locked(installation.database):
                # The kernel hands out connections as it likes: all may be with one of the two.
                until(
                    lambda: any(map(child.waiting_bytes, workers)),
                    lambda: "no row waits in a worker's spool",
                    PATIENCE,
                )
                victim = next(filter(child.waiting_bytes, workers))
                survivor = next(worker for worker in workers if worker != victim)
                load.await_answers(40)
                kill_worker(victim)
            load.await_answers(40)
        assert survivor in child.workers()
        books = installation.books
        until(
            lambda: not child.orphans() and not missing(books, load.answered),
            lambda: f"{len(missing(books, load.answered))} rows missing",
            PATIENCE,
        )
        books.check(load)
    assert child.spool_files == []
