"""The answer on its way to the client, chunk by chunk, or an error of our own.

Streams and everything unread pass as they come. A JSON answer that is not streamed is held
until it is whole, because its cost stands in the head; one that is long, or that trickles,
is let go before. Either way the row is recorded before the last byte goes out.
"""

import time

from proxy import headers as fields
from proxy.call import Call
from proxy.client import Client
from proxy.decoding import Undecodable
from proxy.finish import Ending
from proxy.tap import JsonTap, Tap, tap_for
from upstreams.dialects.base import JSON
from upstreams.errors import BrokenBody
from upstreams.failures import of_error
from upstreams.transport import Exchange
from usage.rows import UsageRow

HELD_BYTES = 1024 * 1024
HELD_SECONDS = 1.0
"""A JSON answer is held for its cost headers up to so many bytes, and so long after its first
byte: some providers send white space for minutes to keep the connection open."""

Pairs = list[tuple[bytes, bytes]]


async def relay(call: Call, exchange: Exchange, client: Client, ending: Ending) -> None:
    """Send the upstream's answer to the client, from what was read of its body already.

    Raises:
        UpstreamError: it broke off while nothing had been sent. Once the head is out, a broken
            answer is left incomplete, which breaks the client's connection too.
    """
    storing = ending.services.prompts is not None or client.copy is not None
    tap = ending.tap = _tap(call, exchange, storing=storing)
    chunk = exchange.first
    answer = _Relay(call, exchange, client, ending, tap)
    try:
        if isinstance(tap, JsonTap):
            await answer.held(chunk)
        else:
            await answer.head()
            await answer.rest(chunk)
    except (BrokenBody, Undecodable) as exc:
        ending.error_type = BrokenBody.code
        if isinstance(exc, BrokenBody) and ending.candidate is not None:
            failure = of_error(exc, on_read_timeout=False, whole_time=True)
            health = ending.services.health
            health.failed(ending.candidate, failure, time.monotonic(), probe=False)
        if not client.started:
            raise BrokenBody(str(exc)) from exc


def _tap(call: Call, exchange: Exchange, *, storing: bool) -> Tap:
    headers = exchange.headers
    return tap_for(
        call.dialect,
        fields.first(headers, b"content-type"),
        fields.first(headers, b"content-encoding"),
        accounted=call.endpoint.billing != "free" or exchange.status >= 400,
        remove_usage=call.usage_added,
        storing=storing,
    )


class _Relay:
    """One answer being relayed."""

    def __init__(
        self, call: Call, exchange: Exchange, client: Client, ending: Ending, tap: Tap
    ) -> None:
        self.call = call
        self.exchange = exchange
        self.client = client
        self.ending = ending
        self.tap = tap
        self.left = _length(exchange) if not tap.rewrites else -1
        """Bytes still to come where the upstream announced them; negative where not."""

    async def head(self) -> None:
        """Send the head."""
        self.ending.status = self.exchange.status
        await self.client.start(self.exchange.status, self._headers(our_headers(self.ending)))

    def _headers(self, ours: Pairs) -> Pairs:
        return fields.for_client(
            self.exchange.headers,
            ours,
            status=self.exchange.status,
            rewritten=self.tap.rewrites,
        )

    async def held(self, chunk: bytes) -> None:
        """Hold a JSON answer until it is whole, then send head and body at once."""
        chunks: list[bytes] = []
        size = 0
        assert self.ending.first_byte is not None
        deadline = self.ending.first_byte + HELD_SECONDS
        while chunk:
            size += len(chunk)
            if size > HELD_BYTES or time.monotonic() > deadline:
                await self.head()
                for held in chunks:
                    await self.client.write(held)
                return await self.rest(chunk)
            chunks.append(self._feed(chunk))
            if self.left == 0:
                break
            chunk = await self.exchange.chunk()
        self.tap.end()
        self.ending.status = self.exchange.status
        row = self.ending.finish()
        headers = self._headers(our_headers(self.ending) + cost_headers(row))
        return await self.client.answer(self.exchange.status, headers, b"".join(chunks))

    async def rest(self, chunk: bytes) -> None:
        """Send on what comes as it comes."""
        client, ending, tap = self.client, self.ending, self.tap
        last = b""
        while chunk:
            out = self._feed(chunk)
            if self.left == 0:
                last = out
                break
            if tap.answer.complete:
                ending.finish()  # before the client can see the end
            if out:
                await client.write(out)
            chunk = await self.exchange.chunk()
        last += tap.end()
        ending.finish()
        await client.finish(last)

    def _feed(self, chunk: bytes) -> bytes:
        self.left -= len(chunk)
        return self.tap.feed(chunk)


async def refuse(
    ending: Ending,
    client: Client,
    status: int,
    code: str,
    message: str,
    *,
    details: JSON | None = None,
    headers: Pairs | None = None,
) -> None:
    """Answer with an error in the provider's shape; where an answer has begun, break it off."""
    ending.error_type = ending.error_type or code
    if client.started:
        return
    ending.status = status
    ending.finish()
    body = ending.call.dialect.error_body(status, message, code, details)
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *(headers or []),
        *our_headers(ending),
    ]
    await client.answer(status, head, body)


def our_headers(ending: Ending) -> Pairs:
    """What TokenWatch says of a request beside the answer."""
    pairs = [
        (b"x-tokenwatch-request-id", ending.call.request_id.encode()),
        (b"x-tokenwatch-cache", ending.cache_status),
        (b"x-tokenwatch-attempts", str(ending.attempts).encode()),
    ]
    if ending.cache_tier:
        pairs.append((b"x-tokenwatch-cache-tier", ending.cache_tier.encode()))
        if ending.cache_similarity is not None:
            similarity = f"{ending.cache_similarity:.4f}"
            pairs.append((b"x-tokenwatch-cache-similarity", similarity.encode()))
    if ending.candidate is not None:
        pairs.append((b"x-tokenwatch-upstream", _header_text(ending.candidate.name)))
    if ending.model != ending.call.model:
        pairs.append((b"x-tokenwatch-requested-model", _header_text(ending.call.model)))
        pairs.append((b"x-tokenwatch-routed-model", _header_text(ending.model)))
    if (decision := ending.decision) is not None:
        if decision.rule is not None:
            pairs.append((b"x-tokenwatch-routing-rule", _header_text(decision.rule.rule_name)))
        if decision.assignment is not None:
            pairs.append((b"x-tokenwatch-ab-test", _header_text(decision.assignment.test)))
            pairs.append((b"x-tokenwatch-ab-variant", decision.assignment.variant.encode()))
    if ending.notices:
        pairs.extend(ending.notices)
    return pairs


def _header_text(value: str) -> bytes:
    return value.encode("ascii", "replace")


def cost_headers(row: UsageRow) -> Pairs:
    """What the request took, where the row is there before the head goes out."""
    pairs = [
        (b"x-tokenwatch-input-tokens", str(row.input_tokens).encode()),
        (b"x-tokenwatch-output-tokens", str(row.output_tokens).encode()),
    ]
    if row.cost is not None:
        pairs.append((b"x-tokenwatch-cost", row.cost.encode()))
    return pairs


def _length(exchange: Exchange) -> int:
    value = fields.first(exchange.headers, b"content-length")
    return int(value) if value.isdigit() else -1
