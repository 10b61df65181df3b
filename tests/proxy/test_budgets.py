"""Budgets as an app meets them: refusals, warnings, and what is held while a request runs."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest
from django.db import connection

from budgets.models import Budget, BudgetCounter, BudgetLease
from tests.fakes import answer, chunked, raw_upstream
from tests.proxy import streams
from tests.proxy.serving import running
from tests.usage.keeping import KeptLedger
from upstreams.dialects import DIALECTS
from upstreams.dialects.estimate import prompt_tokens
from usage.models import UsageRecord

pytestmark = pytest.mark.django_db(transaction=True)

CHAT = "/openai/v1/chat/completions"
OUTPUT = 100
BODY = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "How much is left?"}],
    "max_tokens": OUTPUT,
}
PROMPT = prompt_tokens(DIALECTS["openai"], BODY)
TOKENS = PROMPT + OUTPUT
COST = (Decimal("0.15") * PROMPT + Decimal("0.60") * OUTPUT) / 10**6


def completion(prompt=PROMPT, output=OUTPUT):
    return orjson.dumps(
        {
            "object": "chat.completion",
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Enough."}}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": output},
        }
    )


class Provider:
    """Answers each request as soon as `gate` is open, with exactly what was estimated."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.reached = 0
        self.body = completion()

    async def __call__(self, connection):
        while True:
            await connection.request()
            self.reached += 1
            self.asked.set()
            await self.gate.wait()
            await connection.send(answer(self.body, b"content-type: application/json"))


class Budgeted:
    """A proxy with its real ledger, and a provider behind it."""

    def __init__(self, proxy, provider, http):
        self.proxy = proxy
        self.provider = provider
        self.http = http

    async def ask(self, path=CHAT, body=BODY, **headers):
        return await self.http.post(
            self.proxy.url + path,
            json=body,
            headers={f"X-TokenWatch-{name}": value for name, value in headers.items()},
        )

    async def settled(self):
        """Every row is written, and the worker has looked at its counters since."""
        ledger = self.proxy.services.ledger
        assert await asyncio.to_thread(ledger.flush, 20)
        await self.proxy.services.desk._round()

    async def policies(self):
        await run(self.proxy.services.policies.refresh)
        await self.proxy.services.desk._round()


@asynccontextmanager
async def budgeted(tmp_path, provider=None, **settings):
    provider = provider or Provider()
    async with (
        raw_upstream(provider) as upstream,
        running(upstream.url, tmp_path, **settings) as proxy,
        httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=100)) as http,
    ):
        services = proxy.services
        services.ledger = KeptLedger(services.config.spool_dir)
        services.ledger.start()
        it = Budgeted(proxy, provider, http)
        await run(services.policies.refresh)
        await services.desk._round()
        try:
            yield it
        finally:
            await services.desk.stop()
            await run(services.stop_threads)


async def run(call, *args):
    """Ask the database in a thread, and leave no connection behind."""

    def closing():
        try:
            return call(*args)
        finally:
            connection.close()

    return await asyncio.to_thread(closing)


def budget(**values):
    values = {"name": "all", "unit": "tokens", "limit": 5 * TOKENS, "period": "total", **values}
    return Budget.objects.create(**values)


def spent(pk):
    return BudgetCounter.objects.get(budget=pk).spent


@pytest.mark.parametrize("unit", ["tokens", "usd"])
async def test_of_64_first_requests_at_once_5_are_admitted(tmp_path, unit):
    limit = 5 * TOKENS if unit == "tokens" else 5 * COST
    made = await run(lambda: budget(unit=unit, limit=limit))
    async with budgeted(tmp_path) as it:
        it.provider.gate.clear()
        asked = [asyncio.create_task(it.ask()) for _ in range(64)]
        done = []
        for refused in asyncio.as_completed(asked):
            done.append(await refused)
            if len(done) == 59:
                break
        assert {one.status_code for one in done} == {429}
        it.provider.gate.set()
        answers = await asyncio.gather(*asked)
        await it.settled()
        assert it.provider.reached == 5
        assert sum(one.status_code == 200 for one in answers) == 5
        assert await run(spent, made.pk) == int(limit * (1 if unit == "tokens" else 10**10))
        assert (await it.ask()).status_code == 429
    rows = await run(lambda: list(UsageRecord.objects.values_list("status_code", "cost")))
    assert len(rows) == 65
    assert {cost for status, cost in rows if status == 429} == {Decimal(0)}
    assert not await run(BudgetLease.objects.exists)


