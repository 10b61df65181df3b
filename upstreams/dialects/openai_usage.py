"""OpenAI's usage objects, and those of the many that speak its dialect, as a `TokenUsage`.

The rule of the dialect: ``prompt_tokens`` (``input_tokens`` in Responses, images and audio) is
the whole prompt, tokens read from a cache and tokens written to one included. `TokenUsage`
wants them apart. Sources: the API references of OpenAI (``CompletionUsage``,
``ResponseUsage``), DeepSeek, Moonshot, xAI, Groq, OpenRouter, Databricks and Perplexity.
"""

from dataclasses import dataclass

from tokenwatch.tokens import TokenUsage
from upstreams.dialects.anthropic_usage import flat_cache_counts, token_counts
from upstreams.dialects.base import JSON
from upstreams.dialects.values import LARGEST, count, largest, mapping, seconds


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a whole, in tokens; together they are never more than the whole."""

    audio: int = 0
    image: int = 0
    reasoning: int = 0


NO_PARTS = Parts()

_PLAIN = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")
_DETAILED = _PLAIN.union(_DETAILS)


def read_usage(usage: JSON, kind: str, web_searches: int, file_searches: int) -> TokenUsage | None:
    """What a merged usage object bills; None where it counts nothing.

    ``kind`` is the endpoint's; the searches are those counted from the answer's items, which
    hold where the usage object does not count searches itself.
    """
    if kind == "chat" and _is_plain(usage):  # most answers; below, thirty other fields are sought
        return TokenUsage(
            input=usage["prompt_tokens"],
            output=usage["completion_tokens"],
            web_searches=web_searches,
            file_searches=file_searches,
        )
    searched = _web_searches(usage)
    searches = web_searches if searched is None else searched
    if count(usage.get("prompt_tokens")) is None and flat_cache_counts(usage):
        # The fields of the Messages API, from a host that puts them into this dialect: there
        # the input excludes the caches.
        return token_counts(usage, web_searches=searches, file_searches=file_searches)
    read_of, written_of = _input_details(usage), _output_details(usage)
    prompt = _prompt(usage)
    output = _output(usage, prompt, written_of)
    if prompt is None and output is None:
        duration = seconds(usage.get("seconds"))
        return None if duration is None else TokenUsage(audio_seconds=duration)
    prompt, output = prompt or 0, output or 0
    cache_read = min(_cache_read(usage, read_of), prompt)
    cache_write = min(_cache_write(usage, read_of), prompt - cache_read)
    fresh = prompt - cache_read - cache_write
    read_parts = _parts(mapping(read_of.get("cached_tokens_details")), cache_read)
    input_parts = _input_parts(read_of, fresh, read_parts)
    output_parts = _output_parts(usage, written_of, kind, output)
    return TokenUsage(
        input=fresh,
        cache_read=cache_read,
        cache_write=cache_write,
        output=output,
        reasoning=output_parts.reasoning,
        input_audio=input_parts.audio,
        cache_read_audio=read_parts.audio,
        output_audio=output_parts.audio,
        input_image=input_parts.image,
        cache_read_image=read_parts.image,
        output_image=output_parts.image,
        web_searches=searches,
        file_searches=file_searches,
    )


def _is_plain(usage: JSON) -> bool:
    """Whether a chat's usage says no more than what went in and what came out: nothing of a
    cache, of audio or of reasoning, and no host's own field."""
    if not (_PLAIN <= usage.keys() <= _DETAILED):
        return False
    for name in _DETAILS:
        details = usage.get(name)
        if details and not (isinstance(details, dict) and not any(details.values())):
            return False
    prompt, output = usage["prompt_tokens"], usage["completion_tokens"]
    whole_numbers = type(prompt) is type(output) is int and prompt >= 0 <= output
    return whole_numbers and prompt + output == usage["total_tokens"] <= LARGEST


def _input_details(usage: JSON) -> JSON:
    """Three spellings: chat's, Responses' and images', audio's."""
    for name in ("prompt_tokens_details", "input_tokens_details", "input_token_details"):
        if details := mapping(usage.get(name)):
            return details
    return {}


