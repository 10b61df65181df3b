"""The proxy's ASGI application: `/anthropic/…`, `/openai/…` and `/health`, nothing else.

Plain ASGI and not a Django view: Django's request objects, middleware and thread hops cost
two thirds of the throughput.
"""

from typing import Any

import orjson

from proxy.call import identify
from proxy.client import Client, Receive, Send
from proxy.pipeline import handle
from proxy.services import Services, ServicesHolder
from tokenwatch.server import CONNECTION

Scope = dict[str, Any]

PREFIXES = ("/anthropic/", "/openai/")
_NOT_FOUND = orjson.dumps(
    {
        "error": {
            "message": "TokenWatch answers under /anthropic/ and /openai/. Set your SDK's base "
            "URL to one of them, for example http://127.0.0.1:8877/openai/v1.",
            "type": "invalid_request_error",
            "code": "unknown_path",
            "param": None,
        }
    }
)


def is_proxied(path: str) -> bool:
    """Whether a path belongs to the proxy's half."""
    return path.startswith(PREFIXES) or path == "/health"


class ProxyApp:
    """The proxy's half of the site."""

    def __init__(self, services: ServicesHolder) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # Refused before it is accepted: the client's handshake fails with a 403.
            await receive()
            await send({"type": "websocket.close", "code": 1003})
            return
        services = self._services.running or await self._services.get()
        if scope["path"] == "/health":
            await _reply(send, *_health(services))
        elif (call := identify(scope)) is not None:
            await handle(call, Client(receive, send, scope.pop(CONNECTION, None)), services)
        else:
            await _reply(send, 404, _NOT_FOUND)


def _health(services: Services) -> tuple[int, bytes]:
    """200 as long as requests are served: without a database they still are, and the rows wait."""
    ledger = services.ledger
    report = {
        "status": "ok",
        "database": "ok" if ledger.database_ok else "unreachable",
        "spool_depth": ledger.depth(),
    }
    return 200, orjson.dumps(report)


async def _reply(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
