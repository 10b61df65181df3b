"""What `explain-request` says of a request is what becomes of it: random policies, random
requests, explained first and then served by the real pipeline."""

import logging

import pytest

from budgets import bookkeeping
from budgets.refusals import Unknown
from tests.proxy.agreeing import Case, Cases


async def agree(tmp_path, monkeypatch, numbers):
    cases = Cases(tmp_path)
    await cases.close()
    monkeypatch.setattr(bookkeeping, "lend", cases.lend)
    monkeypatch.setattr(logging.getLogger("tokenwatch.upstreams"), "disabled", True)
    seen: dict[str, int] = {}
    for number in numbers:
        case = await cases.run(number)
        try:
            compare(case)
        except AssertionError as exc:
            raise AssertionError(f"case {number}: {exc}") from exc
        for what in kinds(case):
            seen[what] = seen.get(what, 0) + 1
    return seen


def compare(case: Case) -> None:
    explained, row = case.explained, case.row
    decision, refusal = explained.decision, explained.refusal
    assert not isinstance(refusal, Unknown)
    assert row.feature_tag == (explained.tag_rule.tag if explained.tag_rule else row.feature_tag)
    assert row.routing_rule == (decision.rule.rule_name if decision.rule else "")
    made = decision.assignment
    assert (row.ab_test, row.ab_variant) == ((made.test, made.variant) if made else ("", ""))
    names = [target.candidate.name for target in decision.targets]
    recorded = case.recorded
    if len(names) > 1:
        assert [one.split()[0] for one in recorded["order"]] == names
    if decision.problem:
        assert (case.status, case.asked) == (503, [])
        assert decision.problem.encode() in case.body.replace(b'\\"', b'"')
        return
    assert (row.model_routed or row.model_requested) == decision.model or row.attempts > 1
    if refusal is not None:
        assert (case.status, case.asked) == (refusal.status, [])
        assert refusal.spec.name.encode() in case.body
        assert recorded["refused"]["by"] == refusal.spec.name
        assert recorded["refused"]["code"] == refusal.code
        return
    assert "refused" not in recorded
    assert case.status == 500
    hosts = [target.candidate.base_url.split("//")[1] for target in decision.targets]
    models = [target.model if row.model_requested else "" for target in decision.targets]
    expected = list(zip(hosts, models, strict=True))
    if case.budgets:  # a dearer fallback may be passed over, and the order stays
        rest = iter(expected)
        assert case.asked[0] == expected[0]
        assert all(one in rest for one in case.asked)
        assert len(case.asked) <= case.most
    else:
        assert case.asked == expected[: case.most]
    if row.attempts == 1:
        reserved = {name: units for name, _, units, *_ in recorded.get("budgets", ())}
        needs = {"usd": max(1, explained.usd), "tokens": max(1, explained.tokens)}
        assert reserved == {
            one.spec.name: needs[one.spec.unit] if one.spec.blocks else 0
            for one in explained.accounts
        }


def kinds(case: Case):
    """What a case is an example of: all of it must come up."""
    decision, refusal = case.explained.decision, case.explained.refusal
    if case.explained.tag_rule:
        yield "tagged"
    if decision.rule:
        yield "routed"
    if decision.assignment:
        yield "tested"
    if decision.problem:
        yield "nobody serves"
    if refusal is not None and not isinstance(refusal, Unknown):
        yield refusal.code if not refusal.needed else "not enough left"
    if case.explained.accounts and refusal is None:
        yield "allowed"
    if len(case.asked) > 1:
        yield "failed over"
    if not case.row.decision:
        yield "nothing decided"


EVERYTHING = {
    "tagged",
    "routed",
    "tested",
    "nobody serves",
    "budget_exceeded",
    "budget_killed",
    "not enough left",
    "allowed",
    "failed over",
    "nothing decided",
}


async def test_explained_and_served_agree(tmp_path, monkeypatch):
    seen = await agree(tmp_path, monkeypatch, range(500))
    assert set(seen) == EVERYTHING


@pytest.mark.slow
async def test_explained_and_served_agree_on_ten_thousand_requests(tmp_path, monkeypatch):
    seen = await agree(tmp_path, monkeypatch, range(1_000, 11_000))
    assert set(seen) == EVERYTHING
