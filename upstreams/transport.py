"""HTTP to the upstreams: one exchange in, raw status, headers and body chunks out.

aiohttp's connector, request writer and response parser, without its session layer: a
proxy must not follow redirects, keep cookies, decompress, add headers or retry behind our
back, and it must know which phase failed (a connection that was never made has billed
nothing) and whether the connection was a reused one. Failures leave here as
`upstreams.errors`; the one retry made here is for a pooled connection that turned out to
be dead before a byte of the answer.
"""

import asyncio
import re
import ssl
from functools import lru_cache
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.client import ClientRequest, ClientResponse, ClientTimeout, RequestInfo
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import TimerContext
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from upstreams.asked import Asked, Body, RawHeaders, is_stream, text_headers
from upstreams.connections import Connector
from upstreams.errors import (
    BadAnswer,
    BrokenBody,
    ConnectFailed,
    ConnectTimeout,
    Dropped,
    ResponseTimeout,
)

MAX_HEADER_LINE = 64 * 1024
MAX_HEADERS = 1024
READ_BUFFER = 256 * 1024
"""Bytes read ahead of a slow client before the upstream's socket is left alone."""
WHOLE_BODY = 1024 * 1024
"""Bytes of a body that go to the socket at once; longer ones as it takes them."""
MAX_ORIGINS = 1000
MAX_SWEEP = 0.25
"""Seconds between two looks for exchanges whose overall time is over."""


class _Request(ClientRequest):
    """A request that adds nothing to the client's headers."""

    def update_headers(self, headers: Any) -> None:
        self.headers = headers  # made for this request, and the Host is among them

    def update_auto_headers(self, skip_auto_headers: Any) -> None:
        self._skip_auto_headers = _NOT_OURS_TO_ADD

    @property
    def request_info(self) -> RequestInfo:
        return _NO_INFO  # only aiohttp's error texts would use it


class _Sent:
    """Stands for the writer of a request that went out whole."""

    output_size = 0


class Exchange:
    """An answer under way. Read it to its end with `chunk`, or `close` it; both free the
    connection, the latter by closing it, which tells the provider to stop generating."""

    __slots__ = ("_deadline", "_response", "first", "headers", "status")

    def __init__(self, response: ClientResponse, deadline: "_Deadline") -> None:
        self._response = response
        self._deadline = deadline
        self.status = response.status
        self.headers = [(name.lower(), value) for name, value in response.raw_headers]
        """In lower case, in their order, duplicates included."""
        self.first = b""
        """What was read of the body before its head was let go."""

    async def chunk(self) -> bytes:
        """The next bytes of the body as they arrived; empty at its end.

        Raises:
            ResponseTimeout: the overall time is over.
            BrokenBody: the upstream ended the body early.
        """
        try:
            return await self._response.content.readany()
        except TimeoutError as exc:
            raise ResponseTimeout("the answer was not whole within the overall timeout") from exc
        except (aiohttp.ClientError, HttpProcessingError, OSError) as exc:
            raise BrokenBody(_reason(exc)) from exc

    def close(self) -> None:
        """Free the connection: back to the pool after the whole answer, else closed at once."""
        self._deadline.done()
        if not self._response.closed:  # it is at the end of its body, by itself
            self._response.close()


class _Deadline(TimerContext):
    """The overall time of one exchange, checked by the transport's sweep.

    A timer of its own for each request costs as much as parsing the answer's head.
    """

    __slots__ = ("_deadlines", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, deadlines: set["_Deadline"], at: float):
        super().__init__(loop)
        self.at = at
        self._deadlines = deadlines
        deadlines.add(self)

    def done(self) -> None:
        self._deadlines.discard(self)


