"""Usage as the providers document it, and what it costs by their price pages, to 10 places.

Every expected amount is worked out in its comment, per million tokens, so that it can be
checked against the price page by hand.
"""

from datetime import UTC, datetime

import pytest

from tokenwatch.tokens import TokenUsage
from usage.pricebook import PriceBook, load_price_book

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()

OPENAI = [
    # https://platform.openai.com/docs/guides/prompt-caching: 2,006 prompt tokens, 1,920 of them
    # cached. 86 × 2.50 + 1,920 × 1.25 + 300 × 10
    ("gpt-4o-2024-08-06", {"input": 86, "cache_read": 1920, "output": 300}, {}, "0.0056150000"),
    # Reasoning is billed as output: 75 × 2 + 1,186 × 8
    ("o3", {"input": 75, "output": 1186, "reasoning": 1024}, {}, "0.0096380000"),
    # Cache writes at 1.25 × input: 1,000 × 4 + 8,000 × 0.40 + 3,000 × 5 + 500 × 20
    (
        "gpt-5.6-sol",
        {"input": 1000, "cache_read": 8000, "cache_write": 3000, "output": 500},
        {},
        "0.0322000000",
    ),
    # At 272,000 tokens still the base rate: 72,000 × 2.50 + 200,000 × 0.25 + 1,000 × 15
    ("gpt-5.4", {"input": 72_000, "cache_read": 200_000, "output": 1000}, {}, "0.2450000000"),
    # One token more, and all of it costs more: 72,001 × 5 + 200,000 × 0.50 + 1,000 × 22.50
    ("gpt-5.4", {"input": 72_001, "cache_read": 200_000, "output": 1000}, {}, "0.4825050000"),
    # Priority: 600 × 3.50 + 400 × 0.875 + 200 × 14
    (
        "gpt-4.1",
        {"input": 600, "cache_read": 400, "output": 200},
        {"service_tier": "priority"},
        "0.0052500000",
    ),
    # Flex: 668 × 0.625 + 333 × 0.0625 + 77 × 5
    (
        "gpt-5",
        {"input": 668, "cache_read": 333, "output": 77},
        {"service_tier": "flex"},
        "0.0008233125",
    ),
    # Flex over 272,000: 300,000 × 2.50 + 10 × 11.25
    (
        "gpt-5.4",
        {"input": 300_000, "output": 10},
        {"service_tier": "flex"},
        "0.7501125000",
    ),
    # Batch: 1,000 × 1.25 + 500 × 5; the batch table has no price for cached input, it stays 1.25
    (
        "gpt-4o",
        {"input": 1000, "cache_read": 1000, "output": 500},
        {"batch": True},
        "0.0050000000",
    ),
    # The tier that every answer names: as if it named none. 9 × 0.15 + 12 × 0.60
    ("gpt-4o-mini", {"input": 9, "output": 12}, {"service_tier": "default"}, "0.0000085500"),
    # Audio: 17 × 2.50 + 219 × 32 + 20 × 10 + 26 × 64
    (
        "gpt-audio",
        {"input": 236, "input_audio": 219, "output": 46, "output_audio": 26},
        {},
        "0.0089145000",
    ),
    # Cached audio and text: 100 × 4 + 50 × 32 + 30 × 0.40 + 20 × 0.40 + 10 × 16 + 40 × 64
    (
        "gpt-realtime",
        {
            "input": 150,
            "input_audio": 50,
            "cache_read": 50,
            "cache_read_audio": 20,
            "output": 50,
            "output_audio": 40,
        },
        {},
        "0.0047400000",
    ),
    # Images: 50 × 5 + 200 × 10 + 4,160 × 40
    (
        "gpt-image-1",
        {"input": 250, "input_image": 200, "output": 4160},
        {},
        "0.1686500000",
    ),
    # Web search 10 and file search 2.50 for 1,000 calls: 328 × 2 + 356 × 8, + 0.01 + 0.005
    (
        "gpt-4.1",
        {"input": 328, "output": 356, "web_searches": 1, "file_searches": 2},
        {},
        "0.0185040000",
    ),
    # 8 × 0.02
    ("text-embedding-3-small", {"input": 8}, {}, "0.0000001600"),
    # By the minute: 60.5 s × 0.006 / 60
    ("whisper-1", {"audio_seconds": 60.5}, {}, "0.0060500000"),
    # By the character: 1,234 × 15
    ("tts-1", {"characters": 1234}, {}, "0.0185100000"),
    # Fine-tuned: 100 × 0.30 + 50 × 1.20
    ("ft:gpt-4o-mini-2024-07-18:acme::x", {"input": 100, "output": 50}, {}, "0.0000900000"),
]

