"""What an exchange used: from the provider's own count where there is one, else estimated.

Pure. The order of trust: a final count is taken as it is; a count that a broken answer left
unfinished keeps its input and gets its output estimated; without any count both sides are
estimated from the bodies. What is not known to be billed by tokens is never estimated.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from budgets.estimate import Habits
from budgets.scopes import PER_DOLLAR
from budgets.settlement import unpriced_units
from proxy.call import Call
from proxy.tap import Tap
from tokenwatch.tokens import TokenUsage
from upstreams.candidates import Target
from upstreams.dialects.estimate import prompt_tokens
from usage.pricebook import PriceBook

NOTHING = TokenUsage()


@dataclass(frozen=True, slots=True)
class Measured:
    """``usage`` None: something may have been billed, and nobody said how much."""

    usage: TokenUsage | None
    estimated: bool = False


FREE = Measured(NOTHING)
UNKNOWN = Measured(None)


def measure(call: Call, tap: Tap | None, upstream_status: int, *, sent: bool) -> Measured:
    """The usage of one request.

    ``upstream_status`` is 0 where no head of an answer came; ``sent`` tells whether the
    provider can have got the request at all.
    """
    endpoint = call.endpoint
    if not sent or upstream_status >= 400 or endpoint.billing == "free":
        return FREE
    if tap is not None:
        answer = tap.answer
        usage = call.dialect.token_usage(endpoint, answer)
        if usage is not None:
            if answer.complete or answer.finish_reason:
                return Measured(usage)
            output = max(usage.output, tap.estimated_output())
            return Measured(replace(usage, output=output), estimated=True)
    if endpoint.billing == "tokens":
        return Measured(_estimate(call, tap), estimated=True)
    if endpoint.kind == "speech" and call.data is not None:
        spoken = call.data.get("input")
        if isinstance(spoken, str):
            return Measured(TokenUsage(characters=len(spoken)))
    return UNKNOWN


def _estimate(call: Call, tap: Tap | None) -> TokenUsage:
    read = prompt_tokens(call.dialect, call.data) if call.data is not None else 0
    written = 0
    if tap is not None and call.endpoint.kind != "embeddings":
        written = tap.estimated_output()
    return TokenUsage(input=read, output=written)


def expected_cost(
    call: Call, target: Target, usage: TokenUsage, habits: Habits, prices: PriceBook
) -> int:
    """Units of a dollar that a request may cost before it is sent; 0 where nobody can say."""
    if call.endpoint.billing == "free":
        return 0
    if usage != NOTHING:
        cost = prices.cost(
            target.model,
            usage,
            api_type=call.api_type,
            base_url=target.candidate.base_url,
            at=call.arrived,
        )
        return unpriced_units() if cost is None else int(cost * PER_DOLLAR)
    return habits.cost(call.endpoint.kind, target.model) or 0
