"""What a failed attempt means for the next candidate and for the upstream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstreams.errors import (
    BadAnswer,
    BrokenBody,
    ConnectFailed,
    ConnectTimeout,
    Dropped,
    ResponseTimeout,
)
from upstreams.failures import (
    CREDENTIAL_COOL_DOWN,
    CoolDowns,
    of_error,
    of_status,
    retry_after,
)

BOUNDS = CoolDowns(default=5.0, longest=3600.0)
AT = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def asked(**headers: str) -> float:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return retry_after(pairs, at=AT, cool_downs=BOUNDS)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (" 30 ", 30.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60.0),
        ("99999999", 3600.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        # nonsense and the past
        ("0", 5.0),
        ("-3", 5.0),
        ("nan", 5.0),
        ("inf", 5.0),
        ("soon", 5.0),
        ("", 5.0),
        ("Tue, 14 Nov 2023 22:13:19 GMT", 5.0),
        ("Mon, 99 Foo 2023 22:14:20 GMT", 5.0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    assert asked(retry_after=value) == seconds


def test_milliseconds_go_first_unless_they_are_nonsense() -> None:
    assert asked(retry_after_ms="1500", retry_after="9") == 1.5
    assert asked(retry_after_ms="soon", retry_after="9") == 9.0
    assert asked(retry_after_ms="-1") == 5.0


def test_who_does_not_ask_gets_none() -> None:
    assert asked(content_type="text/plain") == 0.0


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_any_header_gives_a_time_within_bounds(value: bytes, milliseconds: bytes) -> None:
    headers = [(b"retry-after", value), (b"retry-after-ms", milliseconds)]
    assert 0 < retry_after(headers, at=AT, cool_downs=BOUNDS) <= BOUNDS.longest


def status(code: int, *, own: bool = False, **headers: str):
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return of_status(code, pairs, own_credential=own, at=AT, cool_downs=BOUNDS)


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529])
def test_what_may_be_different_elsewhere_is_tried_elsewhere(code: int) -> None:
    failure = status(code)
    assert failure is not None
    assert (failure.fails_over, failure.counts, failure.reason) == (True, True, str(code))


@pytest.mark.parametrize("code", [200, 204, 301, 304, 400, 401, 402, 403, 404, 408, 409, 413, 422])
def test_answers_and_the_clients_own_errors_are_passed_on(code: int) -> None:
    assert status(code) is None


@pytest.mark.parametrize("code", [401, 402, 403])
def test_a_credential_of_ours_that_is_refused_rests_for_long(code: int) -> None:
    failure = status(code, own=True, retry_after="1")
    assert failure is not None
    assert failure.fails_over
    assert failure.cool_down == CREDENTIAL_COOL_DOWN


def test_a_rate_limit_cools_down_and_an_error_only_where_it_asks() -> None:
    assert status(429).cool_down == 5.0
    assert status(429, retry_after="20").cool_down == 20.0
    assert status(503).cool_down == 0.0
    assert status(503, retry_after="20").cool_down == 20.0


@pytest.mark.parametrize(
    ("error", "reason", "unreachable"),
    [
        (ConnectFailed("x"), "connect", True),
        (ConnectTimeout("x"), "connect_timeout", True),
        (Dropped("x"), "dropped!", True),
        (BadAnswer("x"), "protocol!", False),
        (BrokenBody("x"), "broken!", False),
    ],
)
def test_no_answer_is_tried_elsewhere(error, reason, unreachable) -> None:
    failure = of_error(error, on_read_timeout=False, whole_time=True)
    assert (failure.reason, failure.unreachable) == (reason, unreachable)
    assert failure.fails_over
    assert failure.counts


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_silence_is_tried_elsewhere_only_where_that_is_wanted(wanted: bool, whole: bool) -> None:
    failure = of_error(ResponseTimeout("x"), on_read_timeout=wanted, whole_time=whole)
    # What a time limit of ours cut short is no failure of the upstream's.
    assert (failure.fails_over, failure.counts) == (wanted, whole)
    assert failure.reason == "timeout!"
