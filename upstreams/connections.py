"""The pool of connections to the upstreams: aiohttp's connector, made fit for a proxy.

No limit of its own, and no connection is used again once it was odd. aiohttp's errors pass;
`upstreams.transport` translates them.
"""

from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError

KEEPALIVE = 60.0
"""Seconds an idle connection is kept. Providers close theirs after 60 to 600."""


class WatchedHandler(ResponseHandler):
    """A connection that remembers whether it served before, and is not reused once odd.

    Bytes that arrive while no request is under way belong to no answer; left alone, they
    would be taken for the beginning of the next one, which may be another client's.
    """

    served = False
    idle = False

    def data_received(self, data: bytes) -> None:
        if self.idle and data:
            self.force_close()
            if self.transport is not None:
                self.transport.close()
            return
        super().data_received(data)

    def set_exception(self, exc: Any, *cause: Any) -> None:
        """Tell the body's reader too: aiohttp leaves it waiting where a later chunk is
        malformed."""
        super().set_exception(exc, *cause)
        if isinstance(exc, HttpProcessingError) and self._payload is not None:
            self._payload.set_exception(exc)


class Connector(aiohttp.TCPConnector):
    """A pool without a limit of its own: waiting for a slot is never the upstream's failure."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEPALIVE, **kwargs)
        loop = self._loop
        self._factory = lambda: WatchedHandler(loop=loop)  # type: ignore[assignment]

    async def _get(self, key: Any, traces: list[Any]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            protocol = connection.protocol
            if isinstance(protocol, WatchedHandler) and not protocol.should_close:
                protocol.idle = False
                return connection
            connection.close()
        return None

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if isinstance(protocol, WatchedHandler):
            protocol.served = protocol.idle = True
        super()._release(key, protocol, should_close=should_close)
