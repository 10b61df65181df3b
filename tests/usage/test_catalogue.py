"""Which price the published catalogue gives a name, and that our arithmetic is the library's."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from genai_prices.types import Usage
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenwatch.tokens import TokenUsage
from usage import catalogue
from usage.catalogue import PROVIDERS, Entry, context, find
from usage.pricing import price, quantities, resolve_rates

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
ZAI = "https://api.z.ai/api/paas/v4"
OPENROUTER = "https://openrouter.ai/api/v1"


def name_of(model, api_type="", base_url=""):
    entry = find(model, api_type, base_url)
    return entry.name if entry else None


@pytest.mark.parametrize(
    ("model", "api_type", "base_url", "expected"),
    [
        ("gpt-4o-mini", "openai", "https://api.openai.com", "openai/gpt-4o-mini"),
        ("openai/gpt-4o-mini", "openai", "", "openai/gpt-4o-mini"),
        ("openai/gpt-4o-mini", "openai", OPENROUTER, "openrouter/openai/gpt-4o-mini"),
        ("text-embedding-3-small", "openai", "", "openai/text-embedding-3-small"),
        ("claude-sonnet-4-5-20250929", "anthropic", "", "anthropic/claude-sonnet-4-5"),
        ("claude-sonnet-4-5", "openai", "http://gateway.internal", "anthropic/claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4.5", "openai", "", "anthropic/claude-sonnet-4-5"),
        ("models/gemini-2.5-pro", "openai", "", "google/gemini-2.5-pro"),
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "anthropic",
            "",
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        ("groq/openai/gpt-oss-120b", "openai", "", "groq/openai/gpt-oss-120b"),
        ("GPT-4o", "openai", "https://my.openai.azure.com", "azure/gpt-4o"),
    ],
)
def test_a_name_means_the_entry_of_whoever_was_asked(model, api_type, base_url, expected):
    assert name_of(model, api_type, base_url) == expected


@pytest.mark.parametrize(
    ("model", "base_url", "expected"),
    [
        ("glm-4.7", ZAI, "zai/GLM-4.7"),
        ("glm-4.7-flash", ZAI, None),
        ("glm-4.7-flashx", ZAI, "zai/GLM-4.7-FlashX"),
        ("z-ai/glm-4.7", ZAI, "zai/GLM-4.7"),
        ("z-ai/glm-4.7-flash", ZAI, None),
        ("z-ai/glm-4.7", OPENROUTER, "openrouter/z-ai/glm-4.7"),
        ("z-ai/glm-4.7-flash", OPENROUTER, "openrouter/z-ai/glm-4.7-flash"),
        ("glm-4.7", "", "zhipuai/GLM-4.7"),
        ("glm-4.7-flash", "", None),
    ],
)
def test_glm_flash_is_never_taken_for_glm(model, base_url, expected):
    assert name_of(model, "openai", base_url) == expected


def test_a_fine_tuned_model_has_its_own_price_or_none():
    tuned = find("ft:gpt-4o-mini-2024-07-18:org::id", "openai")
    assert tuned is not None
    prices = tuned.price_list(NOW)
    assert prices is not None
    assert prices.base["input"] == Decimal("0.3")
    assert name_of("ft:gpt-4.1-2025-04-14:org::id", "openai") is None


@pytest.mark.parametrize("model", ["", "   ", "my-own-model", "a/b/c/d", "/", "x" * 10_000])
def test_unknown_names_have_no_entry(model):
    assert find(model, "openai", "http://localhost:1234") is None


def test_looking_names_up_leaves_nothing_behind():
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    before = len(snapshot._lookup_cache), len(snapshot._provider_misses)
    for number in range(50):
        find(f"nobody-{number}", "openai", ZAI)
    assert (len(snapshot._lookup_cache), len(snapshot._provider_misses)) == before


def prices_for(model, at=NOW, **asked):
    entry = find(model)
    assert entry is not None
    found = entry.price_list(at, context(**asked))
    return None if found is None else (found.base["input"], found.base["output"])


@pytest.mark.parametrize("tier", ["", "default", "standard", "auto", "Standard_Only", "on_demand"])
def test_words_for_the_standard_tier_cost_the_standard_price(tier):
    assert prices_for("gpt-5", service_tier=tier) == prices_for("gpt-5")
    assert prices_for("claude-opus-4-7", service_tier=tier, speed="standard") == (5, 25)


def test_tiers_speeds_and_batches_have_their_published_prices():
    assert prices_for("gpt-5", service_tier="priority") == (Decimal("2.5"), 20)
    assert prices_for("gpt-5", service_tier="flex") == (Decimal("0.625"), 5)
    assert prices_for("gpt-5", batch=True) == (Decimal("0.625"), 5)
    assert prices_for("claude-opus-5", speed="fast") == (10, 50)
    assert prices_for("claude-opus-4-7", service_tier="batch") == (Decimal("2.5"), Decimal("12.5"))


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("gpt-4o", {"service_tier": "scale"}),
        ("gpt-4o", {"service_tier": "flex"}),
        ("claude-opus-4-7", {"service_tier": "priority"}),
        ("claude-opus-4-7", {"speed": "fast"}),
        ("glm-4.7", {"batch": True}),
        ("gpt-5", {"batch": True, "service_tier": "priority"}),
    ],
)
def test_a_tier_that_is_not_published_is_unknown_not_standard(model, asked):
    assert prices_for(model, **asked) is None


def test_a_tier_has_no_price_before_its_first_known_one():
    before = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
    assert prices_for("gpt-5", before) is not None
    assert prices_for("gpt-5", before, service_tier="priority") is None


def test_another_providers_tiers_are_not_borrowed():
    azure = find("gpt-5.5-pro", "openai", "https://my.openai.azure.com")
    assert azure is not None
    assert azure.provider == "azure"
    if not azure.own:
        assert azure.price_list(NOW) is not None
        assert azure.price_list(NOW, context(service_tier="flex")) is None


def test_free_models_are_free_and_unpriced_ones_are_unknown():
    free = find("deepseek/deepseek-r1:free", "openai", OPENROUTER)
    assert free is not None
    zero = free.price_list(NOW)
    assert zero is not None
    assert price(TokenUsage(input=10**6, output=10**6), resolve_rates(zero)) == 0
    included = find("gpt-4.1", "openai", "https://api.githubcopilot.com")
    assert included is not None
    assert included.price_list(NOW) is None


def test_groq_bills_ten_seconds_of_audio_at_least():
    whisper = find("whisper-large-v3", "openai", "https://api.groq.com/openai")
    assert whisper is not None
    prices = whisper.price_list(NOW)
    assert prices is not None
    short, long = (
        price(TokenUsage(audio_seconds=seconds), resolve_rates(prices)) for seconds in (3.2, 3600)
    )
    assert long == Decimal("0.111")
    assert short == Decimal("0.0003083333")


def test_a_price_cut_holds_from_its_day_on():
    cut = datetime(2026, 8, 21, tzinfo=UTC).timestamp()
    assert prices_for("gpt-5.6-sol", cut - 1) == (5, 30)
    assert prices_for("gpt-5.6-sol", cut) == (4, 20)
    entry = find("gpt-5.6-sol")
    assert entry is not None
    assert entry.window(cut - 1)[1] == cut
    assert entry.window(cut)[0] == cut


def test_prices_by_the_time_of_day_change_at_their_minute():
    entry = find("deepseek-chat")
    assert entry is not None
    cheap_until = datetime(2026, 11, 23, 0, 30, tzinfo=UTC).timestamp()
    dear_until = datetime(2026, 11, 23, 16, 30, tzinfo=UTC).timestamp()
    assert entry.window(cheap_until - 1)[1] == cheap_until
    assert entry.window(cheap_until) == (cheap_until, dear_until)
    assert prices_for("deepseek-chat", dear_until - 1) == (Decimal("0.27"), Decimal("1.1"))
    assert prices_for("deepseek-chat", dear_until) == (Decimal("0.135"), Decimal("0.55"))


ENTRIES = [Entry(p.id, m) for p in PROVIDERS.values() for m in p.models]
CONDITIONAL = [entry for entry in ENTRIES if any(entry._constraints())]
PARTICULAR = [
    entry
    for entry in ENTRIES
    if entry.model.price_variants
    or (
        (found := entry.price_list(NOW)) is not None
        and (found.long or found.base.keys() - {"input", "output", "cache_read"})
    )
]
"""With tiers, variants or units of their own: worth more of the examples."""
moments = st.datetimes(datetime(2025, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC)).map(
    datetime.timestamp
)


@given(st.sampled_from(CONDITIONAL), moments, st.floats(0, 1, exclude_max=True))
def test_a_price_stays_the_same_within_its_window(entry, at, share):
    since, until = entry.window(at)
    assert since <= at < until
    low, high = max(since, at - 1e7), min(until, at + 1e7)
    within = min(max(low + (high - low) * share, low), at if high <= low else high - 0.001)
    for special in [{}, {"processing": "batch"}, {"service_tier": "priority"}]:
        assert entry.price_list(at, special) == entry.price_list(within, special)


few = st.integers(0, 400_000)


@st.composite
def consistent_usages(draw):
    """Usage whose parts do not exceed their whole, as the library insists."""

    def parts(whole, number):
        taken: list[int] = []
        for _ in range(number):
            taken.append(draw(st.integers(0, whole - sum(taken))))
        return taken

    plain, read, out = draw(few), draw(few), draw(few)
    (audio, image), (audio_read, image_read) = parts(plain, 2), parts(read, 2)
    output_audio, output_image, reasoning = parts(out, 3)
    return TokenUsage(
        input=plain,
        cache_read=read,
        cache_write=draw(few),
        cache_write_1h=draw(few),
        output=out,
        reasoning=reasoning,
        input_audio=audio,
        cache_read_audio=audio_read,
        output_audio=output_audio,
        input_image=image,
        cache_read_image=image_read,
        output_image=output_image,
        web_searches=draw(st.integers(0, 9)),
        file_searches=draw(st.integers(0, 9)),
        audio_seconds=draw(st.sampled_from([0, 3, 7.25, 61.7])),
        characters=draw(few),
    )


def library_usage(usage):
    """The same in the library's terms, where every count includes its parts."""
    return Usage(
        input_tokens=usage.prompt_total,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write + usage.cache_write_1h,
        cache_write_1h_tokens=usage.cache_write_1h,
        output_tokens=usage.output,
        output_reasoning_tokens=usage.reasoning,
        input_audio_tokens=usage.input_audio + usage.cache_read_audio,
        cache_audio_read_tokens=usage.cache_read_audio,
        output_audio_tokens=usage.output_audio,
        input_image_tokens=usage.input_image + usage.cache_read_image,
        cache_image_read_tokens=usage.cache_read_image,
        output_image_tokens=usage.output_image,
        web_searches=usage.web_searches,
        storage_searches=usage.file_searches,
        audio_seconds=usage.audio_seconds,
        input_audio_seconds=usage.audio_seconds,
        input_characters=usage.characters,
    )


