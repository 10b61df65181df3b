"""The JSON API's shapes: what OpenAPI says is what is sent.

Money is a decimal number of US dollars as a string; durations are milliseconds; times are
ISO 8601 in UTC. A cost that is not known is null, never 0.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from ninja import Field, Schema

Range = Literal["1h", "24h", "today", "7d", "30d", "all"]


class ViewQuery(Schema):
    """Which requests. ``(none)`` as a name asks for those that named none."""

    range: Range | None = Field(None, description="Default 24h; not used with from and to.")
    first: str | None = Field(None, alias="from", description="ISO 8601; begins a free range.")
    last: str | None = Field(None, alias="to", description="ISO 8601; default now.")
    zone: str | None = Field(None, description="Where days begin, e.g. Europe/Berlin. Default UTC.")
    model: str | None = Field(None, max_length=200)
    app: str | None = Field(None, max_length=200)
    tag: str | None = Field(None, max_length=200)


class ListQuery(ViewQuery):
    """Further filters that only lists of requests know."""

    session: str | None = Field(None, max_length=200)
    status: Literal["ok", "error", "4xx", "5xx"] | None = None
    cache: Literal["hit", "miss"] | None = None
    cost: Literal["unknown", "estimated"] | None = None
    limit: int = Field(50, ge=1, le=500)
    before: str | None = Field(None, description="The cursor `next` of the page before.")


class Sums(Schema):
    requests: int
    errors: int
    unpriced: int = Field(description="Requests of unknown cost; no sum of money has them.")
    estimated: int
    cache_hits: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    tokens: int
    cost: Decimal | None = Field(alias="known_cost", description="US dollars; null if unknown.")
    saved_cost: Decimal
    routing_saved: Decimal


class Percentiles(Schema):
    p50: float | None
    p95: float | None


class Stats(Schema):
    start: datetime | None
    end: datetime
    total: Sums
    before: Sums | None = Field(description="The period before, as long; null for all.")
    latency_ms: Percentiles
    overhead_ms: Percentiles = Field(description="What TokenWatch added, over all requests.")


class Slice(Schema):
    start: datetime
    requests: int
    errors: int
    tokens: int
    cost: Decimal


class SeriesLine(Schema):
    name: str | None = Field(description="Null: requests that named none, or the others.")
    other: bool = Field(description="All names beyond the first ones.")
    slices: list[Slice]


class Timeseries(Schema):
    start: datetime
    end: datetime
    zone: str
    by: str
    lines: list[SeriesLine]


class CostRow(Schema):
    name: str | None = Field(description="Null: requests that named none.")
    requests: int
    unpriced: int
    tokens: int
    cost: Decimal | None
    saved_cost: Decimal
    share: float | None


class CostTable(Schema):
    start: datetime | None
    end: datetime
    since: datetime | None = Field(
        None, description="Set where only the newest requests were looked at (sessions)."
    )
    total: Sums
    rows: list[CostRow]


class ForecastDay(Schema):
    day: date
    expected: float
    low: float
    high: float


class MonthEnd(Schema):
    spent: float
    expected: float
    low: float
    high: float


class ForecastOut(Schema):
    method: str
    weekly: bool
    history: int = Field(description="Whole days that it rests on.")
    month: MonthEnd
    days: list[ForecastDay]


class BudgetOut(Schema):
    id: int
    name: str
    scope: str
    pattern: str
    unit: str
    period: str
    action: str
    state: str
    limit: float
    spent: float
    reserved: float
    share: float
    resets_at: datetime | None
    used_up: date | None
    earliest: date | None


class RequestOut(Schema):
    request_id: str
    created_at: datetime
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
    cost: Decimal | None
    latency_ms: int
    ttft_ms: int | None
    overhead_ms: float | None
    source_app: str
    session_id: str
    feature_tag: str
    cache_tier: str
    cache_similarity: float | None
    saved_cost: Decimal | None
    routing_rule: str
    routing_saved: Decimal | None
    ab_test: str
    ab_variant: str
    attempts: int


class RequestPage(Schema):
    rows: list[RequestOut]
    next: str | None = Field(description="The cursor of the next page; null at the end.")
    searched_to: datetime | None = Field(
        description="Set where the search ended before the page was full: go on with `next`."
    )


class PriceLineOut(Schema):
    name: str
    quantity: str
    rate: str
    amount: Decimal


class AttemptOut(Schema):
    upstream: str
    outcome: str
    sent: bool


class Explanation(Schema):
    request: RequestOut
    price_source: str
    lines: list[PriceLineOut]
    attempts: list[AttemptOut]
    decision: dict[str, str]


class UpstreamOut(Schema):
    name: str
    api_type: str
    base_url: str
    priority: int
    enabled: bool
    state: str = Field(description="closed (well), open, half-open, or problem.")
    error: str
    until: datetime | None


class RuleOut(Schema):
    rule: str
    requests: int
    cost: Decimal
    saved: Decimal = Field(description="Against the models asked for; below 0 where dearer.")


class RoutingStats(Schema):
    start: datetime | None
    end: datetime
    since: datetime | None = Field(description="Set where only newer requests were looked at.")
    rows: list[RuleOut]


class CacheStats(Schema):
    start: datetime | None
    end: datetime
    requests: int
    hits: int
    hit_rate: float | None
    saved_cost: Decimal


class ABTestOut(Schema):
    name: str
    status: str
    model_a: str
    model_b: str
    share_a: float = Field(description="Of the sessions, 0 to 1.")
    requests_a: int
    requests_b: int
    created_at: datetime


class FeedbackIn(Schema):
    request_id: str = Field(max_length=64)
    rating: float = Field(ge=-100, le=100)
    labels: list[str] = Field([], max_length=10)


class FeedbackOut(Schema):
    request_id: str
    test: str = Field(description="Empty where the answer was in no test, or is not stored yet.")
    variant: str
    pending: bool
    replaced: bool


class ReplayOut(Schema):
    id: int
    source_model: str
    target_model: str
    state: str
    note: str
    done: int
    prompts: int
    created_at: datetime
    finished_at: datetime | None


class Problem(Schema):
    detail: str
