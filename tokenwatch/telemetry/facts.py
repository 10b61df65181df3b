"""What a finished request hands over. Pure; made on the hot path, so it holds references only."""

from typing import NamedTuple, Protocol

from tokenwatch.telemetry.context import Journey


class Row(Protocol):
    """A row of the ledger, as far as it is told (`usage.rows.UsageRow`)."""

    request_id: str
    created_at: float
    api_type: str
    method: str
    endpoint: str
    model_requested: str
    model_used: str
    model_routed: str
    upstream: str
    status_code: int
    error_type: str
    stream: bool
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    usage_estimated: bool
    finish_reason: str
    cost: str | None
    overhead_ms: float | None
    source_app: str
    session_id: str
    feature_tag: str
    cache_tier: str
    cache_similarity: float | None
    saved_cost: str | None
    routing_rule: str
    ab_test: str
    ab_variant: str
    attempts: int


class Finished(NamedTuple):
    """One request that is over. Times are on the monotonic clock; ``row.created_at`` is the same
    moment as ``started``."""

    row: Row
    journey: Journey
    kind: str
    """Of its endpoint."""
    upstream_status: int
    """Of the last attempt; 0 where no head of an answer came."""
    started: float
    first_byte: float | None
    ended: float


def prompt_tokens(row: Row) -> int:
    """The conventions count cached tokens as input; the ledger keeps them apart."""
    written = row.cache_write_tokens + row.cache_write_1h_tokens
    return row.input_tokens + row.cache_read_tokens + written


def broke(row: Row) -> bool:
    """Whether the request failed by our side or the provider's, not by the client's own."""
    return row.status_code >= 500 or (row.status_code < 400 and row.error_type != "")


def error_type(row: Row) -> str:
    """``error.type``: what went wrong, else the status; empty where nothing did."""
    return row.error_type or (str(row.status_code) if row.status_code >= 400 else "")


def is_refusal(row: Row) -> bool:
    """Whether a budget refused it."""
    return row.attempts == 0 and row.error_type.startswith("budget_")
