"""Budgets and the model that is really asked: routed, and on the way to a fallback."""

from dataclasses import replace

import pytest

from budgets.models import BudgetCounter, BudgetLease
from budgets.settlement import load_specs, reconcile
from tests.fakes import answer, raw_upstream
from tests.proxy.test_budgets import BODY, TOKENS, budget, budgeted, completion, run, spent
from tests.proxy.test_failover import closed_port, routed
from upstreams.candidates import Candidate
from usage.models import UsageRecord

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = {**BODY, "model": "gpt-4o-mini"}
DEARER = "gpt-4o"
CHEAPER = "gpt-4.1-nano"


class Overloaded:
    """Overloaded for some models; answers for the others."""

    def __init__(self, *models):
        self.models = models
        self.asked = []

    async def __call__(self, connection):
        while True:
            request = await connection.request()
            model = request.body.split(b'"model":')[1].split(b'"')[1].decode()
            self.asked.append(model)
            if model in self.models:
                await connection.send(answer(b'{"error":{"type":"x"}}', status=b"529 Overloaded"))
            else:
                body = completion().replace(b"gpt-4o-mini", model.encode())
                await connection.send(answer(body, b"content-type: application/json"))


async def outcome(it):
    await it.settled()
    return await run(UsageRecord.objects.get)


async def test_a_budget_for_a_model_counts_what_is_really_asked(tmp_path, monkeypatch):
    asked = await run(lambda: budget(name="asked", scope="model", pattern="gpt-4o-mini", limit=1))
    used = await run(lambda: budget(name="used", scope="model", pattern=CHEAPER))
    routed(monkeypatch, model=CHEAPER)
    provider = Overloaded()
    async with budgeted(tmp_path, provider) as it:
        answered = await it.ask(body=ASKED)
        assert answered.status_code == 200  # though the other's is used up
        row = await outcome(it)
        assert (row.model_requested, row.model_routed) == ("gpt-4o-mini", CHEAPER)
        tokens = row.input_tokens + row.output_tokens
        assert await run(spent, used.pk) == tokens
        counted = BudgetCounter.objects.filter(budget=asked.pk, spent__gt=0)
        assert not await run(counted.exists)

        def proven():
            now = row.created_at.timestamp()
            return [reconcile(spec, spec.at(now)) for spec in load_specs()]

        assert set(await run(proven)) == {0}
    assert provider.asked == [CHEAPER]


async def test_a_routed_model_whose_budget_is_used_up_is_refused(tmp_path, monkeypatch):
    await run(lambda: budget(scope="model", pattern=CHEAPER, limit=1))
    routed(monkeypatch, model=CHEAPER)
    provider = Overloaded()
    async with budgeted(tmp_path, provider) as it:
        assert (await it.ask(body=ASKED)).status_code == 429
    assert provider.asked == []


async def test_a_dearer_fallback_is_asked_for_again_and_not_sent_where_it_is_too_dear(
    tmp_path, monkeypatch
):
    made = await run(lambda: budget(unit="usd", limit="0.0002"))
    routed(monkeypatch, fallbacks=(DEARER,))
    provider = Overloaded("gpt-4o-mini")
    async with budgeted(tmp_path, provider) as it:
        refused = await it.ask(body=ASKED)
        row = await outcome(it)
        assert await run(spent, made.pk) == 0
        # and what was held for the first is free again
        provider.models = ()
        assert (await it.ask(body=ASKED)).status_code == 200
    assert refused.status_code == 529  # the last one's own error
    assert provider.asked == ["gpt-4o-mini", "gpt-4o-mini"]
    assert (row.attempts, row.model_routed, row.cost) == (1, "", 0)


async def test_a_dearer_fallback_that_fits_is_asked_and_settled(tmp_path, monkeypatch):
    made = await run(lambda: budget(unit="usd", limit="0.01"))
    routed(monkeypatch, fallbacks=(DEARER,))
    provider = Overloaded("gpt-4o-mini")
    async with budgeted(tmp_path, provider) as it:
        assert (await it.ask(body=ASKED)).status_code == 200
        row = await outcome(it)
        assert row.model_routed == DEARER
        assert row.cost > 0
        assert await run(spent, made.pk) == int(row.cost * 10**10)
    assert not await run(BudgetLease.objects.exists)


async def test_a_fallback_whose_own_budget_is_used_up_is_passed_over(tmp_path, monkeypatch):
    await run(lambda: budget(scope="model", pattern=DEARER, limit=1))
    used = await run(lambda: budget(name="other", scope="model", pattern=CHEAPER))
    routed(monkeypatch, fallbacks=(DEARER, CHEAPER))
    provider = Overloaded("gpt-4o-mini")
    async with budgeted(tmp_path, provider) as it:
        assert (await it.ask(body=ASKED)).status_code == 200
        row = await outcome(it)
        assert await run(spent, used.pk) == row.input_tokens + row.output_tokens
    assert provider.asked == ["gpt-4o-mini", CHEAPER]
    assert row.attempt_log == "default:529"


async def test_the_same_model_elsewhere_goes_on_with_what_is_held(tmp_path):
    """Twice as much would not fit: what is held is not held again."""
    made = await run(lambda: budget(limit=TOKENS))
    provider = Overloaded()
    async with budgeted(tmp_path, provider) as it, raw_upstream(provider) as second:
        dead = Candidate("dead", "openai", await closed_port(), 1)
        other = Candidate("other", "openai", second.url, 2)
        policies = it.proxy.services.policies
        policies.snapshot = replace(policies.snapshot, upstreams={"openai": (dead, other)})
        assert (await it.ask(body=ASKED)).status_code == 200
        row = await outcome(it)
        assert await run(spent, made.pk) == row.input_tokens + row.output_tokens
    assert row.attempt_log == "dead:connect"
