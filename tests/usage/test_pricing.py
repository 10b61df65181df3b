"""Arithmetic of prices, on plain values."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwatch.tokens import TokenUsage
from usage import pricing
from usage.pricing import UNITS, PriceList, breakdown, price, resolve_rates

FLAT = {"input": Fraction(3), "output": Fraction(15)}


def rates(*long, minimum=0, **prices):
    base = {unit: Fraction(value) for unit, value in prices.items()}
    return resolve_rates(PriceList(base, long, minimum))


def test_tokens_are_billed_by_the_million():
    assert price(TokenUsage(input=1_000_000, output=100_000), rates(**FLAT)) == Decimal("4.5")


def test_a_cost_has_ten_decimal_places_and_is_written_without_an_exponent():
    cost = price(TokenUsage(input=1), rates(input="0.02"))
    assert cost is not None
    assert f"{cost:f}" == "0.0000000200"
    assert cost.as_tuple().exponent == -10


@pytest.mark.parametrize(
    ("tokens", "expected"),
    # A price of 0.00005 for a million is half of the last place for one token.
    [(1, "0.0000000000"), (3, "0.0000000002"), (5, "0.0000000002"), (7, "0.0000000004")],
)
def test_halves_are_rounded_to_even(tokens, expected):
    assert price(TokenUsage(input=tokens), rates(input="0.00005")) == Decimal(expected)


def test_nothing_used_costs_nothing():
    assert price(TokenUsage(), rates(**FLAT)) == 0


@pytest.mark.parametrize(
    "usage",
    [
        TokenUsage(input=10, web_searches=1),
        TokenUsage(input=10, file_searches=1),
        TokenUsage(audio_seconds=1.5),
        TokenUsage(characters=5),
    ],
)
def test_an_unknown_rate_makes_the_cost_unknown_not_zero(usage):
    assert price(usage, rates(**FLAT)) is None
    assert breakdown(usage, rates(**FLAT)) is None


def test_output_of_a_model_that_prices_only_input_is_unknown():
    embedding = rates(input="0.02")
    assert price(TokenUsage(input=8), embedding) == Decimal("0.00000016")
    assert price(TokenUsage(input=8, output=1), embedding) is None


@pytest.mark.parametrize("part", ["cache_read", "cache_write", "cache_write_1h"])
def test_caches_without_a_price_cost_what_input_costs(part):
    assert price(TokenUsage(**{part: 1_000_000}), rates(**FLAT)) == 3


def test_a_one_hour_write_without_a_price_costs_what_a_cache_write_costs():
    assert price(TokenUsage(cache_write_1h=1_000_000), rates(**FLAT, cache_write="3.75")) == (
        Decimal("3.75")
    )


def test_audio_and_images_are_part_of_their_counter_and_billed_once():
    usage = TokenUsage(input=1_000, input_audio=300, input_image=200, output=100, output_audio=40)
    prices = rates(input=1, input_audio=10, input_image=100, output=2, output_audio=20)
    assert price(usage, prices) == Decimal(500 + 3_000 + 20_000 + 120 + 800) / 1_000_000


def test_audio_without_a_price_costs_what_text_costs():
    assert price(TokenUsage(input=1_000, input_audio=300), rates(**FLAT)) == Decimal("0.003")


def test_reasoning_is_output_unless_it_is_priced_apart():
    usage = TokenUsage(output=1_000, reasoning=400)
    assert price(usage, rates(**FLAT)) == Decimal("0.015")
    assert price(usage, rates(**FLAT, reasoning=5)) == Decimal("0.011")


def test_parts_larger_than_their_whole_are_cut():
    usage = TokenUsage(input=100, input_audio=500)
    assert price(usage, rates(input=1, input_audio=10)) == Decimal("0.001")


@pytest.mark.parametrize(("prompt", "rate"), [(200_000, 3), (200_001, 6), (500_001, 9)])
def test_a_threshold_counts_caches_and_changes_the_rate_of_every_token(prompt, rate):
    prices = rates(
        (200_000, {"input": Fraction(6), "output": Fraction(30)}),
        (500_000, {"input": Fraction(9), "output": Fraction(45)}),
        **FLAT,
    )
    usage = TokenUsage(input=prompt - 150_000, cache_read=100_000, cache_write=50_000, output=10)
    assert price(usage, prices) == Decimal(prompt * rate + 10 * rate * 5) / 1_000_000


def test_short_audio_is_billed_at_the_minimum():
    prices = rates(audio_second="0.36", minimum=10)
    assert price(TokenUsage(audio_seconds=3.2), prices) == Decimal("0.001")
    assert price(TokenUsage(audio_seconds=60.5), prices) == Decimal("0.00605")
    assert price(TokenUsage(audio_seconds=0), prices) == 0


def test_a_fee_for_the_call_itself_is_added_once():
    assert price(TokenUsage(input=1_000_000), rates(**FLAT, request=12)) == Decimal("3.012")


def test_a_bill_leaves_out_what_was_not_used():
    lines = breakdown(TokenUsage(input=10, web_searches=2), rates(**FLAT, web_search=10))
    assert lines is not None
    assert [(line.unit, line.quantity, line.per) for line in lines] == [
        ("input", 10, "1M tokens"),
        ("web_search", 2, "1K searches"),
    ]


counts = st.integers(0, 3_000_000)
usages = st.builds(
    TokenUsage,
    input=counts,
    cache_read=counts,
    cache_write=counts,
    cache_write_1h=counts,
    output=counts,
    reasoning=counts,
    input_audio=counts,
    cache_read_audio=counts,
    output_audio=counts,
    input_image=counts,
    cache_read_image=counts,
    output_image=counts,
    web_searches=st.integers(0, 50),
    file_searches=st.integers(0, 50),
    audio_seconds=st.floats(0, 1e5, allow_subnormal=False),
    characters=counts,
)
amounts = st.fractions(0, 200, max_denominator=10_000)
price_lists = st.builds(
    PriceList,
    base=st.fixed_dictionaries(dict.fromkeys(UNITS, amounts)),
    long=st.just(())
    | st.tuples(st.tuples(counts, st.dictionaries(st.sampled_from([*UNITS]), amounts))),
    min_audio_seconds=st.sampled_from([0, 10]),
)


@given(usages, price_lists)
def test_the_lines_of_a_bill_add_up_to_the_cost(usage, prices):
    resolved = resolve_rates(prices)
    cost, lines = price(usage, resolved), breakdown(usage, resolved)
    if cost is None:
        assert lines is None
        return
    assert lines is not None
    assert sum((line.amount for line in lines), Decimal(0)) == cost
    assert all(line.amount >= 0 for line in lines)


@given(usages, st.fixed_dictionaries(dict.fromkeys(("input", "output"), amounts)))
def test_one_rate_for_all_input_and_one_for_all_output_bills_every_token_once(usage, prices):
    free = dict.fromkeys(("web_search", "file_search", "audio_second", "character"), Fraction(0))
    cost = price(usage, resolve_rates(PriceList({**prices, **free})))
    exact = usage.prompt_total * prices["input"] + usage.output * prices["output"]
    assert cost is not None
    assert abs(Fraction(cost) - exact / 1_000_000) <= Fraction(1, 2 * 10**10)


@given(
    st.builds(
        TokenUsage,
        **{
            name: st.integers(0, 10**6)
            for name in ("input", "cache_read", "cache_write", "cache_write_1h", "output")
        },
        web_searches=st.integers(0, 3),
        file_searches=st.integers(0, 3),
        characters=st.integers(0, 9),
    )
)
def test_the_short_way_to_the_quantities_agrees_with_the_general_one(usage):
    prices = resolve_rates(PriceList({"input": Fraction(1)}))
    assert pricing._text_only(usage) == pricing.quantities(usage, prices)
