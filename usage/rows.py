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
SignedMoney = Annotated[str, Meta(pattern=r"^-?[0-9]{1,10}\.[0-9]{10}\Z")]
Text20 = Annotated[str, Meta(max_length=20)]
Text32 = Annotated[str, Meta(max_length=32)]
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
    model_routed: Text200 = ""
    """The model that was asked of the upstream; empty where it is the one requested."""
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
    overhead_ms: float | None = None
    """Milliseconds that TokenWatch itself took before the request went out; None where none did."""
    source_app: Text200 = ""
    session_id: Text200 = ""
    feature_tag: Text200 = ""
    cache_tier: Text20 = ""
    cache_similarity: float | None = None
    cache_note: Text100 = ""
    """Why the cache did not answer, or was not asked."""
    cache_entry: Text32 = ""
    """Of a hit: the request whose answer was served."""
    saved_cost: Money | None = None
    """What a hit would have cost."""
    routing_saved: SignedMoney | None = None
    """What the requested model would have cost more than the routed one; below 0 where less."""
    routing_rule: Text100 = ""
    ab_test: Text100 = ""
    ab_variant: Text20 = ""
    attempts: Small = 0
    """Upstream connections tried; 0 where nothing was sent."""
    attempt_log: Annotated[str, Meta(max_length=500)] = ""
    """Attempts that failed, in their order: ``upstream:reason``, ``!`` where it was sent."""
    decision: Annotated[str, Meta(max_length=1000)] = ""
    """What was decided and why, as compact JSON; empty where nothing was."""
    holds: list[tuple[int, int]] = []
    """What the request drew from leases of budgets: pairs of a lease's id and its units. No
    column: it is settled in the transaction that writes the row."""
