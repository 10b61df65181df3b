"""Runs an ASGI application on a free port in a thread of its own, for the demo and tests.

The port is bound and listening before the thread starts, so that a client never comes too
early. A server that does not stop in time raises `RuntimeError`.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

STOP_SECONDS = 10


def not_a_cut(record: logging.LogRecord) -> bool:
    """Drops uvicorn's complaint about an answer that was broken off on purpose."""
    return "returned without completing response" not in record.getMessage()


def listen(host: str = "127.0.0.1") -> socket.socket:
    """A socket that already listens, on a port that the system chose."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind((host, 0))
    sock.listen(1024)
    return sock


@contextmanager
def serve(app: Any, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve ``app`` until the block ends; yields the base URL without a trailing slash."""
    config = uvicorn.Config(
        app,
        interface="asgi3",  # uvicorn would take a bound method for the older interface
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,  # uvicorn's own would reconfigure logging for the whole process
        date_header=False,  # the provider's answers bring their own
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(not_a_cut)
    with listen(host) as sock:
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve([sock])), name="fake-provider", daemon=True
        )
        thread.start()
        try:
            yield f"http://{host}:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(STOP_SECONDS)
            logger.removeFilter(not_a_cut)
            if thread.is_alive():
                raise RuntimeError(f"the server did not stop within {STOP_SECONDS} s")
