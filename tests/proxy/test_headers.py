"""Which headers cross the proxy."""

import tracemalloc

from proxy import headers
from proxy.call import identify


def test_everything_passes_in_order_with_duplicates():
    sent = [
        (b"anthropic-beta", b"a"),
        (b"x-stainless-lang", b"python"),
        (b"anthropic-beta", b"b"),
        (b"authorization", b"Bearer k"),
        (b"cookie", b"c=1"),
        (b"content-type", b"application/json"),
    ]
    assert headers.for_upstream(sent, keep_length=False) == sent


def test_what_belongs_to_the_connection_or_to_us_stays_behind():
    sent = [
        (b"host", b"proxy"),
        (b"connection", b"close, X-Secret"),
        (b"x-secret", b"1"),
        (b"keep-alive", b"1"),
        (b"te", b"trailers"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"proxy-authorization", b"1"),
        (b"expect", b"100-continue"),
        (b"content-length", b"3"),
        (b"x-tokenwatch-app", b"me"),
        (b"x-tokenwatch-anything", b"1"),
        (b"accept", b"*/*"),
    ]
    assert headers.for_upstream(sent, keep_length=False) == [(b"accept", b"*/*")]
    assert headers.for_upstream(sent, keep_length=True) == [
        (b"content-length", b"3"),
        (b"accept", b"*/*"),
    ]


def test_answers_keep_cookies_limits_and_length():
    came = [
        (b"content-length", b"3"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-ratelimit-remaining-requests", b"5"),
        (b"connection", b"keep-alive"),
        (b"transfer-encoding", b"chunked"),
        (b"x-tokenwatch-cost", b"forged"),
        (b"location", b"/elsewhere"),
    ]
    ours = [(b"x-tokenwatch-request-id", b"1")]
    assert headers.for_client(came, ours, rewritten=False) == [
        (b"content-length", b"3"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-ratelimit-remaining-requests", b"5"),
        (b"location", b"/elsewhere"),
        *ours,
    ]


def test_a_rewritten_answer_loses_length_and_encoding():
    came = [(b"content-length", b"3"), (b"content-encoding", b"gzip"), (b"x", b"y")]
    assert headers.for_client(came, [], rewritten=True) == [(b"x", b"y")]


def test_text_for_the_ledger_is_printable_and_bounded():
    assert headers.clean("  a\x1b[31m\x00b\n ", 100) == "a[31mb"
    assert headers.clean("x" * 300, 200) == "x" * 200
    assert headers.text({b"n": b"\xff\xfe"}, b"n", 10) == "\ufffd\ufffd"
    assert headers.text({}, b"n", 10) == ""


def test_long_names_are_not_kept_in_memory():
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(200):
            long = b"%d" % number + b"x" * 100_000
            headers = [(b"x-tokenwatch-app", long), (b"user-agent", long)]
            scope = {"method": "GET", "path": "", "raw_path": b"/openai/" + long}
            identify({**scope, "headers": headers})
            identify({**scope, "headers": headers[1:]})
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2_000_000
