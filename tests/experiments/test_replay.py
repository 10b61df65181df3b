"""Replay: every prompt once, through a running TokenWatch, whatever interrupts it."""

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Count, Sum

from budgets.models import Budget
from experiments import replay, replay_results
from experiments.prompt_models import ReplayAnswer, ReplayResult, ReplayRun
from experiments.replay import Engine, StoppedError, TakenError
from experiments.replay_plan import ReplayError, Wish, create, select
from experiments.replay_report import report
from tests.experiments.replaying import Provider, db, site
from tests.experiments.samples import chat, chat_answer, exchange, store, store_chats
from tests.faults.waiting import until
from tokenwatch.conf import BASE_DIR
from usage.models import UsageRecord

pytestmark = pytest.mark.django_db(transaction=True)

ON_DISK = pytest.mark.skipif(
    "TOKENWATCH_TEST_DATABASE_URL" in os.environ, reason="the child opens the database's file"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(replay, "LOOK_EVERY", 0.05)


def new_run(url, **wish):
    now = datetime.now(UTC)
    made = Wish("gpt-4o", wish.pop("target", "gpt-4o-mini"), url=url, **wish)
    return create(made, select(made, now), now)


def results(run):
    return list(ReplayResult.objects.filter(run=run))


def reloaded(run):
    return ReplayRun.objects.get(pk=run.pk)


def ledger_of(run):
    """The ledger's rows of a run's prompts that went on to the provider."""
    return UsageRecord.objects.filter(
        session_id__startswith=f"replay-{run.key}-", feature_tag="replay", attempts__gt=0
    )


def assert_adds_up(run, provider, prompts):
    """Each prompt reached the provider once, and the report says what the ledger says."""
    found = report(replay_results.outcomes(run))
    rows = ledger_of(run).aggregate(
        rows=Count("pk"),
        cost=Sum("cost"),
        input=Sum("input_tokens"),
        output=Sum("output_tokens"),
        read=Sum("cache_read_tokens"),
    )
    assert set(provider.seen.values()) == {1}
    assert provider.seen.total() == prompts == rows["rows"]
    assert (found.prompts, found.sent) == (prompts, prompts)
    assert found.cost == rows["cost"].quantize(Decimal("1e-10"))
    assert found.tokens == rows["input"] + rows["output"] + rows["read"]
    assert found.unpriced == ledger_of(run).filter(cost__isnull=True).count()
    failed = ledger_of(run).filter(status_code__gte=300).count()
    assert found.failed == failed
    return found


async def resume(run):
    """Go on by the command in a process of its own."""
    environment = {
        **os.environ,
        "TOKENWATCH_DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
        "DJANGO_SETTINGS_MODULE": "tokenwatch.settings",
    }
    arguments = ["replay", "--resume", str(run.pk), "--json", "--concurrency", "8"]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        *arguments,
        cwd=BASE_DIR,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.slow
@ON_DISK
async def test_a_thousand_prompts_interrupted_twice_are_each_sent_once(tmp_path):
    """Cancelled once, killed once."""
    provider = Provider(open_for=300)
    async with site(tmp_path, provider) as here:
        await db(store_chats)(f"prompt {number}" for number in range(1000))
        run = await db(new_run)(here.url)
        task = asyncio.create_task(Engine(run, concurrency=8).run())
        await provider.until_seen(308)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await db(reloaded)(run)).state == "interrupted"

        await provider.open(600)
        child = await resume(run)
        await provider.until_seen(608)
        child.send_signal(signal.SIGKILL)
        await child.communicate()
        assert (await db(reloaded)(run)).state == "running"  # it could not say that it died

        await provider.open()
        last = await resume(run)
        out, err = await last.communicate()
        assert last.returncode == 0, err.decode()
        said = json.loads(out)
        await here.flush()
        found = await db(assert_adds_up)(run, provider, 1000)
        assert (said["sent"], said["prompts"]) == (1000, 1000)
        assert said["cost"] == f"{found.cost:.10f}"
        assert said["run"]["state"] == "finished"
        assert found.failed == 16  # under way when it was interrupted: sent, their answers lost


@pytest.mark.slow
@ON_DISK
async def test_ctrl_c_lets_what_is_under_way_come_to_its_end(tmp_path):
    provider = Provider(open_for=20)
    async with site(tmp_path, provider) as here:
        await db(store_chats)(f"prompt {number}" for number in range(60))
        run = await db(new_run)(here.url)
        child = await resume(run)
        await provider.until_seen(28)
        child.send_signal(signal.SIGINT)
        # The engine has heard of it once its heartbeat, which goes on, has come after it.
        heard = datetime.now(UTC) + timedelta(seconds=replay.HEARTBEAT)
        await db(until)(
            lambda: reloaded(run).alive_at >= heard, lambda: "it gives no sign of life", 60
        )
        await provider.open()
        _, err = await child.communicate()
        assert child.returncode == 1
        assert f"stopped before its end (go on with: replay --resume {run.pk})" in err.decode()
        assert (await db(reloaded)(run)).state == "interrupted"
        assert provider.seen.total() == 28
        await Engine(run).run()
        assert (await db(assert_adds_up)(run, provider, 60)).failed == 0


