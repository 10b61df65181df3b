"""`ab create|list|report|pause|resume|complete`."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from experiments.models import ABTest
from experiments.store import load_tests
from tests.experiments.rows import row, sessions, store
from tokenwatch import policy
from tokenwatch.commands import Error

pytestmark = pytest.mark.django_db
MODELS = ("--model-a", "gpt-4o", "--model-b", "gpt-4o-mini")


def run(*args):
    out = StringIO()
    call_command("ab", *args, stdout=out)
    return out.getvalue()


def as_json(*args):
    return json.loads(run(*args, "--json"))


def test_a_test_from_the_command_line_reaches_the_workers():
    before = policy.current()
    said = run("create", "cheaper", *MODELS, "--model", "gpt-4o", "--split", "0.3")
    assert said == "Created cheaper: 30% gpt-4o, 70% gpt-4o-mini, of model gpt-4o.\n"
    assert policy.current() > before
    (spec,) = load_tests().specs
    assert (spec.name, spec.model_a, spec.model_b, spec.share) == (
        "cheaper",
        "gpt-4o",
        "gpt-4o-mini",
        0.3,
    )
    assert spec.scope == ("", "", "", "gpt-4o")
    assert len(spec.salt) == 16


@pytest.mark.parametrize(
    ("written", "share"),
    [("50", 0.5), ("0.5", 0.5), ("12.5%", 0.125), ("1", 0.01), ("0.5%", 0.005)],
)
def test_shares_as_people_write_them(written, share):
    made = as_json("create", "x", *MODELS, "--split", written, "--app", "crm", "--tag", "t")
    assert made["share_a"] == share
    assert made["scope"] == {"api_type": None, "app": "crm", "tag": "t", "model": None}


def test_a_wide_test_and_one_that_gets_nothing_are_pointed_out():
    said = run("create", "first", *MODELS)
    assert "Note: Requests of both APIs for any model take part" in said
    said = run("create", "second", *MODELS, "--api-type", "openai")
    assert "Note: first is older and takes every request of second." in said
    run("pause", "first")
    assert "is older" not in run("create", "third", *MODELS, "--api-type", "anthropic")


def test_list():
    assert "No A/B tests" in run("list")
    assert as_json("list") == []
    run("create", "x", *MODELS, "--app", "crm")
    store(row("A", test="x"), row("A", test="x"), row("B", test="x"))
    (shown,) = as_json("list")
    assert (shown["name"], shown["status"]) == ("x", "active")
    assert shown["requests"] == {"A": 2, "B": 1}
    assert shown["created_at"].endswith("Z")
    assert "app crm" in run("list")


def test_pause_resume_complete():
    run("create", "x", *MODELS, "--app", "crm")
    before = policy.current()
    assert run("pause", "x") == "Paused x.\n"
    assert [one.status for one in load_tests().specs] == ["paused"]
    assert as_json("resume", "x")["status"] == "active"
    assert as_json("complete", "x")["completed_at"].endswith("Z")
    assert load_tests().specs == ()
    assert policy.current() == before + 3
    with pytest.raises(Error, match="completed, which is final"):
        run("resume", "x")
    with pytest.raises(Error, match="completed already"):
        run("complete", "x")


def test_report():
    run("create", "t", *MODELS, "--app", "crm")
    assert "No request was counted yet." in run("report", "t")
    store(*sessions(150, "A"), *sessions(150, "B", latency=250))
    said = run("report", "t")
    assert "t (active), 2026-11-23 12:00 to 2026-11-23 12:04 UTC" in said
    assert "gpt-4o-mini" in said
    assert "B better" in said
    assert "B is better: latency p50" in said
    made = as_json("report", "t")
    assert made["verdict"]["winner"] == "B"
    assert len(made["metrics"]) == 7


def test_the_report_of_a_completed_test_stays():
    run("create", "t", *MODELS, "--app", "crm")
    store(*sessions(10, "A"), *sessions(10, "B"))
    run("complete", "t")
    assert "Too early to tell: A has 10 sessions, B has 10 sessions" in run("report", "t")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "create|list"),
        (("create", "x"), "--model-a"),
        (("create", "x", "--model-a", "m", "--model-b", "m"), "model-b: Both variants"),
        (("create", "x", *MODELS, "--split", "0"), "split: Both variants need a share"),
        (("create", "x", *MODELS, "--split", "100"), "split: Both variants need a share"),
        (("create", "x", *MODELS, "--split", "-5"), "split: Both variants need a share"),
        (("create", "x", *MODELS, "--split", "half"), "split: 'half' is no share"),
        (("create", "x", *MODELS, "--split", "33.33333"), "split: "),
        (("create", "", *MODELS), "name: "),
        (("create", "x" * 101, *MODELS), "name: "),
        (("create", "a\nb", *MODELS), "name: It holds control characters"),
        (("create", "x", *MODELS, "--app", "  "), "app: These are only spaces"),
        (("create", "x", *MODELS, "--api-type", "soap"), "invalid choice"),
        (("report", "nothing"), "there is no A/B test named 'nothing'"),
        (("pause",), "name"),
    ],
)
def test_bad_input_is_one_clear_line(args, said):
    with pytest.raises(Error, match=r".") as caught:
        run(*args)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not ABTest.objects.exists()


def test_names_are_used_once():
    run("create", "x", *MODELS)
    with pytest.raises(Error, match="already exists"):
        run("create", "x", *MODELS)
    store(row(test="gone"))
    with pytest.raises(Error, match="Requests of an earlier test bear this name"):
        run("create", "gone", *MODELS)
