"""What one finished request adds to the metrics. Pure."""

from tokenwatch.telemetry import names
from tokenwatch.telemetry.conventions import operation, provider, server
from tokenwatch.telemetry.facts import Finished, Row, error_type, is_refusal, prompt_tokens
from tokenwatch.telemetry.sums import Sums


def count(sums: Sums, finished: Finished) -> None:
    """Add one request."""
    row = finished.row
    ours = (row.api_type, row.upstream, row.model_requested, row.source_app, row.feature_tag)
    sums.add(names.REQUESTS, (*ours, row.status_code))
    if row.cost is None:
        sums.add(names.UNPRICED, ours)
    elif (cost := float(row.cost)) > 0:
        sums.add(names.COSTS, ours, cost)
    if row.cache_tier:
        sums.add(names.CACHE_HITS, (row.api_type, row.model_requested, row.cache_tier))
    if is_refusal(row):
        sums.add(names.REFUSALS, (row.api_type, row.error_type))
    for attempt in finished.journey.attempts:
        if attempt.reason:
            sums.add(names.FAILURES, (row.api_type, attempt.upstream, attempt.reason))
    if finished.journey.attempts and (name := operation(finished.kind)):
        _operation(sums, finished, row, name)


def _operation(sums: Sums, finished: Finished, row: Row, name: str) -> None:
    """The operation as a whole, its attempts together, as the conventions have it."""
    attempts = finished.journey.attempts
    last = attempts[-1]
    address, port = server(last.base_url)
    gen_ai = (
        name,
        provider(row.api_type, last.base_url),
        last.model,
        row.model_used,
        address,
        port,
    )
    began = attempts[0].began
    sums.record(names.OPERATION_DURATION, (*gen_ai, error_type(row)), finished.ended - began)
    if row.stream and finished.first_byte is not None:
        sums.record(names.FIRST_CHUNK, gen_ai, finished.first_byte - began)
    if row.usage_estimated:
        return  # the conventions forbid to report what was not counted
    if tokens := prompt_tokens(row):
        sums.record(names.TOKEN_USAGE, (*gen_ai, "input"), tokens)
    if row.output_tokens:
        sums.record(names.TOKEN_USAGE, (*gen_ai, "output"), row.output_tokens)
