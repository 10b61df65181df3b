"""Which upstreams are tried, in which order."""

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwatch.conf import load
from upstreams.candidates import DIRECT, Candidate, Route, compose, ordered, plan

CONFIG = load({})


def made(name: str, priority: int = 100, weight: int = 1, **more: object) -> Candidate:
    return Candidate(name, "openai", f"https://{name}.example", priority, weight, **more)  # type: ignore[arg-type]


A, B, C = made("a", 1), made("b", 2), made("c", 3)
ALL = (A, B, C)


def names(targets: object) -> list[tuple[str, str]]:
    return [(target.candidate.name, target.model) for target in targets]  # type: ignore[attr-defined]


def planned(
    candidates: tuple[Candidate, ...] = ALL,
    route: Route = DIRECT,
    model: str = "m",
    number: float = 0.0,
    **waiting: float,
) -> list[tuple[str, str]]:
    by_key = {one.key: waiting[one.name] for one in candidates if one.name in waiting}
    return names(plan(candidates, route, model, waiting=by_key, number=number))


def test_the_lowest_priority_number_goes_first() -> None:
    assert planned() == [("a", "m"), ("b", "m"), ("c", "m")]


def test_the_operators_upstreams_are_put_in_order_and_replace_the_configured_url() -> None:
    found = compose(CONFIG, [C, A, B])
    assert found["openai"] == (A, B, C)
    (default,) = found["anthropic"]
    assert (default.name, default.base_url) == ("default", CONFIG.anthropic_url)
    assert default.forwards_credential


def test_prompts_for_upstreams_with_a_problem_do_not_go_to_the_configured_url() -> None:
    assert compose(CONFIG, [made("x", problem="no credential")])["openai"] == ()
    assert compose(CONFIG, [made("x", problem="no credential"), A])["openai"] == (A,)


def test_another_url_or_credential_is_another_upstream_to_its_health() -> None:
    first = Candidate("a", "openai", "https://a.example")
    assert first.key == Candidate("a", "openai", "https://a.example", priority=5).key
    assert first.key != Candidate("a", "openai", "https://b.example").key
    assert first.key != Candidate("a", "openai", "https://a.example", credential="sk").key
    assert "sk-1" not in repr(Candidate("a", "openai", "https://a.example", credential="sk-1"))


def test_within_a_priority_weights_share_out_first_places() -> None:
    group = (made("x", 1, 3), made("y", 1, 1), made("never", 1, 0))
    firsts = Counter(planned(group, number=i / 1000)[0][0] for i in range(1000))
    assert firsts == {"x": 750, "y": 250}
    assert all(planned(group, number=i / 10)[-1][0] == "never" for i in range(10))


def test_each_order_comes_as_often_as_its_weights_say() -> None:
    group = (made("x", 1, 2), made("y", 1, 1), made("z", 1, 1))
    orders = Counter(
        "".join(name for name, _ in planned(group, number=(i + 0.5) / 12000)) for i in range(12000)
    )
    weight = {"x": 2, "y": 1, "z": 1}
    for order in permutations("xyz"):
        p, q, r = (weight[name] for name in order)
        assert orders["".join(order)] == pytest.approx(12000 * p / 4 * q / (q + r), abs=3)


def test_those_without_any_weight_are_still_tried() -> None:
    group = (made("x", 1, 0), made("y", 1, 0))
    assert planned(group, number=0.99) == [("x", "m"), ("y", "m")]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=6),
    st.floats(0, 1, exclude_max=True),
)
def test_every_candidate_is_there_once_and_priorities_hold(
    shapes: list[tuple[int, int]], number: float
) -> None:
    group = [made(str(i), priority, weight) for i, (priority, weight) in enumerate(shapes)]
    found = ordered(sorted(group, key=lambda one: one.priority), (), number)
    assert sorted(one.name for one in found) == sorted(one.name for one in group)
    assert [one.priority for one in found] == sorted(one.priority for one in group)


def test_a_route_restricts_and_orders() -> None:
    assert planned(route=Route(upstreams=("c", "a", "gone", "c"))) == [("c", "m"), ("a", "m")]
    assert planned(route=Route(upstreams=("gone",))) == []


def test_a_routes_weights_go_before_priorities() -> None:
    route = Route(upstreams=(("c", 0.8), ("a", 0.2), ("gone", 5.0)))
    firsts = Counter(planned(route=route, number=i / 1000)[0][0] for i in range(1000))
    assert firsts == {"c": 800, "a": 200}
    assert {name for name, _ in planned(route=route)} == {"a", "c"}


def test_upstreams_with_an_open_breaker_come_last_by_when_they_are_due() -> None:
    assert [name for name, _ in planned(a=20.0, b=10.0)] == ["c", "b", "a"]
    assert [name for name, _ in planned(a=30.0, b=10.0, c=20.0)] == ["b", "c", "a"]


def test_a_single_upstream_is_always_tried() -> None:
    assert planned((A,), a=1000.0) == [("a", "m")]


def test_each_model_is_asked_of_all_before_the_next() -> None:
    route = Route(model="big", fallbacks=("small", "big", "m"), upstreams=("a", "b"))
    expected = [(name, model) for model in ("big", "small", "m") for name in ("a", "b")]
    assert planned(route=route) == expected
    assert planned(route=route, a=9.0) == [
        ("b", "big"),
        ("b", "small"),
        ("b", "m"),
        ("a", "big"),
        ("a", "small"),
        ("a", "m"),
    ]


def test_a_model_is_spelled_as_the_upstream_calls_it() -> None:
    candidate = made("azure", models={"gpt-4o": "deployment-7"})
    assert candidate.spelling("gpt-4o") == "deployment-7"
    assert candidate.spelling("other") == "other"
