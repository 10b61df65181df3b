"""Budgets hold in several real worker processes on one database, and when a worker is killed."""

import asyncio
import json
import re
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest

from bench.closed_loop import run_closed_loop
from bench.payloads import Exchange
from bench.target import Target
from budgets.bookkeeping import LIFE
from tests.fakes import raw_upstream
from tests.faults import postgres
from tests.faults.budgeted import (
    ANSWER,
    BODY,
    CHAT,
    TOKENS,
    Engine,
    Provider,
    ask,
    client,
    make_budgets,
    postgres_engine,
    sqlite_engine,
    until_so,
)
from tests.faults.child import PATIENCE, Child, kill_worker
from tests.faults.conftest import DATABASE
from tests.faults.waiting import until

pytestmark = pytest.mark.slow

ROUNDS = 20
AT_ONCE = 64
FIT = 5


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.server() as started:
        yield started


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path, migrated: Path) -> Engine:
    if request.param == "postgres":
        return postgres_engine(request.getfixturevalue("server"))
    shutil.copy(migrated, tmp_path / DATABASE)
    return sqlite_engine(tmp_path)


@asynccontextmanager
async def serving(
    directory: Path, engine: Engine, workers: int, budgets: list[dict[str, object]]
) -> AsyncIterator[tuple[Child, Provider]]:
    """TokenWatch in so many processes, with these budgets, before an exact provider."""
    provider = Provider()
    async with raw_upstream(provider) as upstream:
        child = Child(directory, upstream.url, workers=workers, settings=engine.settings)
        if engine.settings:
            child.migrate()
            child.manage("flush", "--no-input", "--verbosity", "0")
        make_budgets(child, budgets)
        with child:
            until(lambda: len(child.workers()) == workers, lambda: f"{child.workers()}", PATIENCE)
            try:
                yield child, provider
            finally:
                provider.gate.set()


async def decided(provider: Provider, asked: list[asyncio.Task[int]]) -> None:
    await until_so(
        lambda: provider.reached + sum(one.done() for one in asked) >= len(asked),
        "requests are neither refused nor forwarded",
    )


@pytest.mark.parametrize("workers", [1, 4])
async def test_of_64_first_requests_at_once_5_are_admitted_20_times(
    engine: Engine, tmp_path: Path, workers: int
) -> None:
    kinds = ("whole", "stream")
    rounds = [(f"{kind}-{n}", kind == "stream") for n in range(ROUNDS) for kind in kinds]
    budgets = [{"name": name, "pattern": name, "limit": FIT * TOKENS} for name, _ in rounds]
    async with serving(tmp_path, engine, workers, budgets) as (child, provider):
        for app, stream in rounds:
            provider.gate.clear()
            provider.reached = 0
            async with client(child.run.proxy_url) as http:
                asked = [asyncio.create_task(ask(http, app, stream=stream)) for _ in range(AT_ONCE)]
                # Until all are decided, no answer frees anything.
                await decided(provider, asked)
                provider.gate.set()
                codes = Counter(await asyncio.gather(*asked))
            assert codes == {200: FIT, 429: AT_ONCE - FIT}, app
            assert provider.reached == FIT, app
        assert len(worker_pids(engine)) == workers, "not all workers took part"
    # After a stop in order, everything is written and nothing is leased.
    assert spent_by_app(engine) == {app: FIT * TOKENS for app, _ in rounds}
    assert leased(engine) == 0
    assert_counters_are_the_ledger(engine)


