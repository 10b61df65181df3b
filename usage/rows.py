"""One row of the ledger as plain values: what the hot path hands over and the spool keeps.

A msgspec struct: it is made, written and read back once a request, in a fraction of the time
that a dataclass takes, and its types and bounds are checked in C when a line is read back.
They are the bounds of the ledger's columns; making a row checks nothing.
"""

from typing import Annotated

from msgspec import Meta, Struct

COUNT_MAX = 10**15
"""Larger counts are no counts; below it sums stay far inside 64 bits."""
SMALL_MAX = 2**15 - 1
LAST_MOMENT = 253_402_300_800  # the year 10000

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Small = Annotated[int, Meta(ge=0, le=SMALL_MAX)]
Money = Annotated[str, Meta(pattern=r"^[0-9]{1,10}\.[0-9]{10}\Z")]
Text20 = Annotated[str, Meta(max_length=20)]
Text50 = Annotated[str, Meta(max_length=50)]
Text100 = Annotated[str, Meta(max_length=100)]
Text200 = Annotated[str, Meta(max_length=200)]


class UsageRow(Struct, omit_defaults=True):
    """One request. The field names are the ledger's columns and the JSON of ``tail --json``."""

    request_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
    """32 hex digits that begin with the time; the idempotency key of every later step."""
    created_at: Annotated[float, Meta(ge=0, lt=LAST_MOMENT)]
    """Arrival, seconds since the epoch (UTC)."""
    api_type: Text20
    method: Annotated[str, Meta(max_length=10)]
    endpoint: Text200
    """Path after the api type's prefix, without query, e.g. ``v1/chat/completions``."""
    model_requested: Text200 = ""
    model_used: Text200 = ""
    """As the response names it, else as it was asked for."""
    upstream: Text100 = ""
    status_code: Small = 0
    """What the client got, or would have got: 499 where it left before an answer."""
    error_type: Text100 = ""
    stream: bool = False
    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_write_1h_tokens: Count = 0
    reasoning_tokens: Count = 0
    input_audio_tokens: Count = 0
    output_audio_tokens: Count = 0
    usage_estimated: bool = False
    service_tier: Text50 = ""
    finish_reason: Text50 = ""
    cost: Money | None = None
    """US dollars with 10 decimal places; None where the price is unknown."""
    latency_ms: Count = 0
    ttft_ms: Count | None = None
    """Milliseconds to the first body byte of a stream; None for other answers."""
    source_app: Text200 = ""
    session_id: Text200 = ""
    feature_tag: Text200 = ""
    cache_tier: Text20 = ""
    cache_similarity: float | None = None
    saved_cost: Money | None = None
    routing_rule: Text100 = ""
    ab_test: Text100 = ""
    ab_variant: Text20 = ""
    attempts: Small = 0
    """Upstream connections tried; 0 where nothing was sent."""
    holds: list[tuple[int, int]] = []
    """What the request drew from leases of budgets: pairs of a lease's id and its units. No
    column: it is settled in the transaction that writes the row."""