async def test_a_refusal_says_what_an_app_needs_to_know(tmp_path):
    await run(
        lambda: budget(
            name="Team A", scope="app", pattern="shop", limit=1, period="daily", unit="tokens"
        )
    )
    async with budgeted(tmp_path) as it:
        refused = await it.ask(App="shop")
        assert (await it.ask(App="other")).status_code == 200
        anthropic = await it.ask("/anthropic/v1/messages", App="shop")
    assert refused.status_code == anthropic.status_code == 429
    assert refused.headers["x-should-retry"] == "false"
    assert 0 < int(refused.headers["retry-after"]) <= 86400
    assert refused.headers["x-tokenwatch-attempts"] == "0"
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "budget_exceeded")
    assert "'Team A' (app:shop)" in error["message"]
    assert "0 tokens of 1 tokens (daily)" in error["message"]
    assert error["budget"]["scope"] == "app"
    assert error["budget"]["resets_at"].endswith("T00:00:00Z")
    assert anthropic.json()["type"] == "error"
    assert anthropic.json()["error"]["budget"]["limit"] == "1 tokens"


async def test_what_was_held_too_much_is_free_again_at_the_end(tmp_path):
    made = await run(lambda: budget(limit=TOKENS))
    provider = Provider()
    provider.body = completion(output=1)
    async with budgeted(tmp_path, provider) as it:
        for _ in range(3):
            assert (await it.ask(body={**BODY, "max_tokens": 30})).status_code == 200
        await it.settled()
        assert await run(spent, made.pk) == 3 * (PROMPT + 1)


async def test_a_failed_request_costs_its_budget_nothing(tmp_path):
    made = await run(lambda: budget(limit=TOKENS))

    async def fails(connection):
        while True:
            await connection.request()
            await connection.send(
                answer(b'{"error": {"type": "x"}}', status=b"500 No"),
            )

    async with budgeted(tmp_path, fails) as it:
        for _ in range(4):
            assert (await it.ask()).status_code == 500
        await it.settled()
        assert await run(spent, made.pk) == 0


async def test_a_client_that_leaves_lets_go_of_what_was_held(tmp_path):
    await run(lambda: budget(limit=TOKENS + PROMPT))
    async with budgeted(tmp_path) as it:
        it.provider.gate.clear()
        asking = asyncio.create_task(it.ask())
        await asyncio.wait_for(it.provider.asked.wait(), 10)
        assert (await it.ask()).status_code == 429
        asking.cancel()
        await asyncio.wait([asking])
        it.provider.gate.set()
        async with asyncio.timeout(5):
            while (await it.ask()).status_code == 429:
                await it.settled()


async def test_streams_hold_and_settle_too(tmp_path):
    made = await run(lambda: budget(limit=10 * TOKENS))

    async def streaming(connection):
        while True:
            await connection.request()
            await connection.send(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n",
                chunked(*streams.OPENAI),
            )

    async with budgeted(tmp_path, streaming) as it:
        told = await it.ask(body={**BODY, "stream": True})
        assert told.status_code == 200
        await it.settled()
        row = await run(UsageRecord.objects.get)
        assert await run(spent, made.pk) == 100 + row.output_tokens


async def test_a_kill_switch_blocks_whatever_was_spent(tmp_path):
    made = await run(lambda: budget(limit=10**6, action="warn"))
    async with budgeted(tmp_path) as it:
        assert (await it.ask()).status_code == 200
        made.killed = True
        await run(made.save)
        await it.policies()
        refused = await it.ask()
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "budget_killed"
        assert "retry-after" not in refused.headers
        made.killed = False
        await run(made.save)
        await it.policies()
        assert (await it.ask()).status_code == 200