async def test_a_killed_workers_lease_comes_back_and_blocks_nothing_else(
    engine: Engine, tmp_path: Path
) -> None:
    fits = 8
    budgets = [{"name": "all", "pattern": "a", "limit": fits * TOKENS}]
    async with serving(tmp_path, engine, 4, budgets) as (child, provider):
        async with client(child.run.proxy_url) as http:
            held = [asyncio.create_task(ask(http, "a")) for _ in range(5)]
            await until_so(lambda: provider.reached == 5, "not all are forwarded")
            victim, lost = worker_pids(engine).most_common(1)[0]
            killed_at = time.monotonic()
            kill_worker(victim)
            # What no lease covers is there for the others at once, and not a unit more.
            others = [asyncio.create_task(ask(http, "a")) for _ in range(fits - 5)]
            await until_so(lambda: provider.reached == fits, "the rest of the budget is blocked")
            assert await ask(http, "a") == 429
            provider.gate.set()
            assert [await one for one in others] == [200] * (fits - 5)
            ended = await asyncio.gather(*held, return_exceptions=True)
            assert ended.count(200) == 5 - lost
            # Once the lease has expired, what the dead worker held can be spent.
            codes: list[int] = []
            while codes.count(200) < lost:
                codes.append(await ask(http, "a"))
                assert time.monotonic() - killed_at < LIFE.total_seconds() + 8, codes
                await asyncio.sleep(0.2)
            assert await ask(http, "a") == 429
    assert spent_by_app(engine) == {"a": fits * TOKENS}
    assert leased(engine) == 0
    assert_counters_are_the_ledger(engine)


async def test_a_kill_switch_set_in_admin_blocks_in_all_workers_within_2_seconds(
    engine: Engine, tmp_path: Path
) -> None:
    budgets = [{"name": "all", "pattern": "a", "limit": 10**9}]
    async with serving(tmp_path, engine, 4, budgets) as (child, provider):
        provider.gate.set()
        make_admin(child)
        async with client(child.run.dashboard_url) as admin, client(child.run.proxy_url) as http:
            await log_in(admin)
            while len(worker_pids(engine)) < 4:  # all of them serve the app
                assert await ask(http, "a") == 200
            for action, expected in (("kill", 429), ("revive", 200)):
                await act(admin, action)
                done = time.monotonic()
                asked: list[tuple[float, int]] = []
                while time.monotonic() < done + 4:
                    since = time.monotonic() - done
                    codes = await asyncio.gather(*(ask(http, "a") for _ in range(8)))
                    asked += [(since, code) for code in codes]
                late = {code for since, code in asked if since >= 2}
                assert late == {expected}
                print(action, max((s for s, c in asked if c != expected), default=0.0))


def make_admin(child: Child) -> None:
    child.manage(
        "shell",
        "-v0",
        "-c",
        "from django.contrib.auth.models import User\n"
        "User.objects.filter(username='boss').delete()\n"
        "User.objects.create_superuser('boss', '', 'pass-word-9')",
    )


