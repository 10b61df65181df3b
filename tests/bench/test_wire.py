import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.wire import BodyReader, ChunkedDecoder, Head, WireError, read_head

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces if p) + b"0\r\n\r\n"


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_a_chunked_body_is_the_same_however_it_is_cut(
    pieces: list[bytes], data: st.DataObject
) -> None:
    wire = chunked(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    decoder = ChunkedDecoder()
    ends = [*cuts, len(wire)]
    body = b"".join(decoder.feed(wire[a:b]) for a, b in zip([0, *ends], ends, strict=False))
    assert body == b"".join(pieces)
    assert decoder.ended


def test_a_head_is_read_once_it_is_whole() -> None:
    assert all(read_head(HEAD[:end]) is None for end in range(len(HEAD) - 3))
    head = read_head(HEAD)
    assert head == Head(b"HTTP/1.1 200 OK", len(HEAD) - 3, 3, chunked=False)


def test_broken_framing_is_an_error() -> None:
    with pytest.raises(WireError):
        ChunkedDecoder().feed(b"zz\r\n")
    with pytest.raises(WireError):
        ChunkedDecoder().feed(b"1\r\nabc")
    with pytest.raises(WireError):
        BodyReader(Head(b"", 0, None, chunked=False))
    with pytest.raises(WireError):
        BodyReader(Head(b"", 0, 2, chunked=False)).feed(b"abc")
