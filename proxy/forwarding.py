"""The request on its way through its targets, until one answers.

The next is tried as long as not a byte has gone to the client: where there was no answer, or
one that says "not here, not now". The last one's own error is what the client gets. An answer's
head is held until its first body byte; that of a stream, where there is another target, until
its first event that says something. The request's body goes out whole to each; an upload that
is streamed through can go to another only while nothing of it was taken.

How it fails: whatever ends an attempt closes its connection and tells the upstream's breaker.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence

import orjson

from proxy import headers as fields
from proxy.bodies import asking_for_usage, with_model
from proxy.call import Call
from proxy.client import Client, ClientGone
from proxy.decoding import Undecodable, decoder_for
from proxy.finish import Ending
from proxy.services import Services
from proxy.sse import EventSplitter, data_of
from tokenwatch.conf import Config
from upstreams.asked import Body
from upstreams.candidates import Candidate, Target
from upstreams.dialects.credentials import query_without_key, replaced
from upstreams.dialects.errors import failing_status
from upstreams.errors import UpstreamError
from upstreams.failures import Failure, of_error, of_status, of_stream_error
from upstreams.transport import Exchange

AskAgain = Callable[[Call, Target, Services, Ending], Awaitable[bool]]
"""Whether the request's budgets allow it to go to this target instead."""

HEAD_HELD_BYTES = 64 * 1024
HEAD_HELD_SECONDS = 15.0
"""How long a stream's head waits for its first event while comments and pings come: clients
have timeouts of their own."""


async def forward(
    call: Call,
    targets: Sequence[Target],
    client: Client,
    services: Services,
    ending: Ending,
    ask_again: AskAgain,
) -> Exchange:
    """Send the request to the first target that answers; the answer, its first bytes read.

    Raises:
        UpstreamError: the last one that was tried gave no answer.
    """
    client.watch(body_read=not call.streams_body)
    if client.is_abandoned:  # it left while its body was read: the provider need not hear of it
        forget_cancellation()
        raise ClientGone
    config, health = services.config, services.health
    began = now = time.monotonic()
    target, rest = targets[0], list(targets[1:]) if len(targets) > 1 else []
    seconds, whole_time = target.candidate.overall_timeout or config.overall_timeout, True
    while True:
        breaker = health.of(target.candidate)
        probe = breaker.begin(now)
        hold = bool(rest) and ending.attempts + 1 < config.max_attempts
        exchange: Exchange | None = None
        error: UpstreamError | None = None
        try:
            url, headers, body = _prepared(call, target, client, config, ending)
            exchange = await services.transport.send(
                call.method,
                url,
                headers,
                body,
                connect_timeout=target.candidate.connect_timeout,
                overall_timeout=seconds,
            )
            ending.upstream_status = exchange.status
            if exchange.status < 400 and not hold:  # nearly all
                exchange.first = await exchange.chunk()
                ending.first_byte = time.monotonic()
                failure = None
            else:
                failure = await _first_bytes(exchange, services, ending, hold=hold)
        except UpstreamError as exc:
            error = exc
            ending.sent = exc.sent
            whole_time = whole_time and not call.streams_body
            failure = of_error(
                exc, on_read_timeout=config.failover_on_read_timeout, whole_time=whole_time
            )
        except BaseException:
            if exchange is not None:
                exchange.close()
            breaker.abandoned(probe=probe)
            raise
        if failure is None:
            if breaker.succeeded(now, probe=probe):
                health.closed(target.candidate, breaker, now)
            assert exchange is not None
            return exchange
        failed_at = time.monotonic()
        health.failed(target.candidate, failure, failed_at, probe=probe)
        try:
            _log(ending, target.candidate, failure)
            if ending.journey is not None:
                ending.journey.failed(failure.reason, ending.upstream_status, failed_at)
            following = None
            if failure.fails_over and not client.upload_begun:
                if failure.unreachable:  # nor would it be for another model
                    rest = [one for one in rest if one.candidate is not target.candidate]
                following = await _following(
                    call, rest, services, ending, failed_at - began, ask_again
                )
            if following is None:
                if error is not None:
                    raise error
                assert exchange is not None
                if ending.first_byte is None:
                    await _read_first(exchange, ending)
                kept, exchange = exchange, None
                return kept
        finally:
            if exchange is not None:
                exchange.close()
        call.waited += failed_at - now
        now = time.monotonic()
        target = following
        seconds, whole_time = _time_for(target.candidate, config, now - began)


async def _following(
    call: Call,
    rest: list[Target],
    services: Services,
    ending: Ending,
    elapsed: float,
    ask_again: AskAgain,
) -> Target | None:
    """Take the next target that there is time, an attempt and money for; None if there is none.

    Breakers may have opened since the targets were put in order.
    """
    config = services.config
    if ending.attempts >= config.max_attempts:
        return None
    while rest:
        waiting = services.health.waiting([one.candidate for one in rest], time.monotonic())
        target = next((one for one in rest if one.candidate.key not in waiting), rest[0])
        rest.remove(target)
        if _time_for(target.candidate, config, elapsed)[0] <= 0:
            continue
        if await ask_again(call, target, services, ending):
            return target
    return None


