"""Streaming compression by what a request accepts: gzip, br or zstd."""

import zlib
from typing import Protocol

import brotli
import zstandard

_GZIP_FRAME = 31  # zlib's window bits for a gzip header and trailer


class Compressor(Protocol):
    """Whatever was fed can be read by the receiver right after `compress`."""

    def compress(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Gzip:
    def __init__(self) -> None:
        self._object = zlib.compressobj(6, zlib.DEFLATED, _GZIP_FRAME)

    def compress(self, data: bytes) -> bytes:
        return self._object.compress(data) + self._object.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._object.flush()


class Brotli:
    def __init__(self) -> None:
        self._object = brotli.Compressor(quality=4)

    def compress(self, data: bytes) -> bytes:
        return bytes(self._object.process(data) + self._object.flush())

    def finish(self) -> bytes:
        return bytes(self._object.finish())


class Zstandard:
    def __init__(self) -> None:
        self._object = zstandard.ZstdCompressor().compressobj()

    def compress(self, data: bytes) -> bytes:
        start = self._object.compress(data)
        return start + self._object.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._object.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


_CODINGS: dict[str, type[Compressor]] = {"gzip": Gzip, "br": Brotli, "zstd": Zstandard}


def choose(accept_encoding: bytes) -> tuple[str, Compressor] | None:
    """The first coding that the header names and this module knows; None for plain bytes."""
    for item in accept_encoding.decode("latin-1").lower().split(","):
        name, _, weight = item.strip().partition(";")
        refused = weight.replace(" ", "").rstrip("0") in ("q=0.", "q=")
        if name in _CODINGS and not refused:
            return name, _CODINGS[name]()
    return None
