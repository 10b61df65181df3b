"""SDK clients whose every exchange is written down as it came over the wire.

The transport lies under everything that an SDK does with an answer: bytes are recorded
before they are decompressed or parsed, and an answer that breaks off is recorded up to there.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2
import openai

TIMEOUT = 20.0
Pairs = list[tuple[str, str]]

_ONE_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding"})
OURS = "x-tokenwatch-"


@dataclass
class Exchange:
    """One answer as it arrived. Header names are in lower case, in their order."""

    status: int
    headers: Pairs
    parts: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def provider_headers(self) -> Pairs:
        """What the provider said: neither the connection's own headers nor TokenWatch's."""
        return [
            (name, value)
            for name, value in self.headers
            if name not in _ONE_CONNECTION and not name.startswith(OURS)
        ]

    def ours(self) -> dict[str, str]:
        """TokenWatch's own headers, without their prefix."""
        own = [pair for pair in self.headers if pair[0].startswith(OURS)]
        assert len(own) == len(dict(own)), "one of our headers came twice"
        return {name.removeprefix(OURS): value for name, value in own}


def _noted(exchanges: list[Exchange], response: httpx2.Response) -> Exchange:
    headers = [(k.decode().lower(), v.decode("latin-1")) for k, v in response.headers.raw]
    exchange = Exchange(response.status_code, headers)
    exchanges.append(exchange)
    return exchange


class _Recorded(httpx2.SyncByteStream):
    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._exchange.parts.append(part)
            yield part

    def close(self) -> None:
        self._stream.close()


class _AsyncRecorded(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._exchange.parts.append(part)
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class Recorder(httpx2.HTTPTransport):
    """Passes everything through and keeps what it saw in ``exchanges``."""

    def __init__(self) -> None:
        super().__init__(verify=False)  # nothing here is encrypted; certificates load slowly
        self.exchanges: list[Exchange] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        response.stream = _Recorded(response.stream, _noted(self.exchanges, response))
        return response


class AsyncRecorder(httpx2.AsyncHTTPTransport):
    """As `Recorder`, for the asynchronous clients."""

    def __init__(self) -> None:
        super().__init__(verify=False)  # nothing here is encrypted; certificates load slowly
        self.exchanges: list[Exchange] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        response.stream = _AsyncRecorded(response.stream, _noted(self.exchanges, response))
        return response


@dataclass(frozen=True)
class Side:
    """One way to the provider: its two base URLs, and headers that only this way is sent."""

    openai_url: str
    anthropic_url: str
    headers: dict[str, str] = field(default_factory=dict)

    def options(self, sdk: str, retries: int) -> dict[str, Any]:
        """How a client of this side is made."""
        base = {
            "max_retries": retries,
            "timeout": TIMEOUT,
            "default_headers": self.headers,
            "api_key": "sk-test",
        }
        if sdk == "anthropic":
            return {**base, "base_url": self.anthropic_url}
        scope = {"organization": "org-test", "project": "proj_test"}
        return {**base, **scope, "base_url": self.openai_url}


@contextmanager
def client(sdk: str, side: Side, retries: int = 0) -> Iterator[tuple[Any, list[Exchange]]]:
    """A synchronous client and the exchanges that it makes."""
    recorder = Recorder()
    made = openai.OpenAI if sdk == "openai" else anthropic.Anthropic
    http = httpx2.Client(transport=recorder)
    with made(**side.options(sdk, retries), http_client=http) as opened:
        yield opened, recorder.exchanges


@asynccontextmanager
async def async_client(
    sdk: str, side: Side, retries: int = 0
) -> AsyncIterator[tuple[Any, list[Exchange]]]:
    """An asynchronous client and the exchanges that it makes."""
    recorder = AsyncRecorder()
    made = openai.AsyncOpenAI if sdk == "openai" else anthropic.AsyncAnthropic
    http = httpx2.AsyncClient(transport=recorder)
    async with made(**side.options(sdk, retries), http_client=http) as opened:
        yield opened, recorder.exchanges
