"""Rate limits: what any 60 seconds admit, alone and over several workers."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.boards import PER_SECOND, Board
from access.limiter import Limiter, Ticket
from access.limits import CONCURRENT, KEY, RATE_LIMIT, Exceeded, LimitIndex, LimitSpec

START = 1000.0


def spec(number=1, kind=KEY, **limits):
    return LimitSpec(kind, number, f"the key {number}", **limits)


def admitted(limiter, specs, now, *, count=1):
    """How many of so many requests at one moment are admitted, and ended at once."""
    found = 0
    for _ in range(count):
        ticket = limiter.admit(specs, now)
        if isinstance(ticket, Ticket):
            ticket.settle(0, sent=True)
            found += 1
    return found


def test_no_more_than_the_limit_and_again_after_a_minute(tmp_path):
    limiter, limit = Limiter(tmp_path), [spec(requests=10)]
    assert admitted(limiter, limit, START, count=25) == 10
    assert admitted(limiter, limit, START + 59.9, count=5) == 0
    assert admitted(limiter, limit, START + 60.6, count=25) == 10


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), max_size=25), st.integers(1, 60))
def test_any_60_seconds_admit_at_most_the_limit_and_at_least_nearly_so(tmp_path_factory, bursts, n):
    limiter, limit = Limiter(tmp_path_factory.mktemp("boards")), [spec(requests=n)]
    moments: list[float] = []
    now = START
    for pause, count in bursts:
        now += pause
        for _ in range(count):
            if admitted(limiter, limit, now):
                moments.append(now)
                assert sum(at > now - 60 for at in moments) <= n
            else:  # the window is half a second longer than a minute
                assert sum(at > now - 61 for at in moments) >= n


def test_retry_after_is_when_there_is_room(tmp_path):
    limiter, limit = Limiter(tmp_path), [spec(requests=2)]
    admitted(limiter, limit, START)
    admitted(limiter, limit, START + 10)
    refused = limiter.admit(limit, START + 20)
    assert isinstance(refused, Exceeded)
    assert refused.wait is not None
    assert refused.wait == pytest.approx(40.5)
    assert admitted(limiter, limit, START + 20 + refused.wait - 0.6) == 0
    assert admitted(limiter, limit, START + 20 + refused.wait) == 1


def test_a_refused_request_uses_nothing_up(tmp_path):
    limiter = Limiter(tmp_path)
    small, large = spec(1, requests=1), spec(2, requests=3)
    assert admitted(limiter, [large, small], START, count=50) == 1
    assert admitted(limiter, [large], START, count=50) == 2


def test_one_that_was_never_sent_uses_nothing_up(tmp_path):
    limiter, limit = Limiter(tmp_path), [spec(requests=2, tokens=100)]
    for _ in range(10):
        ticket = limiter.admit(limit, START)
        assert isinstance(ticket, Ticket)
        assert ticket.take_tokens(90, START) is None
        ticket.settle(0, sent=False)
    assert admitted(limiter, limit, START, count=5) == 2


def test_tokens_are_estimated_and_then_corrected(tmp_path):
    limiter, limit = Limiter(tmp_path), [spec(tokens=1000)]
    first = limiter.admit(limit, START)
    assert isinstance(first, Ticket)
    assert first.take_tokens(900, START) is None
    second = limiter.admit(limit, START + 1)
    assert isinstance(second, Ticket)
    refused = second.take_tokens(200, START + 1)
    assert isinstance(refused, Exceeded)
    assert (refused.what, refused.remaining) == ("tokens", 100)
    first.settle(50, sent=True)
    assert second.take_tokens(200, START + 30) is None
    # What was corrected counts where it was used, so nothing is left over after its minute.
    second.settle(950, sent=True)
    third = limiter.admit(limit, START + 61)
    assert isinstance(third, Ticket)
    assert third.take_tokens(51, START + 61) is not None
    assert third.take_tokens(50, START + 61) is None


def test_a_request_larger_than_its_limit_is_told_so(tmp_path):
    limiter, limit = Limiter(tmp_path), [spec(tokens=1000)]
    ticket = limiter.admit(limit, START)
    assert isinstance(ticket, Ticket)
    refused = ticket.take_tokens(1001, START)
    assert isinstance(refused, Exceeded)
    assert refused.hopeless
    assert "smaller than this request" in refused.message
    assert refused.headers("openai", 0.0) == [(b"x-should-retry", b"false")]


def test_requests_at_the_same_time(tmp_path):
    limiter, limit = Limiter(tmp_path), [spec(concurrent=2)]
    tickets = [limiter.admit(limit, START) for _ in range(3)]
    assert isinstance(tickets[2], Exceeded)
    assert tickets[2].what == CONCURRENT
    assert isinstance(tickets[0], Ticket)
    tickets[0].settle(0, sent=True)
    assert isinstance(limiter.admit(limit, START), Ticket)


def test_workers_count_for_each_other(tmp_path):
    one, two = Limiter(tmp_path), Limiter(tmp_path)
    limit = [spec(requests=1000, concurrent=3)]
    assert admitted(one, limit, START, count=600) == 600
    assert admitted(two, limit, START + 1, count=600) == 400
    assert admitted(one, limit, START + 1, count=5) == 0
    wide = [spec(2, concurrent=3)]
    held = [one.admit(wide, START), one.admit(wide, START), two.admit(wide, START)]
    assert all(isinstance(ticket, Ticket) for ticket in held)
    assert isinstance(two.admit(wide, START), Exceeded)


def test_a_worker_that_dies_gives_its_places_back_and_what_it_admitted_counts(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from access.limiter import Limiter;"
        "from access.limits import LimitSpec; s = [LimitSpec(1, 1, 'k', requests=5, concurrent=3)];"
        "l = Limiter(Path(sys.argv[1])); [l.admit(s, time.monotonic()) for _ in range(3)];"
        "print('ready', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    limiter, limit = Limiter(tmp_path), [spec(requests=5, concurrent=3)]
    refused = limiter.admit(limit, time.monotonic())
    assert isinstance(refused, Exceeded)
    assert refused.what == CONCURRENT
    child.kill()
    child.wait()
    limiter.check()
    assert admitted(limiter, limit, time.monotonic(), count=10) == 2
    # Whoever takes its board over goes on with it.
    del limiter
    assert admitted(Limiter(tmp_path), limit, time.monotonic(), count=10) == 0


def test_many_limits_and_their_end(tmp_path):
    one, two = Limiter(tmp_path), Limiter(tmp_path)
    limits = [[spec(number, requests=2)] for number in range(200)]
    for limit in limits:
        assert admitted(one, limit, START, count=1) == 1
    for limit in limits:
        assert admitted(two, limit, START, count=3) == 1
    assert one._boards is not None
    size = one._boards.own._fd
    before = len(one._boards.own.words)
    for number in range(200, 400):  # a minute later their places are free for others
        assert admitted(one, [spec(number, requests=1)], START + 70, count=2) == 1
        assert admitted(two, [spec(number, requests=1)], START + 70, count=2) == 0
    assert (one._boards.own._fd, len(one._boards.own.words)) == (size, before)


def test_a_directory_that_cannot_be_written_leaves_each_worker_its_own_limits(tmp_path, caplog):
    (tmp_path / "limits").write_text("a file")
    limiter, limit = Limiter(tmp_path / "limits"), [spec(requests=3)]
    assert admitted(limiter, limit, START, count=9) == 3
    assert "cannot be shared" in caplog.text
    for number in range(100):
        assert admitted(limiter, [spec(number + 5, requests=1)], START, count=2) == 1


def test_counts_from_before_a_reboot_are_nobodys(tmp_path):
    limiter, limit = Limiter(tmp_path), [spec(requests=3)]
    assert admitted(limiter, limit, START * 1000, count=9) == 3
    assert admitted(Limiter(tmp_path), limit, START, count=9) == 3


def test_which_limits_count():
    everybody, shop, own = spec(1, RATE_LIMIT), spec(2, RATE_LIMIT), spec(1)
    index = LimitIndex([everybody], [("shop", shop)])
    assert index.matching("shop", own) == (everybody, shop, own)
    assert index.matching("other", None) == (everybody,)
    assert LimitIndex().matching("shop", None) == ()
    assert len({everybody.tag, shop.tag, own.tag}) == 3
    assert not spec(1)
    assert spec(1, concurrent=1)


HAMMER = """
import json, sys, time
from pathlib import Path
from access.limiter import Limiter, Ticket
from access.limits import LimitSpec
limiter = Limiter(Path(sys.argv[1]))
limit = [LimitSpec(1, 1, "k", requests=int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.readline()
asked = admitted = 0
begin = time.monotonic()
while time.monotonic() < begin + 1.5:
    ticket = limiter.admit(limit, time.monotonic())
    asked += 1
    if isinstance(ticket, Ticket):
        admitted += 1
        ticket.settle(0, sent=True)
print(json.dumps([asked, admitted]))
"""


@pytest.mark.parametrize("limit", [100, 5000])
def test_four_processes_at_full_speed_admit_the_limit(tmp_path, limit):
    children = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, str(tmp_path), str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    found = [json.loads(child.communicate(timeout=60)[0]) for child in children]
    asked = sum(one for one, _ in found)
    total = sum(one for _, one in found)
    assert asked > 3 * limit
    assert limit <= total <= limit * 1.02 + 3  # each other worker may take the last place too


def test_a_private_board_grows():
    board = Board(-1)
    board.begin(int(START * PER_SECOND))
    entries = {board.own_entry(tag, 2000) for tag in range(500)}
    assert len(entries) == 500
