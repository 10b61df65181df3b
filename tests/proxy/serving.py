"""The real proxy on a real socket, its rows in a list: no database takes part."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from proxy.services import Services, ServicesHolder
from proxy.views import ProxyApp
from tokenwatch.conf import load
from tokenwatch.server import HttpProtocol
from upstreams.transport import Transport
from usage.rows import UsageRow


@dataclass
class Rows:
    """Stands in for the ledger at its seam: what the pipeline records, in order."""

    rows: list[UsageRow] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    database_ok: bool = True

    def record(self, row: UsageRow) -> None:
        self.rows.append(row)
        self.changed.set()

    def depth(self) -> int:
        return 0

    def pending(self) -> int:
        return 0

    async def one(self, number: int = 1) -> UsageRow:
        """Wait for the n-th row; fails if there are then more."""
        async with asyncio.timeout(5):
            while len(self.rows) < number:
                self.changed.clear()
                await self.changed.wait()
        assert len(self.rows) == number
        return self.rows[-1]


@dataclass
class Proxy:
    url: str
    port: int
    ledger: Rows
    services: Services


def services_for(upstream_url: str, directory: Path, **settings: object) -> tuple[Services, Rows]:
    """A worker's services on the configured URLs, with a list for a ledger. Call in the loop."""
    environment = {
        "TOKENWATCH_DATA_DIR": str(directory),
        "TOKENWATCH_OPENAI_URL": upstream_url,
        "TOKENWATCH_ANTHROPIC_URL": upstream_url,
        **{f"TOKENWATCH_{name.upper()}": str(value) for name, value in settings.items()},
    }
    config = load(environment)
    services = Services(config)
    services.ledger.stop(0)
    rows = Rows()
    services.ledger = rows  # type: ignore[assignment]
    services.transport = Transport(
        connect_timeout=config.connect_timeout, overall_timeout=config.overall_timeout
    )
    return services, rows


@asynccontextmanager
async def running(upstream_url: str, directory: Path, **settings: object) -> AsyncIterator[Proxy]:
    """The proxy in front of an upstream, on a free port of the loopback."""
    services, rows = services_for(upstream_url, directory, **settings)
    holder = ServicesHolder(services.config)
    holder._services = services
    config = uvicorn.Config(
        ProxyApp(holder),
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: HttpProtocol(config, server.server_state, {}), "127.0.0.1", 0
    )
    port = listening.sockets[0].getsockname()[1]
    try:
        yield Proxy(f"http://127.0.0.1:{port}", port, rows, services)
    finally:
        listening.close()
        for connection in list(server.server_state.connections):
            connection.transport.close()
        tasks = list(server.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await services.transport.close()
