"""The names of all attributes and metrics that are sent. Pure.

Those that do not begin with ``tokenwatch.`` are OpenTelemetry's semantic conventions: for GenAI,
HTTP and servers. They are written out here, as the hot path may not import the SDK; a test holds
them to the constants of ``opentelemetry-semantic-conventions``.
"""

from dataclasses import dataclass

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no password
ERROR_TYPE = "error.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
METHOD = "http.request.method"
STATUS_CODE = "http.response.status_code"
ROUTE = "http.route"
RESEND_COUNT = "http.request.resend_count"
URL_PATH = "url.path"
URL_SCHEME = "url.scheme"
URL_FULL = "url.full"
OVERFLOW = "otel.metric.overflow"

REQUEST_ID = "tokenwatch.request.id"
API_TYPE = "tokenwatch.api_type"
APP = "tokenwatch.app"
SESSION = "tokenwatch.session"
TAG = "tokenwatch.tag"
REQUESTED_MODEL = "tokenwatch.requested_model"
ROUTED_MODEL = "tokenwatch.routed_model"
ROUTING_RULE = "tokenwatch.routing.rule"
AB_TEST = "tokenwatch.ab.test"
AB_VARIANT = "tokenwatch.ab.variant"
CACHE_TIER = "tokenwatch.cache.tier"
CACHE_SIMILARITY = "tokenwatch.cache.similarity"
UPSTREAM = "tokenwatch.upstream"
ATTEMPTS = "tokenwatch.attempts"
ATTEMPT = "tokenwatch.attempt"
COST = "tokenwatch.cost"
SAVED_COST = "tokenwatch.saved_cost"
ESTIMATED = "tokenwatch.usage.estimated"
OVERHEAD = "tokenwatch.overhead_ms"
REFUSAL = "tokenwatch.budget.refusal"
BREAKER_STATE = "tokenwatch.breaker.state"


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One metric: its name, and the attributes by which it is told apart, in this order.

    Each is itself and no other, so that it is a key that costs nothing.
    """

    name: str
    unit: str
    description: str
    attributes: tuple[str, ...]
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, as the conventions give them; empty for a sum."""


SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = tuple(float(4**power) for power in range(14))

_GEN_AI = (OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, SERVER_PORT)
_OURS = (API_TYPE, UPSTREAM, REQUEST_MODEL, APP, TAG)

TOKEN_USAGE = Instrument(
    "gen_ai.client.token.usage",
    "{token}",
    "Number of input and output tokens used.",
    (*_GEN_AI, TOKEN_TYPE),
    TOKENS,
)
OPERATION_DURATION = Instrument(
    "gen_ai.client.operation.duration",
    "s",
    "GenAI operation duration.",
    (*_GEN_AI, ERROR_TYPE),
    SECONDS,
)
FIRST_CHUNK = Instrument(
    "gen_ai.client.operation.time_to_first_chunk",
    "s",
    "Time to receive the first chunk of a streamed answer.",
    _GEN_AI,
    SECONDS,
)
REQUESTS = Instrument(
    "tokenwatch.requests", "{request}", "Requests that were answered.", (*_OURS, STATUS_CODE)
)
COSTS = Instrument("tokenwatch.cost", "{USD}", "Cost in US dollars, where it is known.", _OURS)
UNPRICED = Instrument(
    "tokenwatch.requests.unpriced", "{request}", "Requests of unknown cost.", _OURS
)
CACHE_HITS = Instrument(
    "tokenwatch.cache.hits",
    "{request}",
    "Requests answered by the cache.",
    (API_TYPE, REQUEST_MODEL, CACHE_TIER),
)
REFUSALS = Instrument(
    "tokenwatch.budget.refusals",
    "{request}",
    "Requests that a budget refused.",
    (API_TYPE, REFUSAL),
)
FAILURES = Instrument(
    "tokenwatch.upstream.failures",
    "{attempt}",
    "Attempts at an upstream that failed.",
    (API_TYPE, UPSTREAM, ERROR_TYPE),
)
BREAKERS = Instrument(
    "tokenwatch.upstream.breaker",
    "1",
    "Whether an upstream's circuit breaker is in this state, as one worker sees it.",
    (API_TYPE, UPSTREAM, BREAKER_STATE),
)
SPOOL = Instrument(
    "tokenwatch.spool.depth", "{row}", "Rows of one worker that wait for the database.", ()
)
DROPPED = Instrument(
    "tokenwatch.telemetry.dropped",
    "{request}",
    "Requests that are in no metric and no trace: the queue was full.",
    (),
)
UNTRACED = Instrument(
    "tokenwatch.telemetry.untraced",
    "{request}",
    "Requests without a trace: there were more than TOKENWATCH_OTEL_TRACES_PER_SECOND.",
    (),
)
BREAKER_STATES = ("closed", "open", "half-open")
COUNTED = (
    TOKEN_USAGE,
    OPERATION_DURATION,
    FIRST_CHUNK,
    REQUESTS,
    COSTS,
    UNPRICED,
    CACHE_HITS,
    REFUSALS,
    FAILURES,
    DROPPED,
    UNTRACED,
)
"""What grows, of one worker since its start."""
GAUGES = (BREAKERS, SPOOL)
"""What is looked up when it is sent."""
