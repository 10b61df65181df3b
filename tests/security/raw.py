"""A client that writes bytes as it likes."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Raw:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def all(self, seconds: float = 10) -> bytes:
        """Everything until the other side closes."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read(-1)
            except ConnectionError:
                return b""

    async def answer(self, seconds: float = 10) -> tuple[int, bytes, bytes]:
        """One answer with a length: status, head, body."""
        async with asyncio.timeout(seconds):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            return int(head.split()[1]), head, await self.reader.readexactly(length)


@asynccontextmanager
async def raw(port: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


def post(*headers: bytes, body: bytes = b"", path: bytes = b"/openai/v1/chat/completions") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"host: x", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
