"""The yardstick: the least that a pass-through on the same server and transport can do.

uvicorn with uvloop and httptools in front, one plain aiohttp session behind, and nothing
between them: no model, no usage, no ledger, no errors of its own. What TokenWatch adds is
measured as the difference to this. A failing upstream fails the request with uvicorn's own
500; the benchmark then stops, so there is nothing to translate here.

    python -m bench.bare --port 9001 --upstream http://127.0.0.1:9000
"""

import argparse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import uvicorn
from multidict import CIMultiDict
from yarl import URL

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade")
)
NOT_FORWARDED = HOP_BY_HOP | {b"host", b"content-length"}
AUTO_HEADERS = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


def open_session() -> aiohttp.ClientSession:
    """The transport as the proxy uses it: no pool limit, no cookies, nothing added."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=AUTO_HEADERS,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=300),
    )


async def read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


class BarePassThrough:
    """Forwards each request under a prefix (``/openai``) and relays the chunks as they come."""

    def __init__(self, upstream: str, prefix: str = "/openai") -> None:
        self._upstream = upstream.rstrip("/")
        self._prefix = prefix
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._forward(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._session = open_session()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._session.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _url(self, scope: Scope) -> URL:
        path = scope["raw_path"].decode("latin-1").removeprefix(self._prefix)
        query = scope["query_string"].decode("latin-1")
        return URL(self._upstream + path + ("?" + query if query else ""), encoded=True)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._session is not None
        headers = CIMultiDict(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name not in NOT_FORWARDED
        )
        body = await read_body(receive)
        async with self._session.request(
            scope["method"],
            self._url(scope),
            headers=headers,
            data=body or None,
            allow_redirects=False,
        ) as answer:
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status,
                    "headers": [
                        (name, value)
                        for name, value in answer.raw_headers
                        if name.lower() not in HOP_BY_HOP
                    ],
                }
            )
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="base URL")
    args = parser.parse_args()
    uvicorn.run(
        BarePassThrough(args.upstream),
        host=args.host,
        port=args.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
    )


if __name__ == "__main__":
    main()