@settings(max_examples=400, deadline=None)
@given(
    st.data(),
    st.sampled_from(PARTICULAR) | st.sampled_from(ENTRIES),
    moments,
    consistent_usages(),
)
def test_every_price_is_the_one_that_the_library_calculates(data, entry, at, usage):
    variants = [variant.when for variant in entry.model.price_variants or () if variant.when]
    special = data.draw(st.sampled_from([{}, *variants]))
    published = entry.price_list(at, special)
    if published is None:
        return
    rates = resolve_rates(published)
    cost = price(usage, rates)
    if cost is None:  # what the library takes for free is unknown here: it must be unpriced
        row = rates.row_for(usage.prompt_total)
        unknown = zip(quantities(usage, rates), row.numerators, strict=True)
        assert any(quantity and numerator is None for quantity, numerator in unknown)
        return
    with localcontext(prec=60):
        expected = entry.model.calc_price(
            library_usage(usage),
            PROVIDERS[entry.provider],
            genai_request_timestamp=datetime.fromtimestamp(at, UTC),
            price_context=special,
        ).total_price
        assert cost == expected.quantize(Decimal("1E-10"), ROUND_HALF_EVEN), entry.name


def test_every_published_price_of_a_unit_that_is_counted_is_known_here():
    """A new release of the catalogue must not bring prices that are passed over in silence."""
    known = {key for keys in catalogue._PRICE_KEYS.values() for key in keys}
    # Counted by no dialect: video, documents, citations, and messages to voice agents.
    not_counted = {
        "input_video_mtok",
        "output_video_mtok",
        "output_citation_mtok",
        "input_document_kpages",
        "input_annotated_document_kpages",
        "input_text_messages_kcount",
    }
    published: set[str] = set()
    for entry in ENTRIES:
        prices = entry.model.prices
        for item in [c.prices for c in prices] if isinstance(prices, list) else [prices]:
            published |= item.__dict__.keys()
    assert published - known - not_counted == set()