@pytest.mark.parametrize("how", ["cancel", "stop"])
async def test_interrupted_twice_each_prompt_is_sent_once(tmp_path, how):
    provider = Provider(open_for=20)
    async with site(tmp_path, provider) as here:
        await db(store_chats)(f"prompt {number}" for number in range(60))
        run = await db(new_run)(here.url)
        for moment in (20, 40):
            engine = Engine(run, concurrency=4)
            task = asyncio.create_task(engine.run())
            await provider.until_seen(moment + 4)
            if how == "cancel":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                engine.stop()
                await provider.open(moment + 4)
                with pytest.raises(StoppedError):
                    await task
            assert (await db(reloaded)(run)).state == "interrupted"
            await provider.open(moment + 20)
        await provider.open()
        await Engine(run, concurrency=4).run()
        found = await db(assert_adds_up)(run, provider, 60)
        # A stop waits for what is under way; a cancellation breaks it off, and it stays sent.
        assert found.failed == (8 if how == "cancel" else 0)
        again = await db(reloaded)(run)
        assert (again.state, again.runner, again.note) == ("finished", "", "")
        assert again.finished_at is not None


async def test_what_is_sent_and_with_what(tmp_path):
    provider = Provider()
    async with site(tmp_path, provider, anthropic_url="http://127.0.0.1:1") as here:
        body = chat("q", stream=True, stream_options={"include_usage": True}, temperature=0)
        made = exchange(body, chat_answer("a"), headers={b"openai-beta": b"x=v1"})
        await db(store)(made)
        run = await db(new_run)(here.url)
        await Engine(run, key="sk-replay").run()
        (request,) = provider.requests
        sent = json.loads(request.body)
        assert sent == {**chat("q", temperature=0), "stream": False, "model": "gpt-4o-mini"}
        assert request.values(b"authorization") == [b"Bearer sk-replay"]
        assert request.values(b"openai-beta") == [b"x=v1"]
        await here.flush()
        (row,) = await db(list)(ledger_of(run))
        (result,) = await db(results)(run)
        assert (row.source_app, row.feature_tag) == ("replay", "replay")
        assert row.session_id == f"replay-{run.key}-{result.pk}"
        assert result.replay_id == row.request_id
        assert (result.cost, result.latency_ms) == (row.cost, row.latency_ms)
        assert result.original_cost == Decimal("0.0000270000")


async def test_without_a_key_nothing_of_the_clients_goes_out(tmp_path):
    provider = Provider()
    async with site(tmp_path, provider) as here:
        await db(store_chats)(["a"])
        await Engine(await db(new_run)(here.url)).run()
        (request,) = provider.requests
        assert request.values(b"authorization") == []
        assert request.values(b"x-api-key") == []


async def test_a_refusal_by_a_budget_stops_the_run_which_goes_on_later(tmp_path):
    provider = Provider()
    async with site(tmp_path, provider) as here:
        await db(store_chats)(f"prompt {number}" for number in range(9))
        run = await db(new_run)(here.url)
        await db(lambda: Budget.objects.create(name="b", limit=9, killed=True))()
        await db(here.proxy.services.policies.refresh)()
        with pytest.raises(ReplayError, match=r"TokenWatch refused: .*[Bb]udget"):
            await Engine(run).run()
        assert provider.seen.total() == 0
        assert {result.state for result in await db(results)(run)} == {"pending"}
        await here.flush()  # the refusals have rows of their own
        await db(lambda: Budget.objects.all().delete())()
        await db(here.proxy.services.policies.refresh)()
        await Engine(run).run()
        await db(assert_adds_up)(run, provider, 9)


async def test_a_provider_that_fails_is_a_result(tmp_path):
    provider = Provider(status=b"500 Internal Server Error")
    async with site(tmp_path, provider) as here:
        await db(store_chats)(["a", "b"])
        run = await db(new_run)(here.url)
        await Engine(run).run()
        found = await db(assert_adds_up)(run, provider, 2)
        assert found.failed == 2
        assert found.score == 0


