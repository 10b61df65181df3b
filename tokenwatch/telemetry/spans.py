"""Spans of a finished request: one for itself, one for each attempt at an upstream.

They are made whole, after the fact, with the times and ids that the request had. So they are
`ReadableSpan`, what a tracer makes of a span that has ended, and never pass a tracer: that
could neither be given their ids, nor be paid for on a request's path.
"""

from collections.abc import Iterator

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import AttributeValue

from tokenwatch.telemetry import names
from tokenwatch.telemetry.context import Attempt
from tokenwatch.telemetry.conventions import operation, provider, server
from tokenwatch.telemetry.facts import (
    Finished,
    Row,
    broke,
    error_type,
    is_refusal,
    prompt_tokens,
)

NANO = 1_000_000_000
SCOPE = InstrumentationScope("tokenwatch")

Attributes = dict[str, AttributeValue]


class SpanMaker:
    """Makes the spans of one worker's requests."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    def spans(self, finished: Finished) -> Iterator[ReadableSpan]:
        """The server's span, then the client's; none for a request without a trace."""
        journey = finished.journey
        if not journey.sampled:
            return
        state = TraceState.from_header([journey.tracestate.decode("latin-1")])
        own = _context(journey.trace_id, journey.span_id, state, remote=False)
        parent = None
        if journey.parent_id:
            parent = _context(journey.trace_id, journey.parent_id, state, remote=True)
        row = finished.row
        yield ReadableSpan(
            name=f"{row.method} {_route(finished)}".rstrip(),
            context=own,
            parent=parent,
            resource=self._resource,
            attributes=_server(finished),
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR) if broke(row) else Status(StatusCode.UNSET),
            start_time=_moment(finished, finished.started),
            end_time=_moment(finished, finished.ended),
            instrumentation_scope=SCOPE,
        )
        for number, attempt in enumerate(journey.attempts, 1):
            attributes = _client(finished, attempt, number)
            failed = names.ERROR_TYPE in attributes
            yield ReadableSpan(
                name=_client_name(finished, attempt),
                context=_context(journey.trace_id, attempt.span_id, state, remote=False),
                parent=own,
                resource=self._resource,
                attributes=attributes,
                kind=SpanKind.CLIENT,
                status=Status(StatusCode.ERROR) if failed else Status(StatusCode.UNSET),
                start_time=_moment(finished, attempt.began),
                end_time=_moment(finished, attempt.ended or finished.ended),
                instrumentation_scope=SCOPE,
            )


def _context(trace_id: int, span_id: int, state: TraceState, *, remote: bool) -> SpanContext:
    return SpanContext(trace_id, span_id, remote, TraceFlags(TraceFlags.SAMPLED), state)


def _moment(finished: Finished, monotonic: float) -> int:
    """Nanoseconds since the epoch."""
    return int((finished.row.created_at + monotonic - finished.started) * NANO)


def _route(finished: Finished) -> str:
    """A path that names an endpoint; one that holds the id of something is cut to its prefix."""
    row = finished.row
    known = finished.kind != "other" and not any(sign.isdigit() for sign in row.endpoint[3:])
    return f"/{row.api_type}/{row.endpoint if known else '{path}'}"


def _client_name(finished: Finished, attempt: Attempt) -> str:
    name = operation(finished.kind)
    return f"{name} {attempt.model}".rstrip() if name else finished.row.method


def _server(finished: Finished) -> Attributes:
    """What was asked of TokenWatch, and what it decided."""
    row = finished.row
    attributes: Attributes = {
        names.METHOD: row.method,
        names.ROUTE: _route(finished),
        names.URL_PATH: f"/{row.api_type}/{row.endpoint}",
        names.URL_SCHEME: "http",
        names.STATUS_CODE: row.status_code,
        names.REQUEST_ID: row.request_id,
        names.API_TYPE: row.api_type,
        names.ATTEMPTS: row.attempts,
        names.ESTIMATED: row.usage_estimated,
    }
    texts = (
        (names.ERROR_TYPE, error_type(row)),
        (names.APP, row.source_app),
        (names.SESSION, row.session_id),
        (names.TAG, row.feature_tag),
        (names.REQUESTED_MODEL, row.model_requested),
        (names.ROUTED_MODEL, row.model_routed),
        (names.ROUTING_RULE, row.routing_rule),
        (names.AB_TEST, row.ab_test),
        (names.AB_VARIANT, row.ab_variant),
        (names.CACHE_TIER, row.cache_tier),
        (names.UPSTREAM, row.upstream),
        (names.REFUSAL, row.error_type if is_refusal(row) else ""),
    )
    attributes.update((name, text) for name, text in texts if text)
    numbers = (
        (names.COST, _dollars(row.cost)),
        (names.SAVED_COST, _dollars(row.saved_cost)),
        (names.CACHE_SIMILARITY, row.cache_similarity),
        (names.OVERHEAD, row.overhead_ms),
    )
    attributes.update((name, number) for name, number in numbers if number is not None)
    return attributes


def _dollars(amount: str | None) -> float | None:
    return None if amount is None else float(amount)


def _client(finished: Finished, attempt: Attempt, number: int) -> Attributes:
    """What was asked of one upstream, and what came of it."""
    row = finished.row
    answered = not attempt.reason
    address, port = server(attempt.base_url)
    attributes: Attributes = {
        names.METHOD: row.method,
        names.SERVER_ADDRESS: address,
        names.SERVER_PORT: port,
        names.UPSTREAM: attempt.upstream,
        names.ATTEMPT: number,
    }
    if number > 1:
        attributes[names.RESEND_COUNT] = number - 1
    if status := finished.upstream_status if answered else attempt.status:
        attributes[names.STATUS_CODE] = status
    if problem := attempt.reason or error_type(row):
        attributes[names.ERROR_TYPE] = problem
    if name := operation(finished.kind):
        attributes[names.OPERATION] = name
        attributes[names.PROVIDER] = provider(row.api_type, attempt.base_url)
        attributes[names.REQUEST_STREAM] = row.stream
        if attempt.model:
            attributes[names.REQUEST_MODEL] = attempt.model
        if answered:
            _answer(attributes, finished, row, attempt)
    else:  # a request like any other
        attributes[names.URL_FULL] = f"{attempt.base_url}/{row.endpoint}"
    return attributes


def _answer(attributes: Attributes, finished: Finished, row: Row, attempt: Attempt) -> None:
    """What the answer said of itself. The conventions' tokens include those of caches."""
    if row.status_code < 400 and row.model_used:
        attributes[names.RESPONSE_MODEL] = row.model_used
    if row.finish_reason:
        attributes[names.FINISH_REASONS] = (row.finish_reason,)
    if row.stream and finished.first_byte is not None:
        attributes[names.TIME_TO_FIRST_CHUNK] = finished.first_byte - attempt.began
    counts = (
        (names.INPUT_TOKENS, prompt_tokens(row)),
        (names.OUTPUT_TOKENS, row.output_tokens),
        (names.CACHE_READ_TOKENS, row.cache_read_tokens),
        (names.CACHE_CREATION_TOKENS, row.cache_write_tokens + row.cache_write_1h_tokens),
        (names.REASONING_TOKENS, row.reasoning_tokens),
    )
    attributes.update((name, count) for name, count in counts if count)
    attributes[names.ESTIMATED] = row.usage_estimated
