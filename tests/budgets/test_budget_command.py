"""`budget set|status|remove|kill|revive`."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from budgets.models import Budget
from tokenwatch import policy
from tokenwatch.commands import Error

pytestmark = pytest.mark.django_db


def run(*args):
    out = StringIO()
    call_command("budget", *args, stdout=out)
    return out.getvalue()


def as_json(*args):
    return json.loads(run(*args, "--json"))


def test_a_budget_from_the_command_line():
    said = run("set", "--limit", "50", "--period", "daily", "--app", "checkout")
    assert said == "Set budget 1: app:checkout, $50.00 daily, block at the limit.\n".replace(
        "1", str(Budget.objects.get().pk)
    )
    made = Budget.objects.get()
    assert (made.scope, made.pattern, made.unit) == ("app", "checkout", "usd")
    assert (made.threshold, made.time_zone, made.active, made.killed) == (80, "UTC", True, False)


def test_all_options():
    args = ["set", "--tokens", "1,000,000", "--tag", "search-*", "--action", "webhook"]
    args += ["--webhook-url", "https://hooks.example/x", "--threshold", "90"]
    (shown,) = as_json(*args, "--time-zone", "Europe/Berlin", "--name", "search")
    made = Budget.objects.get()
    assert (made.action, made.webhook_url) == ("notify", "https://hooks.example/x")
    assert shown["limit"] == 1_000_000
    assert (shown["unit"], shown["scope"], shown["pattern"]) == ("tokens", "tag", "search-*")
    assert (shown["period"], shown["time_zone"], shown["threshold"]) == (
        "monthly",
        "Europe/Berlin",
        90,
    )


def test_setting_it_again_changes_it():
    run("set", "--limit", "50", "--app", "a")
    before = policy.current()
    assert run("set", "--limit", "60", "--app", "a").startswith("Changed budget")
    assert Budget.objects.get().limit == 60
    assert policy.current() > before
    run("set", "--limit", "5", "--app", "a", "--period", "daily")
    run("set", "--tokens", "5", "--app", "a")
    assert Budget.objects.count() == 3
    run("set", "--name", "app a, monthly", "--action", "warn")
    assert Budget.objects.get(name="app a, monthly").action == "warn"


def test_status_of_none_and_of_some():
    assert "No budgets" in run("status")
    assert as_json("status") == []
    run("set", "--limit", "50")
    said = run("status")
    assert "global" in said
    assert "$50.00" in said
    (shown,) = as_json("status")
    assert (shown["spent"], shown["limit"], shown["state"]) == (
        "0.0000000000",
        "50.0000000000",
        "ok",
    )
    assert shown["resets_at"].endswith("-01T00:00:00Z")


def test_kill_and_revive_and_remove():
    (made,) = as_json("set", "--limit", "50")
    before = policy.current()
    assert run("kill", "--id", str(made["id"])).startswith("Blocked: global")
    assert as_json("status")[0]["state"] == "killed"
    assert as_json("revive", "--id", str(made["id"]))[0]["state"] == "ok"
    assert as_json("remove", "--id", str(made["id"])) == {"removed": made["id"]}
    assert policy.current() >= before + 3
    assert not Budget.objects.exists()


def test_to_kill_one_that_is_switched_off_switches_it_on():
    (made,) = as_json("set", "--limit", "50")
    Budget.objects.update(active=False)
    assert as_json("kill", "--id", str(made["id"]))[0]["state"] == "killed"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("set",), "give a limit"),
        (("set", "--limit", "x"), "'x' is no amount"),
        (("set", "--limit", "nan"), "'nan' is no amount"),
        (("set", "--limit", "0"), "limit: The limit must be above 0"),
        (("set", "--limit", "1e12"), "limit: "),
        (("set", "--tokens", "1.5"), "limit: Tokens are counted whole"),
        (("set", "--limit", "1", "--app", ""), "scope: Name the app"),
        (("set", "--limit", "1", "--app", "a", "--tag", "b"), "not allowed with"),
        (("set", "--limit", "1", "--tokens", "5"), "not allowed with"),
        (("set", "--limit", "1", "--period", "yearly"), "invalid choice"),
        (("set", "--limit", "1", "--time-zone", "Mars"), "time-zone: There is no time zone"),
        (("set", "--limit", "1", "--threshold", "200"), "threshold: "),
        (("set", "--limit", "1", "--action", "notify"), "webhook-url: "),
        (("set", "--limit", "1", "--webhook-url", "ftp://x"), "webhook-url: "),
        (("remove", "--id", "7"), "there is no budget with the id 7"),
        (("kill", "--id", "99999999999999999999"), "there is no budget"),
        (("kill",), "--id"),
        ((), "set|status"),
    ],
)
def test_bad_input_is_one_clear_line(args, said):
    with pytest.raises(Error, match=r".") as caught:
        run(*args)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Budget.objects.exists()