async def test_no_tokenwatch_at_the_address(tmp_path):
    await db(store_chats)(["a", "b"])
    run = await db(new_run)("http://127.0.0.1:9")
    with pytest.raises(ReplayError, match=r"does not answer at http://127\.0\.0\.1:9"):
        await Engine(run).run()
    again = await db(reloaded)(run)
    assert (again.state, again.runner) == ("interrupted", "")
    assert "does not answer" in again.note
    assert {result.state for result in await db(results)(run)} == {"pending"}


async def test_one_process_works_at_a_run(tmp_path):
    provider = Provider(open_for=0)
    async with site(tmp_path, provider) as here:
        await db(store_chats)(["a", "b"])
        run = await db(new_run)(here.url)
        task = asyncio.create_task(Engine(run).run())
        await provider.until_seen(2)
        with pytest.raises(TakenError):
            await Engine(run).run()
        await provider.open()
        await task
        await db(assert_adds_up)(run, provider, 2)


async def test_a_run_that_was_taken_over_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "HEARTBEAT", 0.05)
    provider = Provider(open_for=0)
    async with site(tmp_path, provider) as here:
        await db(store_chats)(["a"])
        run = await db(new_run)(here.url)
        task = asyncio.create_task(Engine(run).run())
        await provider.until_seen(1)
        await db(lambda: ReplayRun.objects.update(runner="another"))()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await db(reloaded)(run)).runner == "another"


async def test_similarity_by_an_embedder(tmp_path):
    def embed(texts):
        return [[1.0, 0.0] if "AGAIN" in text else [1.0, 1.0] for text in texts]

    provider = Provider()
    async with site(tmp_path, provider) as here:
        await db(store_chats)(["a", "b", "c"])
        run = await db(new_run)(here.url)
        seen: list[replay.Progress] = []
        await Engine(run, embed=embed, on_progress=seen.append).run()
        found = await db(assert_adds_up)(run, provider, 3)
        assert found.similarity_by == "meaning"
        assert found.similarity == pytest.approx((0.5**0.5,) * 5)
        assert found.score == pytest.approx(0.5**0.5)
        assert [(p.done, p.of) for p in seen if p.doing == "sending"][-1] == (3, 3)


class Judge(Provider):
    """Also judges: the answers with AGAIN are better."""

    def reply(self, body):
        if body["model"] != "gpt-judge":
            return super().reply(body)
        text = body["messages"][0]["content"]
        first = "AGAIN" in text.partition("<answer_1>")[2].partition("</answer_1>")[0]
        better, worse = (1, 2) if first else (2, 1)
        said = {"better": better, f"score_{better}": 0.9, f"score_{worse}": 0.2, "reason": "longer"}
        return chat_answer(f"```json\n{json.dumps(said)}\n```")

    def prompt(self, body):
        return (
            f"judge {super().prompt(body)}"
            if body["model"] == "gpt-judge"
            else super().prompt(body)
        )


async def test_a_judge_sees_the_answers_in_either_order(tmp_path):
    async with site(tmp_path, Judge()) as here:
        await db(store_chats)(["a", "b", "c", "d"])
        run = await db(new_run)(here.url, judge_model="gpt-judge")
        await Engine(run).run()
        judged = await db(results)(run)
        assert {(one.verdict, one.judge_score, one.judge_reason) for one in judged} == {
            ("better", 0.9, "longer")
        }
        await here.flush()
        tags = await db(list)(UsageRecord.objects.values_list("feature_tag", flat=True))
        assert sorted(tags) == [""] * 4 + ["replay"] * 4 + ["replay-judge"] * 4
        found = await db(report)(await db(replay_results.outcomes)(run))
        assert found.verdicts == {"better": 4}
        assert found.score == pytest.approx(0.9)


async def test_answers_are_compared(tmp_path):
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": 2}'}}

    class Tools(Provider):
        def reply(self, body):
            same = {**call, "function": {"name": "f", "arguments": '{"b":2,"a":1}'}}
            if self.prompt(body) == "tool":
                return chat_answer("", tool_calls=[same])
            return chat_answer({"json": '{"x":1}', "text": "one two THREE four"}[self.prompt(body)])

    async with site(tmp_path, Tools()) as here:
        tool, document, text = await db(store)(
            exchange(chat("tool"), chat_answer("", tool_calls=[call])),
            exchange(chat("json"), chat_answer('{"x": 2}')),
            exchange(chat("text"), chat_answer("one two three four")),
        )
        run = await db(new_run)(here.url)
        await Engine(run).run()
        found = {
            one.request_id: (one.tools_equal, one.json_valid, one.json_equal, one.text_ratio)
            for one in await db(results)(run)
        }
        assert found == {
            tool: (True, None, None, None),
            document: (None, True, False, 0.0),
            text: (None, None, None, 0.75),
        }
        assert await db(ReplayAnswer.objects.count)() == 3