class Transport:
    """The worker's connections to all upstreams. Create it inside the running event loop."""

    def __init__(self, *, connect_timeout: float, overall_timeout: float) -> None:
        """Timeouts in seconds; the overall one covers connecting, sending and the whole answer."""
        self._loop = asyncio.get_running_loop()
        self._overall_timeout = overall_timeout
        self._connect_timeout = _connecting(connect_timeout)
        self._ssl = ssl.create_default_context()
        self._connector = Connector(ssl=self._ssl)
        self._session = aiohttp.ClientSession(
            connector=self._connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        self._proxies: dict[tuple[str, str], URL | None] = {}
        self._origins: dict[tuple[str, str], _Request] = {}
        self._deadlines: set[_Deadline] = set()
        self._sweep_every = min(MAX_SWEEP, overall_timeout / 10)
        self._sweeper = self._loop.call_later(self._sweep_every, self._sweep)

    async def close(self) -> None:
        self._sweeper.cancel()
        await self._session.close()

    def _sweep(self) -> None:
        """End the exchanges whose time is over."""
        now = self._loop.time()
        for deadline in [deadline for deadline in self._deadlines if deadline.at <= now]:
            deadline.done()
            deadline.timeout()
        self._sweeper = self._loop.call_later(self._sweep_every, self._sweep)

    async def send(
        self,
        method: str,
        url: str,
        headers: RawHeaders,
        body: Body,
        *,
        connect_timeout: float | None = None,
        overall_timeout: float | None = None,
    ) -> Exchange:
        """Send one request and return its answer as soon as the head is there.

        ``url`` goes out as it stands, path and query are not normalised. A body of bytes may be
        sent a second time, where a pooled connection was found dead; a streamed one never.
        Timeouts in seconds go before the transport's own.

        Raises:
            UpstreamError: by the phase that failed; see `upstreams.errors`.
        """
        target = URL(url, encoded=True)
        host = target.host_port_subcomponent
        if not host:
            raise ConnectFailed(f"no host in {url!r}")
        overall = self._overall_timeout if overall_timeout is None else overall_timeout
        deadline = _Deadline(self._loop, self._deadlines, self._loop.time() + overall)
        connecting = _connecting(connect_timeout) if connect_timeout else self._connect_timeout
        asked = Asked(method, target, host, headers, body)
        try:
            try:
                return await self._exchange(asked, deadline, connecting)
            except _StaleConnection as stale:
                if is_stream(body):
                    raise Dropped(_reason(stale.reason)) from stale.reason
            # Every other idle connection to this host may be as dead: they are of the same age.
            self._drop_idle(target)
            try:
                return await self._exchange(asked, deadline, connecting)
            except _StaleConnection as stale:
                raise Dropped(_reason(stale.reason)) from stale.reason
        except BaseException as exc:
            deadline.done()
            if isinstance(exc, TimeoutError):
                raise ResponseTimeout("no answer within the overall timeout") from exc
            raise

    async def _exchange(
        self, asked: Asked, deadline: _Deadline, connecting: ClientTimeout
    ) -> Exchange:
        proxy = self._proxy(asked.url)
        # Head and body go out with one write, and past aiohttp's request, which would cost as
        # much as all the rest of the sending.
        whole = proxy is None and isinstance(asked.body, bytes) and len(asked.body) <= WHOLE_BODY
        request = self._origin(asked) if whole else self._request(asked, deadline, proxy)
        connection: Connection | None = None
        try:
            with deadline:
                connection = await self._connect(request, connecting)
                response = await self._converse(
                    asked, None if whole else request, connection, deadline
                )
        except BaseException as exc:
            if connection is not None:
                connection.close()
            elif isinstance(exc, asyncio.CancelledError):
                raise CancelledBeforeSending from exc
            elif isinstance(exc, TimeoutError):
                raise ConnectTimeout("no connection within the overall timeout") from exc
            raise
        return Exchange(response, deadline)

    def _request(self, asked: Asked, deadline: _Deadline, proxy: URL | None) -> _Request:
        headers = text_headers(asked.host, asked.headers)
        if isinstance(asked.body, bytes):
            headers["Content-Length"] = str(len(asked.body))
        return _Request(
            asked.method,
            asked.url,
            headers=headers,
            data=asked.body,
            loop=self._loop,
            timer=deadline,
            session=self._session,
            proxy=proxy,
            # A body of unknown length can only be sent in chunks.
            chunked=(is_stream(asked.body) and "Content-Length" not in headers) or None,
        )

    def _origin(self, asked: Asked) -> _Request:
        """What the connector connects by: one request stands for all to an origin."""
        key = (asked.url.scheme, asked.host)
        found = self._origins.get(key)
        if found is None:
            if len(self._origins) >= MAX_ORIGINS:
                self._origins.clear()
            headers = CIMultiDict([("Host", asked.host)])
            found = _Request("GET", asked.url, headers=headers, loop=self._loop)
            self._origins[key] = found
        return found

    async def _connect(self, request: ClientRequest, limits: ClientTimeout) -> Connection:
        try:
            return await self._connector.connect(request, traces=[], timeout=limits)
        except TimeoutError as exc:
            raise ConnectTimeout("no connection within the connect timeout") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise ConnectFailed(_reason(exc)) from exc

    async def _converse(
        self,
        asked: Asked,
        request: _Request | None,
        connection: Connection,
        deadline: _Deadline,
    ) -> ClientResponse:
        protocol = connection.protocol
        assert protocol is not None
        reused = getattr(protocol, "served", False)
        protocol.set_response_params(
            timer=deadline,
            skip_payload=asked.method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            max_line_size=MAX_HEADER_LINE,
            max_field_size=MAX_HEADER_LINE,
            max_headers=MAX_HEADERS,
        )
        try:
            if request is None:
                response = self._send_whole(asked, protocol, deadline)
            else:
                response = await request.send(connection)
            try:
                await response.start(connection)
            except BaseException:
                response.close()
                raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError) as exc:
            if reused:
                raise _StaleConnection(exc) from exc
            raise Dropped(_reason(exc)) from exc
        except (aiohttp.ClientError, HttpProcessingError) as exc:
            raise BadAnswer(_reason(exc)) from exc
        if not 200 <= response.status <= 599:
            response.close()
            raise BadAnswer(f"the upstream answered with status {response.status}")
        if _UNPRINTABLE.search(b"".join([value for _, value in response.raw_headers])):
            response.close()
            raise BadAnswer("the upstream sent control characters in a header")
        return response

    def _send_whole(
        self, asked: Asked, protocol: ResponseHandler, deadline: _Deadline
    ) -> ClientResponse:
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection was closed")
        # Waits for nothing: the body is in memory anyway, and an upstream that answers before
        # it has read all of it is heard at once.
        transport.write(asked.wire())
        return ClientResponse(
            asked.method,
            asked.url,
            writer=None,
            continue100=None,
            timer=deadline,
            request_info=_NO_INFO,
            traces=[],
            loop=self._loop,
            session=self._session,
            stream_writer=_SENT,
        )

    def _drop_idle(self, url: URL) -> None:
        for key in [k for k in self._connector._conns if k.host == url.host and k.port == url.port]:
            for protocol, _ in self._connector._conns.pop(key):
                protocol.close()

    def _proxy(self, url: URL) -> URL | None:
        """The outbound proxy that HTTP(S)_PROXY and NO_PROXY name for this host, if any."""
        key = (url.scheme, url.host or "")
        if key not in self._proxies:
            chosen = None if proxy_bypass(key[1]) else getproxies().get(key[0])
            self._proxies[key] = URL(chosen) if chosen else None
        return self._proxies[key]


class CancelledBeforeSending(asyncio.CancelledError):
    """The task was cancelled while there was no connection yet. Nothing was sent.

    Not an `UpstreamError`: a cancellation stays one, and only says more.
    """


class _StaleConnection(Exception):
    """A pooled connection was dead before a byte of the answer; ``reason`` is aiohttp's."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


_NOT_OURS_TO_ADD: CIMultiDict[None] = CIMultiDict(
    (name, None) for name in ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
)
_UNPRINTABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SENT: Any = _Sent()
_NO_INFO = RequestInfo(URL(), "", CIMultiDictProxy(CIMultiDict()))


@lru_cache(maxsize=256)
def _connecting(seconds: float) -> ClientTimeout:
    return ClientTimeout(connect=seconds, sock_connect=seconds)


def _reason(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
