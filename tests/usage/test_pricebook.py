"""The sheet over the catalogue, as the hot path asks it."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tokenwatch.tokens import TokenUsage
from usage import catalogue, pricebook
from usage.models import ModelPrice
from usage.pricebook import PriceBook, load_price_book
from usage.pricesheet import SheetRow

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
MILLION = TokenUsage(input=1_000_000)
THOUSAND = TokenUsage(input=1_000)


def cost(book, model, usage=THOUSAND, at=NOW, **asked):
    return book.cost(model, usage, api_type="openai", base_url="", at=at, **asked)


def row(pattern, input_price, **options):
    return SheetRow(pattern, Decimal(input_price), Decimal(input_price), **options)


def test_the_sheet_goes_before_the_catalogue():
    assert cost(PriceBook(), "gpt-4o") == Decimal("0.0025")
    assert cost(PriceBook([row("gpt-4o", 7)]), "gpt-4o") == Decimal("0.007")


def test_a_model_that_neither_knows_has_no_cost():
    book = PriceBook([row("gpt-4o", 7)])
    assert cost(book, "nobody") is None
    assert cost(book, "") is None
    resolved = book.rates("nobody", at=NOW)
    assert resolved.source == ""
    assert "neither" in resolved.unknown


def test_a_row_is_scaled_by_the_tier_and_unknown_where_the_tier_is():
    book = PriceBook([row("gpt-5", 10)])
    assert cost(book, "gpt-5", service_tier="priority") == Decimal("0.02")
    assert cost(book, "gpt-5", batch=True) == Decimal("0.005")
    assert cost(book, "gpt-5", service_tier="scale") is None
    assert "scale" in book.rates("gpt-5", at=NOW, service_tier="scale").unknown


def test_a_row_for_a_model_of_ones_own_holds_in_every_tier():
    book = PriceBook([row("my-model", 10)])
    assert cost(book, "my-model", service_tier="priority") == Decimal("0.01")


def test_a_price_change_takes_effect_at_its_second_and_not_before():
    book = PriceBook([row("m", 1), row("m", 2, valid_from=NOW, retired_at=NOW + 60)])
    costs = [cost(book, "m", MILLION, at) for at in (NOW - 0.001, NOW, NOW + 59.9, NOW + 60)]
    assert costs == [1, 2, 2, None]
    # A request that arrived before the change and ends after it keeps its price.
    assert cost(book, "m", MILLION, NOW - 1) == 1


def test_prices_by_the_time_of_day_follow_the_clock():
    book = PriceBook()
    day, night = (datetime(2026, 11, 23, h, tzinfo=UTC).timestamp() for h in (12, 20))
    dear, cheap = (cost(book, "deepseek-chat", MILLION, at) for at in (day, night))
    assert (dear, cheap) == (Decimal("0.27"), Decimal("0.135"))
    assert cost(book, "deepseek-chat", MILLION, day) == dear


def test_names_that_clients_make_up_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(pricebook, "REMEMBERED", 10)
    book = PriceBook()
    for number in range(200):
        cost(book, f"nobody-{number}")
        cost(book, "gpt-4o")
    assert len(book._young) + len(book._old) <= 20
    assert any(key[0] == "gpt-4o" for key in {**book._young, **book._old})
    cost(book, "x" * 1_000)
    assert not any(len(key[0]) > 256 for key in {**book._young, **book._old})


def test_a_known_model_is_not_looked_up_again(monkeypatch):
    book = PriceBook()
    first = cost(book, "gpt-4o")
    monkeypatch.setattr(catalogue, "find", lambda *args: pytest.fail("looked up"))
    assert cost(book, "gpt-4o") == first


def test_an_explanation_adds_up_and_names_its_sources():
    usage = TokenUsage(input=150_000, cache_read=60_000, output=1_000)
    book = PriceBook([SheetRow("claude-sonnet-4-5", Decimal(3), Decimal(15))])
    told = book.explain("claude-sonnet-4-5-20250929", usage, at=NOW)
    assert told.resolved.source == "sheet"
    assert told.resolved.entry is not None
    assert told.resolved.entry.name == "anthropic/claude-sonnet-4-5"
    assert told.threshold == 200_000
    assert told.cost == sum(line.amount for line in told.lines) == Decimal("0.9585")
    assert told.cost == cost(book, "claude-sonnet-4-5-20250929", usage)


def test_an_explanation_says_why_there_is_no_cost():
    told = PriceBook().explain("text-embedding-3-small", TokenUsage(output=1), at=NOW)
    assert told.cost is None
    assert told.unknown == "no price is known for part of the usage"


@pytest.mark.django_db
def test_the_stored_sheet_is_what_the_book_says():
    ModelPrice.objects.create(
        pattern="my-model",
        input_per_mtok=Decimal("1.5"),
        output_per_mtok=Decimal("2.5"),
        cache_read_per_mtok=Decimal("0.25"),
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        retired_at=datetime(2026, 12, 1, tzinfo=UTC),
    )
    book = load_price_book()
    usage = TokenUsage(input=1_000_000, output=1_000_000, cache_read=1_000_000)
    assert cost(book, "my-model", usage) == Decimal("4.25")
    assert cost(book, "my-model", usage, datetime(2025, 12, 31, tzinfo=UTC).timestamp()) is None
    assert cost(book, "my-model", usage, datetime(2026, 12, 1, tzinfo=UTC).timestamp()) is None


@pytest.mark.django_db
def test_of_two_rows_that_begin_at_once_the_later_one_speaks():
    for price in (1, 2):
        ModelPrice.objects.create(
            pattern="twice",
            input_per_mtok=price,
            output_per_mtok=price,
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        )
    assert cost(load_price_book(), "twice", MILLION) == 2
