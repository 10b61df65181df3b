"""Compressed answers are read, within bounds."""

import gzip
import zlib

import brotli
import pytest
import zstandard

from proxy import decoding
from proxy.decoding import Decoder, Undecodable, decoder_for

TEXT = b'{"usage": {"prompt_tokens": 1}}' * 500


def decoder(encoding: bytes) -> Decoder:
    made = decoder_for(encoding)
    assert made is not None
    return made


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODED = {
    b"gzip": gzip.compress(TEXT),
    b"deflate": zlib.compress(TEXT),
    b"br": brotli.compress(TEXT),
    b"zstd": zstandard.compress(TEXT),
}


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("encoding", ENCODED)
def test_every_common_encoding_is_read_in_any_chunks(encoding, size):
    reading = decoder(encoding)
    data = ENCODED[encoding]
    parts = [reading.feed(data[i : i + size]) for i in range(0, len(data), size)]
    assert b"".join(parts) == TEXT


def test_deflate_without_the_zlib_wrapper_is_read_too():
    assert decoder(b"deflate").feed(raw_deflate(TEXT)) == TEXT


def test_plain_needs_no_decoder():
    assert decoder_for(b"") is None
    assert decoder_for(b"Identity") is None


def test_unknown_and_stacked_encodings_are_refused():
    for encoding in (b"compress", b"gzip, br"):
        assert not decoding.readable(encoding)
        with pytest.raises(Undecodable):
            decoder_for(encoding)


@pytest.mark.parametrize("encoding", ENCODED)
def test_garbage_is_refused(encoding):
    with pytest.raises(Undecodable):
        decoder(encoding).feed(b"\x07this is not compressed at all" * 10)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        (b"gzip", gzip.compress),
        (b"deflate", zlib.compress),
        (b"br", brotli.compress),
        (b"zstd", zstandard.compress),
    ],
)
def test_an_answer_that_inflates_without_end_is_given_up(encoding, compress, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_OUTPUT", 1024 * 1024)
    bomb = compress(bytes(20 * 1024 * 1024))
    with pytest.raises(Undecodable):
        decoder(encoding).feed(bomb)


def test_gzip_members_one_after_the_other_are_one_answer():
    data = gzip.compress(b"one") + gzip.compress(b"two")
    assert decoder(b"gzip").feed(data) == b"onetwo"
    parts = decoder(b"gzip")
    assert b"".join(parts.feed(data[i : i + 1]) for i in range(len(data))) == b"onetwo"