async def test_headers_near_the_limit_and_past_a_limit_that_only_warns(tmp_path):
    await run(lambda: budget(name="near", limit=2 * TOKENS, threshold=50))
    await run(lambda: budget(name="over", limit=TOKENS, action="warn", scope="tag", pattern="t*"))
    async with budgeted(tmp_path) as it:
        first = await it.ask(Tag="top")
        assert not {name for name in first.headers if "budget" in name}
        await it.settled()
        second = await it.ask(Tag="top")
        await it.settled()
        assert second.status_code == 200
        assert (
            second.headers["x-tokenwatch-budget-warning"]
            == f"scope=global spent={TOKENS}/{2 * TOKENS} tokens"
        )
        assert (
            second.headers["x-tokenwatch-budget-exceeded"]
            == f"scope=tag:t* spent={TOKENS}/{TOKENS} tokens"
        )


async def test_all_of_several_budgets_must_admit(tmp_path):
    await run(lambda: budget(name="wide", limit=100 * TOKENS))
    await run(lambda: budget(name="app", scope="app", pattern="a", limit=2 * TOKENS))
    await run(lambda: budget(name="model", scope="model", pattern="gpt-4o*", limit=50 * TOKENS))
    async with budgeted(tmp_path) as it:
        codes = [(await it.ask(App="a")).status_code for _ in range(4)]
        assert codes == [200, 200, 429, 429]
        assert (await it.ask(App="b")).status_code == 200
        await it.settled()
        totals = await run(lambda: dict(BudgetCounter.objects.values_list("budget__name", "spent")))
        assert totals == {"wide": 3 * TOKENS, "app": 2 * TOKENS, "model": 3 * TOKENS}


POST_PATHS = [
    ("openai", path)
    for path in (
        "chat/completions",
        "completions",
        "responses",
        "embeddings",
        "images/generations",
        "images/edits",
        "audio/speech",
        "audio/transcriptions",
        "moderations",
        "batches",
        "files",
        "fine_tuning/jobs",
        "realtime/sessions",
        "something/new",
    )
] + [
    ("anthropic", path)
    for path in ("messages", "messages/count_tokens", "messages/batches", "complete", "x")
]


@pytest.mark.parametrize("killed", [True, False])
async def test_no_forwarded_path_passes_an_exhausted_budget(tmp_path, killed):
    await run(lambda: budget(scope="model", pattern="*", limit=1, killed=killed))
    await run(lambda: budget(name="g", limit=Decimal("0.0000000001"), unit="usd", killed=killed))
    form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
    async with budgeted(tmp_path) as it:
        if not killed:
            await run(lambda: BudgetCounter.objects.update(spent=1))
            await it.policies()
        for dialect, path in POST_PATHS:
            url = f"{it.proxy.url}/{dialect}/v1/{path}"
            bodies: list[dict[str, Any]] = [
                {"json": BODY},
                {"json": {**BODY, "stream": True}},
                {"content": b"no json"},
                {"content": form, "headers": {"content-type": "multipart/form-data; boundary=b"}},
                {"content": b"\0", "headers": {"content-type": "audio/wav"}},
                {"content": b""},
            ]
            for method in ("POST", "PUT", "PATCH"):
                for body in bodies:
                    got = await it.http.request(method, url, **body)
                    assert got.status_code == 429, (method, path, body)
        assert it.provider.reached == 0


async def test_an_upload_counts_against_its_models_budget(tmp_path):
    await run(lambda: budget(scope="model", pattern="whisper-1", limit=1, killed=True))
    async with budgeted(tmp_path) as it:
        refused = await it.http.post(
            f"{it.proxy.url}/openai/v1/audio/transcriptions",
            data={"model": "whisper-1"},
            files={"file": b"\0" * 300_000},
        )
        other = await it.http.post(
            f"{it.proxy.url}/openai/v1/audio/transcriptions",
            data={"model": "whisper-2"},
            files={"file": b"\0" * 300_000},
        )
    assert (refused.status_code, other.status_code) == (429, 200)


