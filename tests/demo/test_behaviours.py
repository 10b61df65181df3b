import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.behaviours import Behaviour, behaviour_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fail-429", Behaviour(fail=429)),
        ("slow-250", Behaviour(delay_ms=250)),
        ("stream-10-5", Behaviour(pieces=10, interval_ms=5)),
        ("break-0", Behaviour(break_after=0)),
        ("cached", Behaviour(cached=True)),
        ("no-usage", Behaviour(usage=False)),
        ("gpt-4o+cached+gzip", Behaviour(model="gpt-4o", cached=True, compress=True)),
        ("fail-200", Behaviour(model="fail-200")),
        ("slow-", Behaviour(model="slow-")),
    ],
)
def test_a_model_name_asks_for_behaviour(name: str, expected: Behaviour) -> None:
    assert behaviour_of(name) == expected


def test_the_answered_model_carries_its_date() -> None:
    assert behaviour_of("gpt-4o-mini").answered_model("x") == "gpt-4o-mini-2024-07-18"
    assert behaviour_of("glm-4.7").answered_model("x") == "glm-4.7"
    assert behaviour_of("cached").answered_model("gpt-4o-mini") == "gpt-4o-mini-2024-07-18"


@given(st.text())
def test_any_name_is_read(name: str) -> None:
    assert behaviour_of(name).model in name