def _output_details(usage: JSON) -> JSON:
    for name in ("completion_tokens_details", "output_tokens_details", "output_token_details"):
        if details := mapping(usage.get(name)):
            return details
    return {}


def _prompt(usage: JSON) -> int | None:
    for name in ("prompt_tokens", "input_tokens"):
        if (prompt := count(usage.get(name))) is not None:
            return prompt
    hit = count(usage.get("prompt_cache_hit_tokens"))
    miss = count(usage.get("prompt_cache_miss_tokens"))
    if hit is not None and miss is not None:
        return hit + miss
    if not any(name in usage for name in ("completion_tokens", "output_tokens")):
        return count(usage.get("total_tokens"))  # embeddings of some hosts
    return None


def _output(usage: JSON, prompt: int | None, details: JSON) -> int | None:
    """Completion tokens, with the reasoning that a host counts beside them.

    xAI's ``completion_tokens`` leave reasoning out, which shows in the total: it is the sum of
    all three. Perplexity's have more reasoning beside them than could be inside.
    """
    output = count(usage.get("completion_tokens"))
    if output is None:
        return count(usage.get("output_tokens"))
    inside = largest(details.get("reasoning_tokens"))
    beside = largest(usage.get("reasoning_tokens"))
    reasoning = inside or beside
    if not reasoning:
        return output
    total = count(usage.get("total_tokens"))
    if total == (prompt or 0) + output + reasoning or (not inside and beside > output):
        return output + reasoning
    return output


def _cache_read(usage: JSON, details: JSON) -> int:
    return largest(
        details.get("cached_tokens"),
        details.get("cache_read_input_tokens"),  # Perplexity
        usage.get("cached_tokens"),  # Moonshot
        usage.get("prompt_cache_hit_tokens"),  # DeepSeek
        usage.get("cache_read_input_tokens"),  # Databricks
        usage.get("cached_prompt_text_tokens"),  # xAI, older
    )


def _cache_write(usage: JSON, details: JSON) -> int:
    return largest(
        details.get("cache_write_tokens"),
        details.get("cache_creation_tokens"),
        usage.get("cache_creation_input_tokens"),
    )


def _parts(details: JSON, whole: int, reasoning: int = 0) -> Parts:
    """Audio, image and reasoning tokens out of a whole, cut where they exceed it."""
    if not whole or not (details or reasoning):
        return NO_PARTS
    reasoning = min(reasoning, whole)
    audio = min(largest(details.get("audio_tokens")), whole - reasoning)
    image = largest(details.get("image_tokens"), details.get("cached_image_tokens"))
    return Parts(audio, min(image, whole - reasoning - audio), reasoning)


def _input_parts(details: JSON, fresh: int, read: Parts) -> Parts:
    """The details count the whole prompt; what of it came from the cache is taken off."""
    audio = largest(details.get("audio_tokens")) - read.audio
    image = largest(details.get("image_tokens")) - read.image
    if audio <= 0 and image <= 0:
        return NO_PARTS
    return _parts({"audio_tokens": max(audio, 0), "image_tokens": max(image, 0)}, fresh)


def _output_parts(usage: JSON, details: JSON, kind: str, output: int) -> Parts:
    """Without details, what the images and speech endpoints put out is image and audio."""
    if not details:
        if kind == "images":
            return Parts(image=output)
        if kind == "speech":
            return Parts(audio=output)
    reasoning = largest(details.get("reasoning_tokens")) or largest(usage.get("reasoning_tokens"))
    return _parts(details, output, reasoning)


def _web_searches(usage: JSON) -> int | None:
    """Searches that the usage object counts; None where it counts none of the known ones."""
    for value in (
        mapping(usage.get("server_tool_use")).get("web_search_requests"),  # OpenRouter
        mapping(usage.get("server_side_tool_usage_details")).get("web_search_calls"),  # xAI
        usage.get("num_search_queries"),  # Perplexity
    ):
        if (searches := count(value)) is not None:
            return searches
    return None