def _token(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found is not None
    return found[1]


async def log_in(admin: httpx.AsyncClient) -> None:
    page = await admin.get("/admin/login/")
    form = {"username": "boss", "password": "pass-word-9", "next": "/admin/"}
    answered = await admin.post(
        "/admin/login/", data={**form, "csrfmiddlewaretoken": _token(page.text)}
    )
    assert answered.status_code == 302


async def act(admin: httpx.AsyncClient, action: str) -> None:
    """An action of the budgets' list, as the browser sends it."""
    url = "/admin/budgets/budget/"
    page = (await admin.get(url)).text
    chosen = re.search(r'name="_selected_action" value="(\d+)"', page)
    assert chosen is not None
    answered = await admin.post(
        url,
        data={
            "action": action,
            "_selected_action": chosen[1],
            "csrfmiddlewaretoken": _token(page),
        },
    )
    assert answered.status_code == 302


COUNTED = """
CREATE TABLE writes (kind TEXT);
CREATE TRIGGER lease_made AFTER INSERT ON tw_budget_lease
BEGIN INSERT INTO writes VALUES ('lease made'); END;
CREATE TRIGGER lease_ended AFTER DELETE ON tw_budget_lease
BEGIN INSERT INTO writes VALUES ('lease ended'); END;
CREATE TRIGGER lease_grew AFTER UPDATE ON tw_budget_lease WHEN NEW.amount > OLD.amount
BEGIN INSERT INTO writes VALUES ('lease grew'); END;
CREATE TRIGGER lease_renewed AFTER UPDATE ON tw_budget_lease WHEN NEW.amount = OLD.amount
BEGIN INSERT INTO writes VALUES ('lease renewed'); END;
CREATE TRIGGER lease_shrank AFTER UPDATE ON tw_budget_lease WHEN NEW.amount < OLD.amount
BEGIN INSERT INTO writes VALUES ('lease shrank'); END;
CREATE TRIGGER taken AFTER UPDATE ON tw_budget_counter
WHEN NEW.spent = OLD.spent AND NEW.leased > OLD.leased
BEGIN INSERT INTO writes VALUES ('taken'); END;
CREATE TRIGGER locked AFTER UPDATE ON tw_budget_counter
WHEN NEW.spent = OLD.spent AND NEW.leased = OLD.leased
BEGIN INSERT INTO writes VALUES ('locked'); END;
CREATE TRIGGER returned AFTER UPDATE ON tw_budget_counter
WHEN NEW.spent = OLD.spent AND NEW.leased < OLD.leased
BEGIN INSERT INTO writes VALUES ('returned'); END;
CREATE TRIGGER settled AFTER UPDATE ON tw_budget_counter WHEN NEW.spent <> OLD.spent
BEGIN INSERT INTO writes VALUES ('settled'); END;
"""
"""The database itself counts what is written to the budgets' tables, whoever writes it."""

WITH_THE_ROWS = ("settled", "lease shrank", "returned")
"""What the transactions that store rows write, once a batch; and, after a lock of the counter,
what gives units back."""


async def test_10_000_requests_write_less_than_a_hundredth_of_that_for_reservations(
    tmp_path: Path, migrated: Path
) -> None:
    requests = 10_000
    shutil.copy(migrated, tmp_path / DATABASE)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.executescript(COUNTED)
    engine = sqlite_engine(tmp_path)
    large: list[dict[str, object]] = [{"name": "all", "scope": "global", "limit": 9 * 10**9}]
    async with serving(tmp_path, engine, 1, large) as (child, provider):
        provider.gate.set()
        target = Target.of(child.run.proxy_url + CHAT)
        exchange = Exchange(json.dumps(BODY).encode(), ANSWER)
        await run_closed_loop(target, exchange, AT_ONCE, requests)
    writes = Counter(kind for (kind,) in engine.books.fetch("SELECT kind FROM writes"))
    given_back = writes["locked"]
    reserving = sum(writes.values()) - sum(writes[kind] for kind in WITH_THE_ROWS) + 2 * given_back
    print(f"{reserving} writes for reservations, all: {dict(writes)}")
    assert spent_by_app(engine) == {"": requests * TOKENS}
    assert leased(engine) == 0
    assert 0 < reserving < requests / 100


# What the database says


def worker_pids(engine: Engine) -> Counter[int]:
    """Requests' worth that each process has leased; a worker's name begins with its pid."""
    found = engine.books.fetch("SELECT worker, SUM(amount) FROM tw_budget_lease GROUP BY worker")
    return Counter({int(name.split("-")[0]): int(amount) // TOKENS for name, amount in found})


def leased(engine: Engine) -> int:
    """Units, by leases and by counters."""
    ((by_lease,),) = engine.books.fetch("SELECT COALESCE(SUM(amount), 0) FROM tw_budget_lease")
    ((by_counter,),) = engine.books.fetch("SELECT SUM(leased) FROM tw_budget_counter")
    assert by_lease == by_counter
    return int(by_lease)


def spent_by_app(engine: Engine) -> dict[str, int]:
    sql = (
        "SELECT b.pattern, c.spent FROM tw_budget b JOIN tw_budget_counter c ON c.budget_id = b.id"
    )
    return dict(engine.books.fetch(sql))


def assert_counters_are_the_ledger(engine: Engine) -> None:
    rows = engine.books.fetch(
        "SELECT source_app, SUM(input_tokens + output_tokens) FROM tw_usage GROUP BY source_app"
    )
    assert spent_by_app(engine) == {app: int(tokens) for app, tokens in rows}