ANTHROPIC = [
    # https://docs.claude.com/en/docs/build-with-claude/prompt-caching: 148 tokens written for five
    # minutes, 100 for an hour. 2,048 × 5 + 1,800 × 0.50 + 148 × 6.25 + 100 × 10 + 503 × 25
    (
        "claude-opus-4-7",
        {
            "input": 2048,
            "cache_read": 1800,
            "cache_write": 148,
            "cache_write_1h": 100,
            "output": 503,
        },
        {"service_tier": "standard"},
        "0.0256400000",
    ),
    # Caches count towards 200,000: 150,000 × 3 + 40,000 × 0.30 + 10,000 × 3.75 + 1,000 × 15
    (
        "claude-sonnet-4-5-20250929",
        {"input": 150_000, "cache_read": 40_000, "cache_write": 10_000, "output": 1000},
        {},
        "0.5145000000",
    ),
    # One token more: 150,000 × 6 + 40,000 × 0.60 + 10,000 × 7.50 + 1 × 12 + 1,000 × 22.50
    (
        "claude-sonnet-4-5-20250929",
        {
            "input": 150_000,
            "cache_read": 40_000,
            "cache_write": 10_000,
            "cache_write_1h": 1,
            "output": 1000,
        },
        {},
        "1.0215120000",
    ),
    # A million tokens at the standard rate: 900,000 × 5 + 100,000 × 0.50 + 10 × 25
    (
        "claude-opus-4-7",
        {"input": 900_000, "cache_read": 100_000, "output": 10},
        {},
        "4.5502500000",
    ),
    # https://docs.claude.com/en/docs/agents-and-tools/tool-use/web-search-tool: 10 for 1,000
    # searches. 105 × 5 + 7,123 × 0.50 + 7,345 × 6.25 + 6,039 × 25, + 0.01
    (
        "claude-opus-4-7",
        {
            "input": 105,
            "cache_read": 7123,
            "cache_write": 7345,
            "output": 6039,
            "web_searches": 1,
        },
        {},
        "0.2109677500",
    ),
    # Batch, half of everything: 1,000 × 2.50 + 100 × 0.25 + 100 × 3.125 + 100 × 5 + 100 × 12.50
    (
        "claude-opus-4-7",
        {
            "input": 1000,
            "cache_read": 100,
            "cache_write": 100,
            "cache_write_1h": 100,
            "output": 100,
        },
        {"service_tier": "batch"},
        "0.0045875000",
    ),
    # Fast mode: 1,000 × 10 + 100 × 1 + 200 × 50
    (
        "claude-opus-5",
        {"input": 1000, "cache_read": 100, "output": 200},
        {"speed": "fast"},
        "0.0201000000",
    ),
]

SEEDED = [
    # 1,000 × 15 + 1,000 × 1.50 + 1,000 × 18.75 + 1,000 × 30 + 1,000 × 75
    (
        "claude-opus-4-6",
        {
            "input": 1000,
            "cache_read": 1000,
            "cache_write": 1000,
            "cache_write_1h": 1000,
            "output": 1000,
        },
        {},
        "0.1402500000",
    ),
    # Half of it as a batch
    ("claude-opus-4-6-20260205", {"input": 1000, "output": 1000}, {"batch": True}, "0.0450000000"),
    # 1,000 × 0.80 + 1,000 × 0.08 + 1,000 × 1 + 1,000 × 1.60 + 1,000 × 4
    (
        "claude-haiku-4-5-20251001",
        {
            "input": 1000,
            "cache_read": 1000,
            "cache_write": 1000,
            "cache_write_1h": 1000,
            "output": 1000,
        },
        {},
        "0.0074800000",
    ),
    # Over 200,000: 200,001 × 6 + 100 × 22.50
    ("claude-sonnet-4-5-20250929", {"input": 200_001, "output": 100}, {}, "1.2022560000"),
    # Cached at the catalogue's 0.11 for an input of 0.60: 100 × 0.60 + 900 × 0.11 + 50 × 0.60
    ("glm-4.7", {"input": 100, "cache_read": 900, "output": 50}, {}, "0.0001890000"),
    # Not in the catalogue, so cached is input: 100 × 0.06 + 900 × 0.06 + 50 × 0.06
    ("glm-4.7-flash", {"input": 100, "cache_read": 900, "output": 50}, {}, "0.0000630000"),
]


def cost(book, model, usage, asked, api_type, base_url):
    found = book.cost(
        model, TokenUsage(**usage), api_type=api_type, base_url=base_url, at=NOW, **asked
    )
    return None if found is None else f"{found:f}"


@pytest.mark.parametrize(("model", "usage", "asked", "expected"), OPENAI)
def test_openai_usage_costs_what_openai_bills(model, usage, asked, expected):
    assert cost(PriceBook(), model, usage, asked, "openai", "https://api.openai.com") == expected


@pytest.mark.parametrize(("model", "usage", "asked", "expected"), ANTHROPIC)
def test_anthropic_usage_costs_what_anthropic_bills(model, usage, asked, expected):
    url = "https://api.anthropic.com"
    assert cost(PriceBook(), model, usage, asked, "anthropic", url) == expected


@pytest.mark.django_db
@pytest.mark.parametrize(("model", "usage", "asked", "expected"), SEEDED)
def test_the_sheet_that_comes_with_tokenwatch_bills_as_it_says(model, usage, asked, expected):
    api_type, url = (
        ("openai", "https://api.z.ai")
        if model.startswith("glm")
        else ("anthropic", "https://api.anthropic.com")
    )
    assert cost(load_price_book(), model, usage, asked, api_type, url) == expected
