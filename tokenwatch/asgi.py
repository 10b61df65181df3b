"""The ASGI entry: the proxy's half beside Django's own, on one port or on two.

`manage.py start` listens on two ports and each answers only its own half (`split_by_port`).
Any other server (`runserver`, daphne) serves both halves on its one port.
"""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenwatch.settings")

from django.core.asgi import get_asgi_application

from tokenwatch.conf import load

# Read anew: `start` has put the host and the ports of its options into the environment.
config = load(os.environ)
if config.otel_enabled:  # before the handler is made
    from tokenwatch.telemetry.pages import instrument

    instrument(config.otel_service_name)

django_app = get_asgi_application()

from dashboard.consumers import live_app  # noqa: E402 - needs the apps to be loaded
from proxy.services import ServicesHolder  # noqa: E402
from proxy.views import ProxyApp, is_proxied  # noqa: E402
from tokenwatch.connections import bound  # noqa: E402
from tokenwatch.server import HttpProtocol  # noqa: E402

services = ServicesHolder(config)
proxy_app = ProxyApp(services)
HttpProtocol.websocket_port = config.dashboard_port
HttpProtocol.max_connections = bound(config.max_connections)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Both halves by path."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif is_proxied(scope["path"]):
        await proxy_app(scope, receive, send)
    else:
        await dashboard_app(scope, receive, send)


async def split_by_port(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Each port its own half: what the proxy port does not know, the dashboard must not show."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["server"][1] == config.proxy_port or scope["path"] == "/health":
        await proxy_app(scope, receive, send)
    else:
        await dashboard_app(scope, receive, send)


async def dashboard_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Django's half, and the live feed."""
    if scope["type"] == "websocket":
        await live_app(scope, receive, send)
        return
    await django_app(scope, receive, send)


async def lifespan(receive: Any, send: Any) -> None:
    """Start the worker's services with the server and stop them after its last request."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await services.get()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await services.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