def _time_for(candidate: Candidate, config: Config, elapsed: float) -> tuple[float, bool]:
    """Seconds that an attempt may take, and whether that is all that this upstream gets.

    The request as a whole may take the overall timeout, or that of an upstream that gets more.
    """
    own = candidate.overall_timeout or config.overall_timeout
    left = max(own, config.overall_timeout) - elapsed
    return (own, True) if own <= left else (left, False)


def _prepared(
    call: Call, target: Target, client: Client, config: Config, ending: Ending
) -> tuple[str, fields.Pairs, Body]:
    """URL, headers and body for one target; the attempt is counted as sent from here on."""
    candidate, model = target
    ending.candidate, ending.model = candidate, model
    ending.attempts += 1
    ending.upstream_status, ending.first_byte = 0, None
    headers = fields.for_upstream(call.headers, keep_length=call.streams_body)
    query = call.query
    if candidate.credential or not candidate.forwards_credential:
        headers = replaced(headers, call.api_type, candidate.credential)
        query = query_without_key(query)
    body = _body(call, target)
    if asks_usage := _usage_request(call, body, config):
        # The chunk that is taken out again must be readable.
        headers = fields.replace(headers, b"accept-encoding", b"identity")
        body = asks_usage
        call.usage_added = True
    url = f"{candidate.base_url}/{call.path}" + (f"?{query}" if query else "")
    ending.sent = True
    now = time.monotonic()
    ending.overhead = now - call.started - call.waited
    if ending.journey is not None:
        headers = ending.journey.begin(headers, candidate.name, candidate.base_url, model, now)
    return url, headers, client.upload() if call.streams_body else body or None


def _body(call: Call, target: Target) -> bytes | None:
    """The body, with the model as it is called there where that is not what the client wrote."""
    candidate, name = target
    if candidate.models:
        name = candidate.spelling(name)
    if name == call.model or call.body is None or call.data is None:
        return call.body
    return with_model(call.body, call.data, name)


def _usage_request(call: Call, body: bytes | None, config: Config) -> bytes | None:
    """The body with usage asked for, where a stream would otherwise not carry any."""
    if not (call.stream and call.endpoint.asks_usage and config.inject_usage):
        return None
    assert body is not None
    assert call.data is not None
    return asking_for_usage(body, call.data)


async def _first_bytes(
    exchange: Exchange, services: Services, ending: Ending, *, hold: bool
) -> Failure | None:
    """Read the answer as far as it takes to know that it is one; why it is none.

    Raises:
        UpstreamError: it breaks off before that.
    """
    status = exchange.status
    assert ending.candidate is not None
    failure = None
    if status >= 400:
        failure = of_status(
            status,
            exchange.headers,
            own_credential=ending.candidate.credential != "",
            at=time.time(),
            cool_downs=services.health.cool_downs,
        )
        if failure is not None and hold:
            return failure  # its body is for nobody, unless this was the last
    first_byte = await _read_first(exchange, ending)
    if hold and status == 200 and services.config.failover_on_stream_error:
        return await _stream_failure(exchange, first_byte + HEAD_HELD_SECONDS)
    return failure


async def _read_first(exchange: Exchange, ending: Ending) -> float:
    exchange.first = await exchange.chunk()
    ending.first_byte = now = time.monotonic()
    return now


async def _stream_failure(exchange: Exchange, deadline: float) -> Failure | None:
    """Whether a stream begins with an error; reads it up to its first event."""
    content_type = fields.first(exchange.headers, b"content-type")
    if not content_type.lower().startswith(b"text/event-stream"):
        return None
    encoding = fields.first(exchange.headers, b"content-encoding")
    try:
        decoder = decoder_for(encoding) if encoding else None
    except Undecodable:
        return None
    splitter = EventSplitter()
    parts: list[bytes] = []
    size = 0
    chunk = exchange.first
    while chunk:
        parts.append(chunk)
        size += len(chunk)
        try:
            events = splitter.feed(decoder.feed(chunk) if decoder else chunk)
        except Undecodable:
            break
        told = next((data for event in events if (data := _says(event))), b"")
        if told:
            exchange.first = b"".join(parts)
            status = _status_of(told)
            return of_stream_error(status) if status else None
        if size > HEAD_HELD_BYTES or time.monotonic() > deadline:
            break
        chunk = await exchange.chunk()
    exchange.first = b"".join(parts)
    status = _status_of(data_of(splitter.rest()))  # a last event without its blank line
    return of_stream_error(status) if status and not chunk else None


def _says(event: bytes) -> bytes:
    """The data of an event; empty for comments and pings."""
    data = data_of(event)
    return b"" if data == b"{}" or _PING.fullmatch(data) else data


_PING = re.compile(rb'\{\s*"type"\s*:\s*"ping"[^{}]*\}')


def _status_of(data: bytes) -> int:
    if b"error" not in data:
        return 0
    try:
        obj = orjson.loads(data)
    except orjson.JSONDecodeError:
        return 0
    return failing_status(obj) if isinstance(obj, dict) else 0


def _log(ending: Ending, candidate: Candidate, failure: Failure) -> None:
    name = "_".join(candidate.name.split())
    ending.attempt_log = f"{ending.attempt_log} {name}:{failure.reason}".lstrip()


def forget_cancellation() -> None:
    """The cancellation was ours, for the client's leaving: it ends here."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
