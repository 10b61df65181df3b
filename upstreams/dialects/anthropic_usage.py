"""Anthropic's usage objects as a `TokenUsage`.

The rule of the dialect: ``input_tokens`` excludes both the tokens read from a cache and those
written to one, as `TokenUsage.input` does. Source: Anthropic's API reference (``Usage``,
``CacheCreation``, ``ServerToolUsage``) and its guides to prompt caching and compaction.
"""

from dataclasses import dataclass

from tokenwatch.tokens import TokenUsage
from upstreams.dialects.base import JSON
from upstreams.dialects.values import count, largest, mapping, objects

PROMPT_FIELDS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


@dataclass(frozen=True, slots=True)
class CacheWrites:
    """Tokens written to the cache, by how long they are kept."""

    five_minutes: int
    one_hour: int


def flat_cache_counts(usage: JSON) -> bool:
    """Whether the object counts cache tokens the way the Messages API does."""
    return any(count(usage.get(name)) is not None for name in PROMPT_FIELDS[1:])


def token_counts(
    usage: JSON, *, web_searches: int = 0, file_searches: int = 0
) -> TokenUsage | None:
    """What a merged usage object bills; None where it counts no tokens.

    Compaction, a pass of the model over the context that is being closed, is billed at the
    same prices but stands beside the other counts, in ``iterations``: it is added.
    """
    if not any(count(usage.get(name)) is not None for name in (*PROMPT_FIELDS, "output_tokens")):
        return None
    passes = [usage, *_compactions(usage)]
    writes = [cache_writes(each) for each in passes]
    output = sum(largest(each.get("output_tokens")) for each in passes)
    thinking = largest(mapping(usage.get("output_tokens_details")).get("thinking_tokens"))
    searches = count(mapping(usage.get("server_tool_use")).get("web_search_requests"))
    return TokenUsage(
        input=sum(largest(each.get("input_tokens")) for each in passes),
        cache_read=sum(largest(each.get("cache_read_input_tokens")) for each in passes),
        cache_write=sum(each.five_minutes for each in writes),
        cache_write_1h=sum(each.one_hour for each in writes),
        output=output,
        reasoning=min(thinking, output),
        web_searches=web_searches if searches is None else searches,
        file_searches=file_searches,
    )


def cache_writes(usage: JSON) -> CacheWrites:
    """The flat count of cache writes, split by the ``cache_creation`` object.

    The split may be older than the count (it stands in ``message_start``, the newest count in
    ``message_delta``). What the count has grown by was written under the same request, so it
    goes where all of the split went, and to five minutes, the default, where that was mixed.
    """
    split = mapping(usage.get("cache_creation"))
    short = largest(split.get("ephemeral_5m_input_tokens"))
    long = largest(split.get("ephemeral_1h_input_tokens"))
    flat = count(usage.get("cache_creation_input_tokens"))
    if flat is None:
        return CacheWrites(short, long)
    if long and not short:
        return CacheWrites(0, flat)
    long = min(long, flat)
    return CacheWrites(flat - long, long)


def _compactions(usage: JSON) -> list[JSON]:
    return [each for each in objects(usage.get("iterations")) if each.get("type") == "compaction"]