@pytest.mark.parametrize(("mode", "expected"), [("open", 200), ("closed", 503)])
async def test_without_a_database(tmp_path, monkeypatch, mode, expected):
    from django.db import OperationalError

    from budgets import bookkeeping

    await run(lambda: budget(limit=2 * TOKENS))
    async with budgeted(tmp_path, budget_fail_mode=mode) as it:

        def away(*args, **kwargs):
            raise OperationalError("the server is away")

        with monkeypatch.context() as patched:
            patched.setattr(bookkeeping, "lend", away)
            patched.setattr(bookkeeping, "look", away)
            codes = [(await it.ask()).status_code for _ in range(3)]
            assert codes == ([200, 200, 429] if expected == 200 else [503] * 3)
        await it.settled()
        assert (await it.ask()).status_code == (429 if expected == 200 else 200)


@pytest.mark.parametrize(("mode", "expected"), [("open", 200), ("closed", 503)])
async def test_a_worker_that_never_saw_a_database(tmp_path, monkeypatch, mode, expected):
    from django.db import OperationalError

    from tokenwatch import policy

    def away():
        raise OperationalError("the server is away")

    monkeypatch.setattr(policy, "current", away)
    async with budgeted(tmp_path, budget_fail_mode=mode) as it:
        answered = await it.ask()
        assert answered.status_code == expected
        if expected == 503:
            assert answered.json()["error"]["code"] == "budget_unavailable"
        assert (await it.http.get(it.proxy.url + "/openai/v1/models")).status_code == 200


async def test_a_lower_limit_holds_at_once(tmp_path):
    made = await run(lambda: budget(limit=1000 * TOKENS))
    async with budgeted(tmp_path) as it:
        assert (await it.ask()).status_code == 200  # the worker has an eighth of it now
        made.limit = 3 * TOKENS
        await run(made.save)
        await run(it.proxy.services.policies.refresh)
        codes = [(await it.ask()).status_code for _ in range(2)]
        await it.settled()
        codes += [(await it.ask()).status_code for _ in range(4)]
        assert codes.count(200) <= 2
        assert codes[-1] == 429
        await it.settled()
        assert await run(spent, made.pk) <= 3 * TOKENS


@pytest.mark.parametrize("change", ["remove", "rename"])
async def test_a_budget_that_went_while_a_request_asked_for_it_holds_up_nobody(tmp_path, change):
    made = await run(lambda: budget(scope="app", pattern="a"))
    async with budgeted(tmp_path) as it:
        if change == "remove":
            await run(made.delete)
        else:
            made.pattern = "b"
            await run(made.save)
        async with asyncio.timeout(5):  # the worker's snapshot still has it
            assert (await it.ask(App="a")).status_code == 200
        await it.policies()
        assert (await it.ask(App="a")).status_code == 200
        await it.settled()
    assert not await run(BudgetCounter.objects.filter(spent__gt=0).exists)


async def test_a_budget_can_be_switched_off(tmp_path):
    await run(lambda: budget(killed=True))
    async with budgeted(tmp_path, budget_enabled="false") as it:
        assert (await it.ask()).status_code == 200


async def test_a_tag_rule_decides_which_budget_counts(tmp_path):
    from routing.models import TagRule

    values = {"name": "r", "kind": "tag_regex", "pattern": "(?i)how much", "tag": "prices"}
    await run(lambda: TagRule.objects.create(**values))
    await run(lambda: budget(scope="tag", pattern="prices", killed=True))
    async with budgeted(tmp_path) as it:
        refused = await it.ask()
        named = await it.ask(Tag="other")
        await it.settled()
    assert (refused.status_code, named.status_code) == (429, 200)
    tags = await run(lambda: sorted(UsageRecord.objects.values_list("feature_tag", flat=True)))
    assert tags == ["other", "prices"]
