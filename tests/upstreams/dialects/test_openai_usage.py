"""Usage bodies as providers document them, and what they bill."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.upstreams.dialects.listening import OPENAI, billed, whole
from tokenwatch.tokens import TokenUsage
from upstreams.dialects import openai_usage

MESSAGE = [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]


def chat(usage, **more):
    return billed(
        OPENAI, "chat", {"object": "chat.completion", "choices": MESSAGE, "usage": usage} | more
    )


def test_openai_chat_completion():
    answer = whole(
        OPENAI,
        {
            "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
            "object": "chat.completion",
            "created": 1741569952,
            "model": "gpt-4.1-2025-04-14",
            "choices": MESSAGE,
            "usage": {
                "prompt_tokens": 19,
                "completion_tokens": 10,
                "total_tokens": 29,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 0,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default",
        },
    )
    assert (answer.model, answer.service_tier) == ("gpt-4.1-2025-04-14", "default")
    assert (answer.finish_reason, answer.complete, answer.error_type) == ("stop", True, "")
    assert OPENAI.token_usage(OPENAI.endpoint("POST", "v1/chat/completions"), answer) == TokenUsage(
        input=19, output=10
    )


def test_cached_tokens_are_part_of_openai_prompt_tokens():
    assert chat(
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920},
            "completion_tokens_details": {"reasoning_tokens": 128},
        }
    ) == TokenUsage(input=86, cache_read=1920, output=300, reasoning=128)


def test_cache_writes_are_part_of_openai_input_tokens_too():
    usage = billed(
        OPENAI,
        "responses",
        {
            "object": "response",
            "status": "completed",
            "model": "gpt-5.6-sol",
            "usage": {
                "input_tokens": 5000,
                "input_tokens_details": {
                    "cached_tokens": 3000,
                    "cache_write_tokens": 1500,
                    "cache_write_tokens_details": {"ttl_30m_tokens": 1500, "ttl_12h_tokens": 0},
                },
                "output_tokens": 87,
                "output_tokens_details": {"reasoning_tokens": 64},
                "total_tokens": 5087,
            },
        },
    )
    assert usage == TokenUsage(
        input=500, cache_read=3000, cache_write=1500, output=87, reasoning=64
    )
    assert usage.prompt_total == 5000


def test_caches_larger_than_the_prompt_are_cut_not_billed_twice():
    usage = chat(
        {
            "prompt_tokens": 100,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 50},
        }
    )
    assert usage == TokenUsage(input=0, cache_read=80, cache_write=20, output=1)


def test_openai_audio_chat():
    assert chat(
        {
            "prompt_tokens": 120,
            "completion_tokens": 60,
            "total_tokens": 180,
            "prompt_tokens_details": {
                "audio_tokens": 90,
                "cached_tokens": 40,
                "cached_tokens_details": {"audio_tokens": 30, "text_tokens": 10},
            },
            "completion_tokens_details": {"audio_tokens": 45, "reasoning_tokens": 0},
        }
    ) == TokenUsage(
        input=80,
        cache_read=40,
        output=60,
        input_audio=60,
        cache_read_audio=30,
        output_audio=45,
    )


@pytest.mark.parametrize("kind", ["embeddings", "other"])
def test_embeddings_bill_input_only(kind):
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    assert billed(OPENAI, kind, answer) == TokenUsage(input=8)


def test_embeddings_of_a_host_that_only_gives_a_total():
    assert billed(OPENAI, "embeddings", {"data": [], "usage": {"total_tokens": 12}}) == TokenUsage(
        input=12
    )


def test_images_are_priced_by_image_and_text_tokens():
    answer = {
        "created": 1713833628,
        "data": [{"b64_json": "aGk="}],
        "usage": {
            "total_tokens": 100,
            "input_tokens": 50,
            "output_tokens": 50,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
        },
    }
    assert billed(OPENAI, "images", answer) == TokenUsage(
        input=50, input_image=40, output=50, output_image=50
    )


def test_images_whose_output_is_told_apart():
    usage = {
        "input_tokens": 50,
        "output_tokens": 300,
        "output_tokens_details": {"text_tokens": 100, "image_tokens": 200},
    }
    assert billed(OPENAI, "images", {"data": [], "usage": usage}) == TokenUsage(
        input=50, output=300, output_image=200
    )


def test_images_without_usage_are_unknown_not_free():
    assert billed(OPENAI, "images", {"created": 1, "data": [{"url": "https://x/y.png"}]}) is None


def test_transcription_by_audio_tokens():
    answer = {
        "text": "Imagine the wildest idea that you've ever had.",
        "usage": {
            "type": "tokens",
            "input_tokens": 14,
            "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
            "output_tokens": 45,
            "total_tokens": 59,
        },
    }
    assert billed(OPENAI, "transcriptions", answer) == TokenUsage(
        input=14, input_audio=10, output=45
    )


def test_transcription_by_duration():
    answer = {"text": "Hello", "usage": {"type": "duration", "seconds": 9}}
    assert billed(OPENAI, "transcriptions", answer) == TokenUsage(audio_seconds=9)


def test_a_verbose_transcript_bills_what_its_usage_says_else_its_duration():
    verbose = {"task": "transcribe", "language": "english", "duration": 8.47, "text": "The beach"}
    assert billed(OPENAI, "transcriptions", verbose) == TokenUsage(audio_seconds=8.47)
    verbose["usage"] = {"type": "duration", "seconds": 9}
    assert billed(OPENAI, "transcriptions", verbose) == TokenUsage(audio_seconds=9)


def test_a_plain_transcript_says_nothing_of_its_cost():
    assert billed(OPENAI, "transcriptions", {"text": "Hello"}) is None


def test_deepseek_cache_hits():
    assert chat(
        {
            "prompt_tokens": 1000,
            "completion_tokens": 200,
            "total_tokens": 1200,
            "prompt_cache_hit_tokens": 896,
            "prompt_cache_miss_tokens": 104,
            "completion_tokens_details": {"reasoning_tokens": 150},
        }
    ) == TokenUsage(input=104, cache_read=896, output=200, reasoning=150)


def test_deepseek_hits_and_misses_make_the_prompt_where_it_is_not_counted():
    assert chat(
        {
            "completion_tokens": 5,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
        }
    ) == TokenUsage(input=36, cache_read=64, output=5)


def test_deepseek_hits_count_though_openais_field_says_zero():
    usage = chat(
        {
            "prompt_tokens": 100,
            "completion_tokens": 1,
            "prompt_cache_hit_tokens": 64,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
    )
    assert usage.cache_read == 64


def test_kimi_cached_tokens_at_the_top():
    assert chat(
        {"prompt_tokens": 19, "completion_tokens": 21, "total_tokens": 40, "cached_tokens": 10}
    ) == TokenUsage(input=9, cache_read=10, output=21)


def test_xai_reasoning_stands_beside_completion_tokens():
    usage = chat(
        {
            "prompt_tokens": 10120,
            "completion_tokens": 1499,
            "total_tokens": 14428,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 2809},
        }
    )
    assert usage == TokenUsage(input=9992, cache_read=128, output=4308, reasoning=2809)
    # What xAI itself billed for it, at 1.25, 0.20 and 2.50 dollars a million: 232856000 ticks.
    ticks = usage.input * 12500 + usage.cache_read * 2000 + usage.output * 25000
    assert ticks == 232856000


def test_reasoning_inside_completion_tokens_is_not_added():
    usage = chat(
        {
            "prompt_tokens": 81,
            "completion_tokens": 1035,
            "total_tokens": 1116,
            "completion_tokens_details": {"reasoning_tokens": 832},
        }
    )
    assert (usage.output, usage.reasoning) == (1035, 832)


def test_reasoning_larger_than_the_output_is_cut():
    usage = chat(
        {
            "prompt_tokens": 5,
            "completion_tokens": 50,
            "total_tokens": 55,
            "completion_tokens_details": {"reasoning_tokens": 52},
        }
    )
    assert (usage.output, usage.reasoning) == (50, 50)


def test_perplexity_deep_research_has_reasoning_and_searches_of_its_own():
    usage = chat(
        {
            "prompt_tokens": 33,
            "completion_tokens": 7163,
            "total_tokens": 7196,
            "citation_tokens": 20016,
            "num_search_queries": 18,
            "reasoning_tokens": 73997,
        }
    )
    assert usage == TokenUsage(input=33, output=81160, reasoning=73997, web_searches=18)


def test_zai_chat_with_cached_tokens():
    assert chat(
        {
            "completion_tokens": 239,
            "prompt_tokens": 1008,
            "prompt_tokens_details": {"cached_tokens": 1000},
            "total_tokens": 1247,
        },
        model="glm-4.7",
        request_id="2026",
    ) == TokenUsage(input=8, cache_read=1000, output=239)


def test_openrouter_with_cache_writes_cost_and_searches():
    assert chat(
        {
            "prompt_tokens": 10339,
            "completion_tokens": 60,
            "total_tokens": 10399,
            "cost": 0.0128,
            "is_byok": False,
            "prompt_tokens_details": {
                "cached_tokens": 10318,
                "cache_write_tokens": 10,
                "audio_tokens": 0,
                "video_tokens": 0,
            },
            "cost_details": {"upstream_inference_cost": None},
            "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0},
            "server_tool_use": {"web_search_requests": 2},
        }
    ) == TokenUsage(input=11, cache_read=10318, cache_write=10, output=60, web_searches=2)


def test_databricks_cache_fields_are_inside_prompt_tokens():
    assert chat(
        {
            "prompt_tokens": 3000,
            "completion_tokens": 10,
            "total_tokens": 3010,
            "cache_read_input_tokens": 2000,
            "cache_creation_input_tokens": 500,
        }
    ) == TokenUsage(input=500, cache_read=2000, cache_write=500, output=10)


def test_the_fields_of_the_messages_api_keep_their_meaning_in_this_dialect():
    usage = {
        "input_tokens": 14,
        "output_tokens": 9,
        "cache_read_input_tokens": 2000,
        "cache_creation_input_tokens": 0,
    }
    assert billed(OPENAI, "other", {"id": "msg_1", "usage": usage}) == TokenUsage(
        input=14, cache_read=2000, output=9
    )


@pytest.mark.parametrize("bad", [None, True, -1, 2.5, "12", 2**53 + 1, [], {}, 1e300])
def test_a_count_that_is_none_is_passed_over(bad):
    usage = chat(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": bad, "audio_tokens": bad},
            "completion_tokens_details": {"reasoning_tokens": bad},
        }
    )
    assert usage == TokenUsage(input=10, output=5)


def test_an_integral_float_is_a_count():
    assert chat({"prompt_tokens": 10.0, "completion_tokens": 5.0}) == TokenUsage(input=10, output=5)


def test_zero_usage_of_a_finished_answer_is_believed():
    assert chat({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}) == TokenUsage()


@pytest.mark.parametrize("usage", [None, {}, [], "none", 7, {"prompt_tokens": None}])
def test_no_usage_is_none(usage):
    assert chat(usage) is None


RESPONSE = {
    "object": "response",
    "status": "completed",
    "model": "gpt-5.6-sol",
    "usage": {"input_tokens": 36, "output_tokens": 87, "total_tokens": 123},
}
CALLS = [
    {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}},
    {"type": "web_search_call", "status": "completed", "action": {"type": "open_page"}},
    {"type": "web_search_call", "status": "completed", "action": {"type": "find_in_page"}},
    {"type": "web_search_call", "status": "completed"},
    {"type": "web_search_call", "status": "failed", "action": {"type": "search"}},
    {"type": "file_search_call", "status": "completed", "queries": ["a"]},
    {"type": "file_search_call", "status": "failed", "queries": ["a"]},
    {"type": "message", "content": [{"type": "output_text", "text": "web_search_call"}]},
]


def test_only_searches_are_counted_among_web_search_calls():
    usage = billed(OPENAI, "responses", RESPONSE | {"output": CALLS})
    assert (usage.web_searches, usage.file_searches) == (2, 1)


def test_the_providers_own_count_of_billable_searches_goes_first():
    tool_usage = {"web_search": {"num_requests": 1}, "image_gen": {}}
    usage = billed(OPENAI, "responses", RESPONSE | {"output": CALLS, "tool_usage": tool_usage})
    assert (usage.web_searches, usage.file_searches) == (1, 1)


def test_a_count_of_searches_that_is_none_is_passed_over():
    tool_usage = {"web_search": {"num_requests": True}}
    usage = billed(OPENAI, "responses", RESPONSE | {"output": CALLS, "tool_usage": tool_usage})
    assert usage.web_searches == 2


def test_an_incomplete_response_is_billed_and_says_why_it_ended():
    answer = whole(
        OPENAI,
        RESPONSE | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
    )
    assert answer.finish_reason == "max_output_tokens"
    assert answer.complete


def test_a_response_queued_in_the_background_is_not_finished():
    answer = whole(OPENAI, {"object": "response", "status": "queued", "usage": None})
    assert answer.finish_reason == ""
    assert billed(OPENAI, "responses", {"object": "response", "status": "queued"}) is None


SMALL = st.integers(0, 3) | st.none() | st.just(1.0) | st.just(-1) | st.just(True)
DETAILS = st.dictionaries(
    st.sampled_from(["cached_tokens", "audio_tokens", "reasoning_tokens", "accepted"]),
    SMALL | st.just({}) | st.just({"audio_tokens": 1}),
)


@given(
    st.fixed_dictionaries(
        {"prompt_tokens": SMALL, "completion_tokens": SMALL},
        optional={
            "total_tokens": st.integers(0, 6),
            "prompt_tokens_details": DETAILS | st.none(),
            "completion_tokens_details": DETAILS | st.none(),
            "reasoning_tokens": SMALL,
        },
    )
)
def test_the_short_way_and_the_long_one_agree(usage):
    short = openai_usage.read_usage(usage, "chat", 1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_usage, "_is_plain", lambda usage: False)
        assert openai_usage.read_usage(usage, "chat", 1, 2) == short
