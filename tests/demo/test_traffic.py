import itertools

from demo.fake_provider import FakeProvider
from demo.serving import serve
from demo.traffic import APPS, Outcome, Planned, Traffic, plan


def first(count: int, seed: int = 7) -> list[Planned]:
    return list(itertools.islice(plan(seed), count))


def test_traffic_is_varied_and_the_same_for_the_same_seed() -> None:
    requests = first(400)
    assert requests == first(400)
    assert {request.app for request in requests} == {app.name for app in APPS}
    assert {bool(request.body.get("stream")) for request in requests} == {True, False}
    assert any(request.trouble for request in requests)
    assert any(request.leaves for request in requests)
    assert any("cached" in request.behaviour for request in requests)
    assert any("tools" in request.body for request in requests)


def direct(request: Planned) -> Planned:
    """The same request as the provider gets it, without the pauses."""
    words = [w for w in request.behaviour.split("+") if not w.startswith(("slow", "stream"))]
    headers = {**request.headers, "X-Fake-Provider": "+".join(filter(None, words))}
    path = request.path.removeprefix("/openai").removeprefix("/anthropic")
    return Planned(request.app, path, headers, request.body, request.behaviour, request.leaves)


async def test_every_planned_request_is_answered_as_it_is_meant_to_be() -> None:
    provider = FakeProvider()
    outcomes: list[Outcome] = []
    with serve(provider.app) as url:
        traffic = Traffic(url, outcomes.append, per_second=1000)
        await traffic.run(iter([direct(request) for request in first(150)]))
    assert [o for o in outcomes if not o.expected] == []
    assert (len(outcomes), traffic.sent, traffic.unexpected) == (150, 150, 0)
    assert {outcome.status for outcome in outcomes} > {200, 429}


async def test_a_provider_that_is_away_is_an_unexpected_end() -> None:
    with serve(FakeProvider().app) as url:
        pass
    outcomes: list[Outcome] = []
    traffic = Traffic(url, outcomes.append, per_second=1000)
    await traffic.run(plan(1), limit=2)
    assert [(o.status, o.ended, o.expected) for o in outcomes] == [(0, "broken", False)] * 2
    assert traffic.unexpected == 2


def test_errors_of_the_provider_are_expected_where_they_were_asked_for() -> None:
    asked = Planned("a", "/", {}, {}, "fail-429")
    assert Outcome(asked, 429, 0.1, "whole").expected
    plain = Planned("a", "/", {}, {}, "")
    assert not Outcome(plain, 502, 0.1, "whole").expected
