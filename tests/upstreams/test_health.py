"""What a worker knows of its upstreams, and how others learn of it."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from django.db import Error

from tests.fakes import answer, raw_upstream
from tokenwatch.conf import load
from upstreams import store
from upstreams.breaker import CLOSED, OPEN
from upstreams.candidates import Candidate
from upstreams.failures import Failure
from upstreams.health import Health
from upstreams.models import Upstream, UpstreamEvent, UpstreamHealth
from upstreams.store import Change, load_health, record
from upstreams.transport import Transport

CONFIG = load({"TOKENWATCH_BREAKER_FAILURES": "2", "TOKENWATCH_BREAKER_PAUSE": "100"})
A = Candidate("a", "openai", "https://a.example")
B = Candidate("b", "openai", "https://b.example")
REFUSED = Failure("connect", unreachable=True)


def failing(health, candidate=A, failure=REFUSED, times=2):
    for _ in range(times):
        health.failed(candidate, failure, time.monotonic(), probe=False)


def changed(state="open", name="a", at=1_700_000_000.0, **more):
    values = {"failures": 5, "error": "503", "until": at + 5 if state == "open" else None}
    return Change("openai", name, state, at, **{**values, **more})


def test_only_those_with_an_open_breaker_wait():
    health = Health(CONFIG)
    now = time.monotonic()
    assert health.waiting((A, B), now) == {}
    failing(health)
    waiting = health.waiting((A, B), now)
    assert list(waiting) == [A.key]
    assert waiting[A.key] > now + 50
    assert health.waiting((A, B), now + 200) == {}


def test_what_does_not_count_changes_nothing():
    health = Health(CONFIG)
    failing(health, failure=Failure("timeout!", counts=False), times=10)
    assert health.of(A).state == CLOSED


def test_a_new_url_or_credential_begins_anew():
    health = Health(CONFIG)
    failing(health)
    other = Candidate("a", "openai", "https://a.example", credential="sk-new")
    assert health.of(other).state == CLOSED
    assert health.waiting((other,), time.monotonic()) == {}
    assert [change.state for change in health._changes] == [OPEN, CLOSED]


def test_a_late_failure_of_the_former_url_changes_nothing():
    health = Health(CONFIG)
    health.of(A)
    other = Candidate("a", "openai", "https://other.example")
    breaker = health.of(other)
    failing(health, A)
    assert health.of(other) is breaker
    assert breaker.failures == 0


def test_the_same_name_in_both_dialects_is_two_upstreams():
    health = Health(CONFIG)
    failing(health)
    assert health.of(Candidate("a", "anthropic", "https://a.example")).state == CLOSED


# In the database


@pytest.mark.django_db
def test_a_change_is_the_present_state_and_a_line_of_the_history():
    health = Health(CONFIG)
    failing(health)
    health.flush()
    (present,) = UpstreamHealth.objects.all()
    assert (present.api_type, present.upstream, present.state) == ("openai", "a", "open")
    assert (present.failures, present.last_error, present.worker) == (2, "connect", health.worker)
    assert present.cool_down_until is not None
    assert 70 < (present.cool_down_until - present.since).total_seconds() < 130
    health.flush()
    assert UpstreamEvent.objects.count() == 1


@pytest.mark.django_db
def test_the_last_change_of_each_upstream_stands():
    record([changed(), changed(name="b"), changed("closed")], "w")
    record([changed(name="b", error="429", failures=7)], "v")
    found = {row.upstream: (row.state, row.worker) for row in UpstreamHealth.objects.all()}
    assert found == {"a": ("closed", "w"), "b": ("open", "v")}
    assert UpstreamEvent.objects.count() == 4


@pytest.mark.django_db
def test_the_history_is_bounded(monkeypatch):
    monkeypatch.setattr(store, "KEPT_EVENTS", 3)
    for number in range(5):
        record([changed(failures=number), changed("closed", failures=number)], "w")
    kept = list(UpstreamEvent.objects.values_list("failures", "state"))
    assert kept == [(4, "closed"), (4, "open"), (3, "closed")]


@pytest.mark.django_db
def test_without_a_database_changes_wait_for_it(monkeypatch, caplog):
    def gone(*_):
        raise Error("gone")

    health = Health(CONFIG)
    failing(health)
    with monkeypatch.context() as patched:
        patched.setattr(store, "record", gone)
        health.flush()
        health.flush()
    assert caplog.text.count("is not written: gone") == 1
    assert UpstreamEvent.objects.count() == 0
    health.flush()
    assert UpstreamEvent.objects.count() == 1


@pytest.mark.django_db
def test_a_worker_that_starts_takes_over_what_is_known():
    until = time.time() + 50
    record([changed(at=time.time(), until=until), changed("closed", name="b")], "w")
    health = Health(CONFIG)
    health._known = {(c.api_type, c.upstream): c for c in load_health()}
    now = time.monotonic()
    assert health.waiting((A, B), now)[A.key] == pytest.approx(now + 50, abs=2)
    assert health.of(A).error == "503"
    assert health.of(B).state == CLOSED


@pytest.mark.django_db
def test_what_was_edited_since_is_tried_at_once_and_once():
    record([changed(until=time.time() + 500)], "w")
    Upstream.objects.create(name="a", api_type="openai", base_url="https://a.example")
    health = Health(CONFIG)
    health._known = {(c.api_type, c.upstream): c for c in load_health()}
    now = time.monotonic()
    assert health.waiting((A, B), now + 0.001) == {}
    assert health.of(A).state == OPEN
    assert health.of(A).begin(now + 0.001)


# The probe


@asynccontextmanager
async def transport():
    made = Transport(connect_timeout=5, overall_timeout=5)
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("status", [b"200 OK", b"401 No", b"404 No", b"500 No"])
async def test_any_answer_makes_an_unreachable_upstream_due(status):
    async def script(connection):
        await connection.request()
        await connection.send(answer(b"", status=status))

    async with raw_upstream(script) as upstream, transport() as made:
        one = Candidate("a", "openai", upstream.url, credential="sk-own")
        health = Health(CONFIG)
        failing(health, one)
        assert health.waiting((one,), time.monotonic())
        await health.probe(made, (one, B))
        assert health.waiting((one,), time.monotonic()) == {}
        assert health.of(one).state == OPEN  # until a request is answered
    (request,) = upstream.requests
    assert request.line == b"HEAD / HTTP/1.1"
    assert b"sk-own" not in request.head
    assert [name for name, _ in request.headers] == [b"host"]


async def test_one_that_is_still_away_stays_so():
    async with raw_upstream(None) as upstream:
        url = upstream.url
    async with transport() as made:
        one = Candidate("a", "openai", url)
        health = Health(CONFIG)
        failing(health, one)
        await health.probe(made, (one,))
        assert health.waiting((one,), time.monotonic())


@pytest.mark.parametrize(
    "failure", [Failure("503"), Failure("429", cool_down=60.0), Failure("401", cool_down=600.0)]
)
async def test_one_that_answers_with_errors_or_asked_for_a_rest_is_not_probed(failure):
    async def script(connection):
        await connection.request()

    async with raw_upstream(script) as upstream, transport() as made:
        one = Candidate("a", "openai", upstream.url)
        health = Health(CONFIG)
        failing(health, one, failure)
        await health.probe(made, (one,))
        assert health.waiting((one,), time.monotonic())
    assert upstream.connections == 0


async def test_it_probes_by_itself_until_it_is_stopped(monkeypatch):
    async def script(connection):
        await connection.request()
        await connection.send(answer(b""))

    async with raw_upstream(script) as upstream, transport() as made:
        one = Candidate("a", "openai", upstream.url)
        health = Health(load({"TOKENWATCH_PROBE_INTERVAL": "0.01"}))
        found = asyncio.Event()

        async def probing(self, *args):
            await probe(self, *args)
            if len(health._changes) == 2:
                found.set()

        probe = Health.probe
        monkeypatch.setattr(Health, "probe", probing)
        health.start(made, lambda: {"openai": (one,)})
        failing(health, one, times=5)
        await asyncio.wait_for(found.wait(), 5)
        await health.stop()
    first, second = (change.until or 0.0 for change in health._changes)
    assert first > second > 0
