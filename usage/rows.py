"""One row of the ledger as plain values: what the hot path hands over and the spool keeps."""

from dataclasses import dataclass


@dataclass(slots=True)
class UsageRow:
    """One request. The field names are the ledger's columns and the JSON of ``tail --json``."""

    request_id: str
    """32 hex digits; the idempotency key of every later step."""
    created_at: float
    """Arrival, seconds since the epoch (UTC)."""
    api_type: str
    method: str
    endpoint: str
    """Path after the api type's prefix, without query, e.g. ``v1/chat/completions``."""
    model_requested: str = ""
    model_used: str = ""
    """As the response names it, else as it was asked for."""
    upstream: str = ""
    status_code: int = 0
    """What the client got, or would have got: 499 where it left before an answer."""
    error_type: str = ""
    stream: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    usage_estimated: bool = False
    service_tier: str = ""
    finish_reason: str = ""
    cost: str | None = None
    """US dollars with 10 decimal places; None where the price is unknown."""
    latency_ms: int = 0
    ttft_ms: int | None = None
    """Milliseconds to the first body byte of a stream; None for other answers."""
    source_app: str = ""
    session_id: str = ""
    feature_tag: str = ""
    cache_tier: str = ""
    cache_similarity: float | None = None
    saved_cost: str | None = None
    routing_rule: str = ""
    ab_test: str = ""
    ab_variant: str = ""
    attempts: int = 0
    """Upstream connections tried; 0 where nothing was sent."""
