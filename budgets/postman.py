"""One POST to an address that somebody else chose.

The host is resolved once, every address it has is checked, and the connection goes to one of
those: a name that changes between the check and the connection (DNS rebinding) gains nothing.
No redirects, no proxies of the environment, no cookies, and a bound on time.
"""

import contextlib
import http.client
import socket
import ssl
import threading
from urllib.parse import urlsplit

from budgets.webhook_rules import is_public

SECONDS = 10.0
"""The time that an attempt may take, from connecting to the answer's head."""


class Undeliverable(Exception):
    """There was no answer; the text says why."""


def post(url: str, body: bytes, headers: dict[str, str], *, allow_private: bool) -> int:
    """Send a body; the status of the answer, whose own body is not read.

    Raises:
        Undeliverable: the address is refused, or there is no answer.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Undeliverable("The URL cannot be read.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Undeliverable("The URL is not one of http:// or https://.")
    secure = parts.scheme == "https"
    port = port or (443 if secure else 80)
    address = _address(host, port, allow_private=allow_private)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kind = _SecureConnection if secure else _Connection
    conn = kind(host, port, address)
    timer = threading.Timer(SECONDS, conn.abort)  # a socket's own limit is one for each read
    timer.daemon = True
    timer.start()
    try:
        conn.request("POST", target, body, {**headers, "Connection": "close"})
        status = conn.getresponse().status
        conn.go_on()  # a head that was cut off by the timer reads like one that ended
        return status
    except (OSError, http.client.HTTPException, ValueError) as exc:
        if conn.aborted:
            raise Undeliverable(f"No answer within {SECONDS:.0f} seconds.") from None
        raise Undeliverable(_reason(exc)) from None
    finally:
        timer.cancel()
        conn.close()


def _reason(exc: Exception) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__


def _address(host: str, port: int, *, allow_private: bool) -> tuple[str, int]:
    """Where the connection goes; all that the name resolves to must be allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Undeliverable(f"The host {host} cannot be resolved.") from None
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        if not allow_private and not is_public(address):
            raise Undeliverable(
                f"{host} is {address}, which is not a public address "
                "(TOKENWATCH_ALLOW_PRIVATE_WEBHOOKS)."
            )
    return addresses[0], port


class _Connection(http.client.HTTPConnection):
    """Connects to the address that was checked."""

    def __init__(self, host: str, port: int, address: tuple[str, int]) -> None:
        super().__init__(host, port, timeout=SECONDS)
        self._checked = address
        self.aborted = False

    def connect(self) -> None:
        self.sock = socket.create_connection(self._checked, self.timeout)
        self.go_on()

    def go_on(self) -> None:
        """The timer may have found nothing yet that it could end."""
        if self.aborted:
            raise TimeoutError

    def abort(self) -> None:
        """Called by a timer: end whatever the connection waits for."""
        self.aborted = True
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


class _SecureConnection(_Connection):
    """Likewise; the certificate must be the host's."""

    default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        super().connect()
        context = ssl.create_default_context()
        # Wrapping takes the socket over: the handshake comes after it, so that `abort` reaches it.
        self.sock = context.wrap_socket(
            self.sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        self.go_on()
        self.sock.do_handshake()
