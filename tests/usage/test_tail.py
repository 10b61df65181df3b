"""`tail`: the newest requests in a stable form, then new ones, and nothing that steers a
terminal."""

import json
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.usage.samples import NOON, usage_row
from usage.models import UsageRecord
from usage.tailing import LOOKBACK, Follower
from usage.writer import insert

pytestmark = pytest.mark.django_db

KEYS = [
    "request_id",
    "created_at",
    "api_type",
    "endpoint",
    "model_requested",
    "model_used",
    "upstream",
    "status_code",
    "error_type",
    "stream",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "usage_estimated",
    "cost",
    "latency_ms",
    "ttft_ms",
    "source_app",
    "session_id",
    "feature_tag",
    "cache_tier",
    "attempts",
]


def tail(*args):
    out = StringIO()
    call_command("tail", *args, stdout=out)
    return out.getvalue()


def store(count, **values):
    rows = [usage_row(created_at=NOON + position, **values) for position in range(count)]
    insert(rows, check=False)
    return [row.request_id for row in rows]


def test_json_has_exactly_the_documented_keys_in_their_order():
    insert([usage_row(created_at=NOON + 0.5, stream=True, ttft_ms=40)], check=False)
    (line,) = tail("--once", "--json").splitlines()
    found = json.loads(line)
    assert list(found)[: len(KEYS)] == KEYS
    assert found["created_at"] == "2026-11-23T12:00:00.500000Z"
    assert found["cost"] == "0.0000270000"
    assert (found["stream"], found["ttft_ms"], found["usage_estimated"]) == (True, 40, False)


def test_an_unknown_cost_is_null_in_json_and_unknown_in_the_table():
    store(1, cost=None)
    assert json.loads(tail("--once", "--json"))["cost"] is None
    assert "unknown" in tail("--once")


def test_the_newest_come_first():
    ids = store(5)
    printed = [json.loads(line)["request_id"] for line in tail("--once", "--json").splitlines()]
    assert printed == ids[::-1]


def test_twenty_by_default_and_as_many_as_asked_for():
    store(25)
    assert len(tail("--once", "--json").splitlines()) == 20
    assert len(tail("--once", "--json", "-n", "3").splitlines()) == 3
    assert tail("--once", "--json", "-n", "0") == ""


@pytest.mark.parametrize("wrong", ["-1", "x", "100001", "1.5"])
def test_a_bad_number_is_refused(wrong):
    with pytest.raises(CommandError, match="whole number"):
        tail("--once", f"-n={wrong}")


def test_what_a_client_sent_cannot_steer_the_terminal(live):
    nasty = "[bold]\x1b]0;title\x07\x9b31m\r\n"
    store(1, source_app=nasty, feature_tag=nasty, model_used=nasty, error_type=nasty)
    for printed in (tail("--once"), tail("--once", "--json"), tail(), tail("--json")):
        assert not set(printed) & set("\x1b\x07\x9b\r")
        assert "[bold]" in printed
    assert len(tail("--once").splitlines()) == 2


@pytest.fixture
def live(monkeypatch):
    """Run a live tail through the given steps, one a poll; then it is interrupted."""
    steps: list[Callable[[], object]] = []

    def sleep(seconds):
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr("usage.management.commands.tail.time.sleep", sleep)
    return steps


def test_a_live_tail_prints_what_comes(live):
    first = store(2)
    later = usage_row()
    live += [lambda: insert([later], check=False), lambda: None]
    printed = [json.loads(line)["request_id"] for line in tail("--json").splitlines()]
    assert printed == [*first[::-1], later.request_id]


def test_the_live_view_is_aligned_and_has_the_newest_last(live):
    store(1, source_app="first")
    live += [lambda: store(1, source_app="a name that is too long for its column")]
    header, first, second = tail().splitlines()
    assert header.index("Model") == first.index("gpt-4o") == second.index("gpt-4o")
    assert "first" in first
    assert "a name that i…" in second


def test_a_row_that_commits_late_is_not_missed():
    store(3)
    follower = Follower()
    store(2)
    late = UsageRecord.objects.order_by("-id")[1]  # has the lower id, is not visible yet
    UsageRecord.objects.filter(id=late.id).delete()
    assert len(follower.look()) == 1
    late.save(force_insert=True)
    assert [record.request_id for record in follower.look()] == [late.request_id]
    assert follower.look() == []


def test_a_follower_remembers_no_more_than_it_looks_back():
    follower = Follower()
    for _ in range(6):
        insert([usage_row() for _ in range(500)], check=False)
        assert len(follower.look()) == 500
    assert len(follower._seen) <= LOOKBACK


def test_an_empty_ledger_says_so():
    assert tail("--once") == "No requests yet.\n"
    assert tail("--once", "--json") == ""
