"""Which row of the sheet speaks for a model, and what the catalogue adds to it."""

from decimal import Decimal
from fractions import Fraction

import pytest

from usage.pricesheet import PriceSheet, SheetRow, price_list
from usage.pricing import PriceList

DAY = 86_400.0


def row(pattern, input_price="1", output="2", **options):
    return SheetRow(pattern, Decimal(input_price), Decimal(output), **options)


def speaks(rows, model, at=DAY):
    found = PriceSheet(rows).find(model, at)
    return None if found is None else found.pattern


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-6",
        "claude-opus-4.6",
        "Claude-Opus-4-6",
        "claude-opus-4-6-20260205",
        "claude-opus-4-6-2026-02-05",
        "claude-opus-4-6@20260205",
        "claude-opus-4-6-latest",
        "anthropic/claude-opus-4.6",
        "publishers/anthropic/models/claude-opus-4-6@20260205",
        "us.anthropic.claude-opus-4-6-20260205-v1:0",
        "global.anthropic.claude-opus-4-6-v1",
    ],
)
def test_a_pattern_matches_every_way_of_writing_the_name(model):
    assert speaks([row("claude-opus-4-6")], model) == "claude-opus-4-6"
    assert speaks([row("claude-opus-4.6")], model) == "claude-opus-4.6"


@pytest.mark.parametrize(
    "model",
    ["claude-opus-4-60", "claude-opus-4", "claude-opus-4-6-fast", "ft:claude-opus-4-6", "opus-4-6"],
)
def test_a_pattern_does_not_match_another_model(model):
    assert speaks([row("claude-opus-4-6")], model) is None


def test_glm_and_its_flash_keep_their_rows_apart():
    both = [row("glm-4.7"), row("glm-4.7-flash")]
    assert speaks(both, "glm-4.7") == "glm-4.7"
    assert speaks(both, "z-ai/glm-4.7-20251222") == "glm-4.7"
    assert speaks(both, "GLM-4.7-Flash") == "glm-4.7-flash"
    assert speaks(both[:1], "glm-4.7-flash") is None
    assert speaks(both[1:], "glm-4.7") is None


def test_a_pattern_with_a_prefix_matches_only_names_with_it():
    assert speaks([row("openai/gpt-4o")], "openai/gpt-4o") == "openai/gpt-4o"
    assert speaks([row("openai/gpt-4o")], "gpt-4o") is None


def test_a_dated_row_goes_before_the_name_and_a_name_before_a_wildcard():
    rows = [row("*"), row("gpt-4o*"), row("gpt-4o"), row("gpt-4o-2024-05-13")]
    assert speaks(rows, "gpt-4o-2024-05-13") == "gpt-4o-2024-05-13"
    assert speaks(rows, "gpt-4o-2024-08-06") == "gpt-4o"
    assert speaks(rows, "gpt-4o-mini") == "gpt-4o*"
    assert speaks(rows, "anything") == "*"


def test_the_newest_row_that_has_begun_speaks():
    rows = [row("m", 1), row("m", 3, valid_from=3 * DAY), row("m", 2, valid_from=2 * DAY)]
    sheet = PriceSheet(rows)
    prices = [getattr(sheet.find("m", at), "input", None) for at in (DAY, 2 * DAY, 9 * DAY)]
    assert prices == [1, 2, 3]


def test_a_row_ends_when_it_is_retired_and_older_rows_do_not_come_back():
    rows = [row("m"), row("m", 2, valid_from=2 * DAY, retired_at=3 * DAY)]
    assert speaks(rows, "m", 3 * DAY - 1) == "m"
    assert speaks(rows, "m", 3 * DAY) is None


def test_a_retired_row_leaves_the_model_to_the_next_pattern():
    rows = [row("gpt-*"), row("gpt-4o", retired_at=DAY)]
    assert speaks(rows, "gpt-4o", DAY) == "gpt-*"


def test_a_row_that_has_not_begun_is_silent():
    assert speaks([row("m", valid_from=2 * DAY)], "m", DAY) is None


def test_the_window_ends_where_a_matching_row_begins_or_ends():
    sheet = PriceSheet(
        [
            row("m", valid_from=DAY, retired_at=9 * DAY),
            row("m*", valid_from=5 * DAY),
            row("other", valid_from=4 * DAY),
        ]
    )
    assert sheet.window("m", 4.5 * DAY) == (DAY, 5 * DAY)
    assert sheet.window("m", 8 * DAY) == (5 * DAY, 9 * DAY)
    assert sheet.window("unknown", 1.0) == (float("-inf"), float("inf"))


def prices(**published):
    return {unit: Fraction(value) for unit, value in published.items()}


CATALOGUE = PriceList(
    base=prices(input=5, output=25, cache_read="0.5", cache_write="6.25", web_search=10),
    long=(
        (200_000, prices(input=10, output="37.5", cache_read=1, cache_write="12.5", web_search=10)),
    ),
)


def test_blank_cache_prices_stand_to_input_as_in_the_catalogue():
    own = price_list(row("m", 15, 75), CATALOGUE)
    assert own.base["cache_read"] == Fraction("1.5")
    assert own.base["cache_write"] == Fraction("18.75")
    assert "cache_write_1h" not in own.base  # not in the catalogue either: falls back


def test_a_filled_cache_price_is_kept():
    own = price_list(row("m", 15, 75, cache_read=Decimal(4)), CATALOGUE)
    assert own.base["cache_read"] == 4
    assert own.long[0][1]["cache_read"] == 8


def test_long_context_rates_are_in_the_catalogues_proportion():
    start, long = price_list(row("m", 15, 75), CATALOGUE).long[0]
    assert start == 200_000
    assert (long["input"], long["output"]) == (30, Fraction("112.5"))
    assert (long["cache_read"], long["cache_write"]) == (3, Fraction("37.5"))


def test_proportions_that_are_no_decimal_number_are_exact():
    catalogue = PriceList(base=prices(input=3, output=7), long=((10, prices(input=5, output=9)),))
    long = price_list(row("m", "0.1", "0.1"), catalogue).long[0][1]
    assert (long["input"], long["output"]) == (Fraction(1, 6), Fraction(9, 70))


def test_a_service_tier_scales_the_row():
    half = PriceList(base=prices(input="2.5", output="12.5", cache_read="0.25"))
    own = price_list(row("m", 15, 75), CATALOGUE, half)
    assert own.base["input"] == Fraction("7.5")
    assert own.base["output"] == Fraction("37.5")
    assert own.base["cache_read"] == Fraction("0.75")


def test_units_without_a_column_keep_the_catalogues_price():
    assert price_list(row("m", 15, 75), CATALOGUE).base["web_search"] == 10


def test_a_cache_price_that_the_catalogue_lacks_scales_with_input():
    catalogue = PriceList(base=prices(input=2, output=4), long=((10, prices(input=4, output=4)),))
    own = price_list(row("m", 1, 1, cache_read=Decimal("0.5")), catalogue)
    assert own.base["cache_read"] == Fraction("0.5")
    assert own.long[0][1]["cache_read"] == 1


@pytest.mark.parametrize("catalogue", [None, PriceList(base=prices(input=0, output=0))])
def test_without_a_price_in_the_catalogue_the_row_is_flat(catalogue):
    assert price_list(row("m", 15, 75), catalogue) == PriceList(prices(input=15, output=75))
