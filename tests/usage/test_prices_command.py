"""`manage.py prices` as a person at a terminal meets it."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from usage.models import ModelPrice

pytestmark = pytest.mark.django_db


def run(*arguments):
    out = StringIO()
    call_command("prices", *arguments, stdout=out)
    return out.getvalue()


def lines(output):
    return [" ".join(line.split()) for line in output.splitlines()]


def test_the_sheet_is_listed_beside_the_catalogue():
    output = lines(run())
    assert "claude-opus-4-6 15 75 – – – 1970-01-01 in force 5 / 25 differs" in output
    assert "glm-4.7-flash 0.06 0.06 – – – 1970-01-01 in force – not in the catalogue" in output


def test_an_empty_sheet_says_so():
    ModelPrice.objects.all().delete()
    assert "empty" in run()


def test_the_sheet_as_json_keeps_exact_prices():
    rows = {row["pattern"]: row for row in json.loads(run("--json"))}
    haiku = rows["claude-haiku-4-5"]
    assert haiku["input_per_mtok"] == "0.800000"
    assert haiku["cache_read_per_mtok"] is None
    assert haiku["catalogue"] == "anthropic/claude-haiku-4-5"
    assert haiku["catalogue_prices"]["output"] == "5"
    assert haiku["compared"] == "differs"
    assert rows["glm-4.7-flash"]["catalogue"] is None


def test_a_models_cost_is_told_line_by_line_with_its_source():
    output = lines(
        run("claude-opus-4-6-20260205", "--input", "1000", "--output=500", "--cache-write-1h=100")
    )
    assert output[0] == (
        "claude-opus-4-6-20260205: the price sheet's claude-opus-4-6, "
        "over the catalogue's anthropic/claude-opus-4-6"
    )
    assert "input 1,000 15 1M tokens 0.0150000000" in output
    assert "cache write 1h 100 30 1M tokens 0.0030000000" in output
    assert "output 500 75 1M tokens 0.0375000000" in output
    assert "total 0.0555000000" in output


def test_a_long_prompt_is_said_to_be_one():
    output = run("claude-sonnet-4-5", "--input", "200_001")
    assert "over 200,000 tokens" in output
    assert "over 200,000 tokens" not in run("claude-sonnet-4-5", "--input", "200_000")


def test_a_cost_as_json():
    told = json.loads(run("gpt-5", "--input", "1000", "--service-tier", "priority", "--json"))
    assert told["cost"] == "0.0025000000"
    assert told["source"] == "catalogue"
    assert told["catalogue"] == "openai/gpt-5"
    assert told["lines"] == [
        {
            "unit": "input",
            "quantity": 1000,
            "rate": "2.5",
            "per": "1M tokens",
            "amount": "0.0025000000",
        }
    ]


def test_the_price_is_that_of_the_time_asked_for():
    before = json.loads(run("gpt-5.6-sol", "--at", "2026-08-20T23:59:59Z", "--json"))
    after = json.loads(run("gpt-5.6-sol", "--at", "2026-08-21", "--json"))
    assert (before["cost"], after["cost"]) == ("0.0350000000", "0.0240000000")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody-knows"], "nobody-knows: neither the price sheet nor the catalogue"),
        (["gpt-4o", "--service-tier", "scale"], "no price for service tier scale"),
        (["text-embedding-3-small", "--output", "5"], "part of the usage"),
        (["gpt-4o", "--input", "-5"], "whole number of tokens"),
        (["gpt-4o", "--at", "yesterday"], "ISO 8601"),
        (["gpt-4o", "--api-type", "cohere"], "cohere"),
    ],
)
def test_what_cannot_be_priced_ends_with_one_clear_line(arguments, message):
    with pytest.raises(CommandError, match=message) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)
    assert caught.value.returncode == 1
