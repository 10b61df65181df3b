"""When an upstream is left alone, and when it is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstreams.breaker import CLOSED, HALF_OPEN, OPEN, Breaker, Limits

LIMITS = Limits(failures=3, error_rate=0.5, window=60.0, least=10, pause=4.0, longest=16.0)
MIDDLE = 0.5
"""The random number that leaves a pause as long as it is."""


def fail(breaker: Breaker, now: float, *, times: int = 1, **more: object) -> None:
    for _ in range(times):
        breaker.failed(now, "503", MIDDLE, **more)  # type: ignore[arg-type]


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker(LIMITS)
    fail(breaker, now, times=3)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(LIMITS)
    fail(breaker, 100.0, times=2)
    assert (breaker.state, breaker.due(100.0)) == (CLOSED, 0.0)
    breaker.succeeded(100.0, probe=False)
    fail(breaker, 100.0, times=2)
    assert breaker.state == CLOSED
    assert breaker.failed(100.0, "connect", MIDDLE)
    assert (breaker.state, breaker.due(100.0), breaker.error) == (OPEN, 104.0, "connect")


def test_it_opens_at_an_error_rate() -> None:
    breaker = Breaker(LIMITS)
    for second in range(4):
        breaker.succeeded(100.0 + second, probe=False)
        fail(breaker, 100.0 + second)
    assert breaker.state == CLOSED  # half of them failed, but they are few
    breaker.succeeded(104.0, probe=False)
    fail(breaker, 104.0)
    assert breaker.state == OPEN


def test_what_is_long_ago_does_not_count() -> None:
    breaker = Breaker(LIMITS)
    for second in range(4):
        breaker.succeeded(100.0 + second, probe=False)
        fail(breaker, 100.0 + second)
    breaker.succeeded(200.0, probe=False)
    fail(breaker, 200.0)
    assert breaker.state == CLOSED


def test_earlier_successes_keep_the_rate_low_over_the_edge_of_a_half_window() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(30):
        breaker.succeeded(100.0, probe=False)
    for second in range(10):
        fail(breaker, 131.0 + second)
        breaker.succeeded(131.0 + second, probe=False)
    assert breaker.state == CLOSED


def test_when_the_pause_is_over_one_probe_goes_and_no_other() -> None:
    breaker = opened()
    assert not breaker.begin(103.9)
    assert breaker.due(104.0) == 0.0
    assert breaker.begin(104.0)
    assert breaker.state == HALF_OPEN
    assert not breaker.begin(104.0)
    assert breaker.due(104.0) > 104.0


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    assert breaker.begin(104.0)
    assert breaker.succeeded(104.1, probe=True)
    assert (breaker.state, breaker.failures, breaker.error) == (CLOSED, 0, "")
    fail(breaker, 105.0, times=2)
    assert breaker.state == CLOSED


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest() -> None:
    breaker, now, pauses = opened(), 100.0, []
    for _ in range(5):
        due = breaker.due(now)
        pauses.append(due - now)
        now = due
        assert breaker.begin(now)
        fail(breaker, now, probe=True)
    assert pauses == [4.0, 8.0, 16.0, 16.0, 16.0]


def test_success_begins_with_short_pauses_again() -> None:
    breaker = opened()
    breaker.begin(104.0)
    fail(breaker, 104.0, probe=True)
    breaker.begin(112.0)
    breaker.succeeded(112.0, probe=True)
    fail(breaker, 200.0, times=3)
    assert breaker.due(200.0) == 204.0


@given(st.floats(0, 1, exclude_max=True))
def test_pauses_are_spread_by_a_quarter(number: float) -> None:
    breaker = Breaker(LIMITS)
    for _ in range(3):
        breaker.failed(100.0, "503", number)
    assert 103.0 <= breaker.due(100.0) <= 105.0


def test_a_probe_whose_client_left_leaves_the_place_to_the_next() -> None:
    breaker = opened()
    assert breaker.begin(104.0)
    breaker.abandoned(probe=True)
    assert breaker.due(104.0) == 0.0
    assert breaker.begin(104.0)


def test_answers_that_were_under_way_do_not_close_it_nor_prolong_it() -> None:
    breaker = opened()
    assert not breaker.succeeded(101.0, probe=False)
    fail(breaker, 102.0, times=5)
    assert (breaker.state, breaker.due(102.0)) == (OPEN, 104.0)


def test_a_cool_down_opens_it_at_once_for_as_long_as_was_asked() -> None:
    breaker = Breaker(LIMITS)
    assert breaker.failed(100.0, "429", MIDDLE, cool_down=30.0)
    assert (breaker.state, breaker.due(100.0)) == (OPEN, 130.0)
    assert breaker.begin(130.0)
    breaker.succeeded(130.0, probe=True)
    assert breaker.state == CLOSED


def test_a_longer_cool_down_is_never_shortened() -> None:
    breaker = Breaker(LIMITS)
    breaker.failed(100.0, "429", MIDDLE, cool_down=30.0)
    assert not breaker.failed(101.0, "429", MIDDLE, cool_down=5.0)
    fail(breaker, 102.0, times=5)
    breaker.succeeded(103.0, probe=False)
    assert not breaker.reached(104.0)
    assert breaker.due(105.0) == 130.0
    assert breaker.failed(106.0, "429", MIDDLE, cool_down=60.0)
    assert breaker.due(107.0) == 166.0


def test_a_cool_down_that_begins_during_the_probe_outlasts_its_success() -> None:
    breaker = opened()
    assert breaker.begin(104.0)
    breaker.failed(104.1, "429", MIDDLE, cool_down=60.0)
    assert not breaker.succeeded(104.2, probe=True)
    assert (breaker.state, breaker.due(105.0)) == (OPEN, pytest.approx(164.1))


def test_one_that_can_be_reached_again_is_due_at_once_but_not_closed() -> None:
    breaker = Breaker(LIMITS)
    fail(breaker, 100.0, times=3, unreachable=True)
    assert breaker.reached(101.0)
    assert (breaker.state, breaker.due(101.0)) == (OPEN, 0.0)
    assert not breaker.reached(101.0)
    assert breaker.begin(101.0)
    assert not breaker.begin(101.0)


def test_being_reachable_says_nothing_of_one_that_answers_with_errors() -> None:
    breaker = opened()
    assert not breaker.reached(101.0)
    assert breaker.due(101.0) == 104.0


def test_what_another_worker_found_out_is_taken_over() -> None:
    breaker = Breaker(LIMITS)
    breaker.reopen(130.0, "connect")
    assert (breaker.state, breaker.due(100.0), breaker.error) == (OPEN, 130.0, "connect")
    assert breaker.begin(130.0)


EVENT = st.tuples(
    st.sampled_from(["begin", "ok", "fail", "cool", "leave", "reached"]),
    st.floats(0, 20),
)


@given(st.lists(EVENT, max_size=60))
def test_in_any_order_of_events_there_is_one_probe_and_no_cool_down_is_cut(
    events: list[tuple[str, float]],
) -> None:
    breaker, now, probing, cooled = Breaker(LIMITS), 100.0, False, 0.0
    for kind, seconds in events:
        now += seconds
        if kind == "begin" and breaker.begin(now):
            assert not probing
            assert now >= cooled
            probing = True
        elif kind == "ok":
            breaker.succeeded(now, probe=probing)
            probing = False
        elif kind == "fail":
            breaker.failed(now, "503", MIDDLE, probe=probing, unreachable=seconds > 10)
            probing = False
        elif kind == "cool":
            breaker.failed(now, "429", MIDDLE, cool_down=seconds)
            cooled = max(cooled, now + seconds)
        elif kind == "leave":
            breaker.abandoned(probe=probing)
            probing = False
        elif kind == "reached":
            breaker.reached(now)
        if now < cooled:
            assert breaker.due(now) >= cooled - 1e-6
        if breaker.state == CLOSED:
            assert breaker.due(now) == 0.0
