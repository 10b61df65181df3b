"""uvicorn as `manage.py start` runs it: two listening sockets, one or several workers."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tokenwatch.connections import Connections, of_server, raise_descriptor_limit
from tokenwatch.supervisor import Supervisor

Pairs = list[tuple[bytes, bytes]]

CONNECTION = "tokenwatch.connection"
MAX_HEAD_BYTES = 256 * 1024
"""Request line and headers that arrive without their end; providers refuse far shorter ones."""
LINGER_SECONDS = 1.0
"""How long a stopping worker keeps connections without a request, for one that is on its way."""
MAX_MESSAGE_BYTES = 16 * 1024
"""The longest WebSocket message that is taken from a browser."""

_BODILESS = (204, 304)

_REFUSAL = (
    b"HTTP/1.1 %s\r\ncontent-type: application/json\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s"
)


def _refusal(status: bytes, code: str, message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "code": code, "param": None}
    body = json.dumps({"error": error}).encode()
    return _REFUSAL % (status, len(body), body)


_HEAD_TOO_LARGE = _refusal(
    b"431 Request Header Fields Too Large",
    "headers_too_large",
    f"The request's headers are larger than {MAX_HEAD_BYTES} bytes.",
)
_HEAD_TOO_SLOW = _refusal(
    b"408 Request Timeout", "request_timeout", "The request's headers did not arrive in time."
)
_TOO_MANY = _refusal(
    b"503 Service Unavailable",
    "too_many_connections",
    "All the connections that TOKENWATCH_MAX_CONNECTIONS allows are busy.",
)
_UPGRADE_WITH_BODY = _refusal(
    b"400 Bad Request",
    "upgrade_with_body",
    "TokenWatch speaks HTTP/1.1: send this request without an Upgrade header.",
)


class Served:
    """One request's hold on its connection: what ASGI does not offer (`CONNECTION` in its scope).

    It keeps the request's own cycle: a client may send the next request before the answer, and
    the protocol's ``cycle`` is always the newest.
    """

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: "HttpProtocol") -> None:
        self._protocol = protocol
        self._cycle = protocol.cycle

    @property
    def has_whole_body(self) -> bool:
        """Whether the request's body has arrived to its end."""
        return not self._cycle.more_body

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Call ``on_lost`` when the client leaves; at once if it has left."""
        if self._cycle.disconnected:
            on_lost()
            return
        self._protocol.on_lost = on_lost
        # A long body may have paused the reading, and only a reader notices an end.
        self._protocol.flow.resume_reading()

    def unwatch(self) -> None:
        self._protocol.on_lost = None

    def send_answer(self, status: int, headers: Pairs, body: bytes) -> bool:
        """Send a whole answer with one write; False where it has to go through ASGI's `send`.

        uvicorn's own `send` looks at every header with two regular expressions and writes head
        and body apart: a tenth of a proxied request. Here one count tells whether a header
        holds a line break, which is all that could split an answer in two.
        """
        cycle = self._cycle
        if (
            cycle.flow.write_paused
            or cycle.disconnected
            or cycle.response_started
            or not cycle.keep_alive
            or status in _BODILESS
            or cycle.scope["method"] == "HEAD"
        ):
            return False
        names = {name for name, _ in headers}
        if b"connection" in names or b"transfer-encoding" in names:
            return False
        head = b"".join([b"%b: %b\r\n" % pair for pair in headers])
        if head.count(b"\n") != len(headers) or head.count(b"\r") != len(headers):
            return False  # uvicorn says what is wrong
        if b"content-length" not in names:
            head += b"transfer-encoding: chunked\r\n"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif (b"content-length", b"%d" % len(body)) not in headers:
            return False
        cycle.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], head, body))
        cycle.waiting_for_100_continue = False
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with some things that it does not have.

    A bound on the request's head; time limits for clients that neither send nor read
    (`tokenwatch.connections`); a call-back for the client's leaving; whole answers with one write;
    and a stop that still answers the request which was on its way. By ASGI alone an
    application learns of the leaving only from a task that waits for it, which costs more than
    a third of a proxied request.
    """

    websocket_port: ClassVar[int | None] = None
    """The port whose connections may become WebSockets; on others an upgrade is ignored."""

    max_connections: ClassVar[int] = 10_000

    waiting_since = 0.0
    head_since: float | None = None
    unsent = 0
    unsent_since = 0.0

    on_lost: Callable[[], None] | None = None
    """Called once when the connection is lost; belongs to the request being served."""

    _head_open = False
    _head_bytes = 0
    _refused = False
    _leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.server is None or self.server[1] != self.websocket_port:
            self.ws_protocol_class = None
        self._connections = of_server(
            self.server_state, lambda: Connections(self.loop, self.max_connections)
        )
        if not self._connections.opened(self):
            self._refuse(_TOO_MANY)

    def handle_websocket_upgrade(self) -> None:
        self._connections.closed(self)  # it is another protocol's from here on
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._head_open = True
        self._head_bytes = 0
        self.head_since = self.loop.time()
        super().on_message_begin()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connections.closed(self)
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()

    def on_headers_complete(self) -> None:
        self._head_open = False
        self._connections.serves(self)
        if self.parser.should_upgrade() and self._announces_body():
            # The parser ends such a request with its head: the body would be taken for another.
            self._refuse(_UPGRADE_WITH_BODY)
            return
        super().on_headers_complete()  # makes the cycle; its task begins later
        if self._leaving:
            self.cycle.keep_alive = False
        self.scope[CONNECTION] = Served(self)  # type: ignore[literal-required]

    def shutdown(self) -> None:
        """End with the present answer, or the next one if a request is on its way."""
        self._leaving = True
        if self._idle:
            self.loop.call_later(LINGER_SECONDS, self._leave)
        else:
            self.cycle.keep_alive = False

    def _leave(self) -> None:
        if self._idle and not self._head_open and not self.transport.is_closing():
            self.transport.close()

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def on_response_complete(self) -> None:
        super().on_response_complete()  # may begin the next request, where it has come already
        if self.cycle.response_complete:
            self._connections.waits(self)

    @property
    def unread(self) -> int | None:
        transport = self.transport
        if self.flow.write_paused or transport.is_closing():
            return transport.get_write_buffer_size()
        return None

    def drop(self) -> None:
        self.transport.abort()

    def too_slow(self) -> None:
        self._refuse(_HEAD_TOO_SLOW)

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def _announces_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
            for name, value in self.headers
        )

    def _refuse(self, answer: bytes) -> None:
        self._refused = True
        self.transport.write(answer)
        self.transport.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        OSError: the address is in use or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family=family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def serve(
    sockets: list[socket.socket], *, workers: int, log_level: str, drain_timeout: int
) -> None:
    """Serve until told to stop (SIGINT, SIGTERM).

    SIGHUP replaces several workers one by one; a single one it stops like SIGTERM.
    ``drain_timeout``: seconds for which a worker that stops lets open answers finish.
    """
    raise_descriptor_limit()
    config = uvicorn.Config(
        "tokenwatch.asgi:split_by_port",
        http=HttpProtocol,
        loop="uvloop",
        ws="websockets-sansio",  # on the dashboard's port only: see `HttpProtocol`
        ws_max_size=MAX_MESSAGE_BYTES,
        lifespan="on",
        workers=workers,
        log_level=log_level,
        log_config=None,
        access_log=False,
        server_header=False,  # the provider's own headers pass through
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=drain_timeout,
        backlog=2048,
    )
    if workers > 1:
        Supervisor(config, sockets=sockets).run()
    else:
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
        uvicorn.Server(config).run(sockets=sockets)


class RunFile:
    """Tells ``status`` where the running ``start`` listens; removed at a clean stop."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self._path = path
        self._facts = {"pid": os.getpid(), **facts, "started_at": time.time()}

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._facts))
        temporary.replace(self._path)

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
