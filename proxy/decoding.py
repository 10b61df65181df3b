"""Reads compressed answers for accounting; what the client gets stays compressed.

Bounded: input is taken in small slices and the output is counted, so that an answer that
inflates without end is given up as unreadable instead of filling the memory.
"""

import zlib
from collections.abc import Callable

import brotli
import zstandard

SLICE = 4096
MAX_OUTPUT = 64 * 1024 * 1024
"""Decoded bytes of one answer that are read; more than any answer with usage has."""


class Undecodable(Exception):
    """The answer is not what its Content-Encoding says, or inflates past `MAX_OUTPUT`."""


class Decoder:
    """Decodes one answer chunk by chunk."""

    __slots__ = ("_produced", "_step")

    def __init__(self, step: Callable[[bytes], bytes]) -> None:
        self._step = step
        self._produced = 0

    def feed(self, chunk: bytes) -> bytes:
        """Decoded bytes, possibly none.

        Raises:
            Undecodable: the rest of the answer cannot be read.
        """
        parts = []
        for start in range(0, len(chunk), SLICE):
            try:
                part = self._step(chunk[start : start + SLICE])
            except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as exc:
                raise Undecodable(str(exc)) from exc
            self._produced += len(part)
            if self._produced > MAX_OUTPUT:
                raise Undecodable("the answer inflates without end")
            parts.append(part)
        return b"".join(parts)


def _zlib(window: int) -> Callable[[bytes], bytes]:
    """Several members one after the other are one answer (RFC 1952, section 2.2)."""
    inflater = zlib.decompressobj(window)

    def step(data: bytes) -> bytes:
        nonlocal inflater
        parts = []
        while data:
            if inflater.eof:
                inflater = zlib.decompressobj(window)
            parts.append(inflater.decompress(data))
            data = inflater.unused_data
        return b"".join(parts)

    return step


def _deflate() -> Callable[[bytes], bytes]:
    """ "deflate" is zlib's format, but some servers send it raw: the first bytes tell."""
    inflater = None

    def step(data: bytes) -> bytes:
        nonlocal inflater
        if inflater is None:
            try:
                inflater = zlib.decompressobj()
                return inflater.decompress(data)
            except zlib.error:
                inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return inflater.decompress(data)

    return step


def _brotli() -> Callable[[bytes], bytes]:
    decompressor = brotli.Decompressor()

    def step(data: bytes) -> bytes:
        out = decompressor.process(data, output_buffer_limit=MAX_OUTPUT + 1)
        if not decompressor.can_accept_more_data():
            raise Undecodable("the answer inflates without end")
        return out

    return step


def _zstd() -> Callable[[bytes], bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024).decompressobj()
    return decompressor.decompress


_STEPS: dict[bytes, Callable[[], Callable[[bytes], bytes]]] = {
    b"gzip": lambda: _zlib(16 + zlib.MAX_WBITS),
    b"x-gzip": lambda: _zlib(16 + zlib.MAX_WBITS),
    b"deflate": _deflate,
    b"br": _brotli,
    b"zstd": _zstd,
}


def readable(encoding: bytes) -> bool:
    """Whether answers with this Content-Encoding can be read."""
    return encoding.strip().lower() in {b"", b"identity", *_STEPS}


def decoder_for(encoding: bytes) -> Decoder | None:
    """A decoder for a Content-Encoding; None where the bytes are plain.

    Raises:
        Undecodable: the encoding is none that we know (or several).
    """
    name = encoding.strip().lower()
    if name in {b"", b"identity"}:
        return None
    if name not in _STEPS:
        raise Undecodable(f"unknown content encoding {name!r}")
    return Decoder(_STEPS[name]())
