"""The request on its way through its targets, until one answers.

The next is tried as long as not a byte has gone to the client: where there was no answer, or
one that says "not here, not now". The last one's own error is what the client gets. An answer's
head is held until its first body byte; that of a stream, where there is another target, until
its first event that says something. The request's body goes out whole to each; an upload that
is streamed through can go to another only while nothing of it was taken.

How it fails: whatever ends an attempt closes its connection and tells the upstream's breaker.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from proxy import headers as fields
from proxy.bodies import asking_for_usage, with_model
from proxy.call import Call
from proxy.client import Client, ClientGone
from proxy.finish import Ending
from proxy.heads import first_bytes, read_first
from proxy.services import Services
from tokenwatch.conf import Config
from upstreams.asked import Body
from upstreams.candidates import Candidate, Target
from upstreams.dialects.credentials import query_without_key, replaced
from upstreams.errors import UpstreamError
from upstreams.failures import Failure, of_error
from upstreams.transport import Exchange

AskAgain = Callable[[Call, Target, Services, Ending], Awaitable[bool]]
"""Whether the request's budgets allow it to go to this target instead."""


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
    began = time.monotonic()
    way = _Way(call, client, services, ending, began, list(targets[1:]), ask_again)
    target = targets[0]
    seconds = target.candidate.overall_timeout or services.config.overall_timeout
    attempt = _Attempt(way, target, began, seconds, whole_time=True)
    while (failure := await attempt.made()) is not None:
        following = await attempt.followed_up(failure)
        if following is None:
            return await attempt.last()
        attempt = following
    return attempt.answered()


@dataclass(slots=True)
class _Way:
    """One request on its way: what all of its attempts have in common."""

    call: Call
    client: Client
    services: Services
    ending: Ending
    began: float
    rest: list[Target]
    """Those that have not been tried."""
    ask_again: AskAgain


class _Attempt:
    """The request at one target."""

    __slots__ = ("_began", "_error", "_exchange", "_probe", "_seconds", "_target", "_way", "_whole")

    def __init__(
        self, way: _Way, target: Target, began: float, seconds: float, *, whole_time: bool
    ) -> None:
        """``seconds``: how long it may take; ``whole_time``: that is all that the upstream gets."""
        self._way = way
        self._target = target
        self._began = began
        self._seconds = seconds
        self._whole = whole_time
        self._probe = False
        self._exchange: Exchange | None = None
        self._error: UpstreamError | None = None

    async def made(self) -> Failure | None:
        """Send the request and read the answer's first bytes; why it is none.

        The connection stays open where there is an answer, though a failed one.
        """
        services, candidate = self._way.services, self._target.candidate
        breaker = services.health.of(candidate)
        self._probe = breaker.begin(self._began)
        try:
            failure = await self._sent()
        except UpstreamError as exc:
            failure = self._failed(exc)
        except BaseException:
            self._close()
            breaker.abandoned(probe=self._probe)
            raise
        if failure is None and breaker.succeeded(self._began, probe=self._probe):
            services.health.closed(candidate, breaker, self._began)
        return failure

    async def _sent(self) -> Failure | None:
        way, target = self._way, self._target
        config, ending = way.services.config, way.ending
        hold = bool(way.rest) and ending.attempts + 1 < config.max_attempts
        url, headers, body = _prepared(way.call, target, way.client, config, ending)
        self._exchange = exchange = await way.services.transport.send(
            way.call.method,
            url,
            headers,
            body,
            connect_timeout=target.candidate.connect_timeout,
            overall_timeout=self._seconds,
        )
        ending.upstream_status = exchange.status
        if exchange.status < 400 and not hold:  # nearly all
            exchange.first = await exchange.chunk()
            ending.first_byte = time.monotonic()
            return None
        return await first_bytes(exchange, way.services, ending, hold=hold)

    def _failed(self, exc: UpstreamError) -> Failure:
        way = self._way
        self._error = exc
        way.ending.sent = exc.sent
        return of_error(
            exc,
            on_read_timeout=way.services.config.failover_on_read_timeout,
            whole_time=self._whole and not way.call.streams_body,
        )

    async def followed_up(self, failure: Failure) -> "_Attempt | None":
        """What comes after this attempt, whose connection is then closed; None if nothing does."""
        way, candidate = self._way, self._target.candidate
        failed_at = time.monotonic()
        way.services.health.failed(candidate, failure, failed_at, probe=self._probe)
        _log(way.ending, candidate, failure)
        if way.ending.journey is not None:
            way.ending.journey.failed(failure.reason, way.ending.upstream_status, failed_at)
        target = None
        if failure.fails_over and not way.client.upload_begun:
            if failure.unreachable:  # nor would it be for another model
                way.rest = [one for one in way.rest if one.candidate is not candidate]
            try:
                target = await _following(way, failed_at - way.began)
            except BaseException:
                self._close()
                raise
        if target is None:
            return None
        self._close()
        way.call.waited += failed_at - self._began
        now = time.monotonic()
        seconds, whole = _time_for(target.candidate, way.services.config, now - way.began)
        return _Attempt(way, target, now, seconds, whole_time=whole)

    async def last(self) -> Exchange:
        """The failed answer of the last attempt, as the client gets it.

        Raises:
            UpstreamError: there was none.
        """
        if self._error is not None:
            self._close()
            raise self._error
        exchange = self.answered()
        if self._way.ending.first_byte is None:
            try:
                await read_first(exchange, self._way.ending)
            except BaseException:
                self._close()
                raise
        return exchange

    def answered(self) -> Exchange:
        assert self._exchange is not None
        return self._exchange

    def _close(self) -> None:
        if self._exchange is not None:
            self._exchange.close()


async def _following(way: _Way, elapsed: float) -> Target | None:
    """Take the next target that there is time, an attempt and money for; None if there is none.

    Breakers may have opened since the targets were put in order.
    """
    services, rest = way.services, way.rest
    if way.ending.attempts >= services.config.max_attempts:
        return None
    while rest:
        waiting = services.health.waiting([one.candidate for one in rest], time.monotonic())
        target = next((one for one in rest if one.candidate.key not in waiting), rest[0])
        rest.remove(target)
        if _time_for(target.candidate, services.config, elapsed)[0] <= 0:
            continue
        if await way.ask_again(way.call, target, services, way.ending):
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


def _log(ending: Ending, candidate: Candidate, failure: Failure) -> None:
    name = "_".join(candidate.name.split())
    ending.attempt_log = f"{ending.attempt_log} {name}:{failure.reason}".lstrip()


def forget_cancellation() -> None:
    """The cancellation was ours, for the client's leaving: it ends here."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
