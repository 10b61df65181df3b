"""Trace contexts: what a client may send, what an upstream gets, who is traced."""

from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tokenwatch.telemetry.context import Journey, Parent, Sampler, incoming, parse

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()


def by_the_library(value: bytes) -> Parent | None:
    carrier = {"traceparent": value.decode("latin-1")}
    context = TraceContextTextMapPropagator().extract(carrier)
    span = trace.get_current_span(context).get_span_context()
    if not span.is_valid:
        return None
    return Parent(span.trace_id, span.span_id, int(span.trace_flags))


hexes = st.text("0123456789abcdef", min_size=0, max_size=34)
parts = st.tuples(
    st.sampled_from(["00", "01", "cc", "ff", "0", "000"]),
    st.sampled_from([TRACE, "0" * 32, TRACE[:31], TRACE.upper()]) | hexes,
    st.sampled_from([SPAN, "0" * 16, SPAN + "0"]) | hexes,
    st.sampled_from(["00", "01", "02", "03", "ff", "1", "0g"]),
    st.sampled_from(["", "-more", "-", "x"]),
)


@given(parts)
@example(("00", TRACE, SPAN, "01", ""))
@example(("cc", TRACE, SPAN, "01", "-what-the-future-brings"))
@example(("00", TRACE, SPAN, "01", "-more"))
def test_a_traceparent_is_read_as_the_sdk_reads_it(pieces: tuple[str, ...]) -> None:
    value = ("-".join(pieces[:4]) + pieces[4]).encode()
    assert parse(value) == by_the_library(value)


def test_a_traceparent_that_comes_twice_does_not_count() -> None:
    headers = [(b"traceparent", GOOD)]
    assert incoming(dict(headers), headers) == parse(GOOD)
    assert incoming(dict(headers), headers * 2) is None


def test_the_upstream_gets_the_id_of_its_attempt_and_the_clients_trace() -> None:
    journey = Journey(parse(GOOD), b"vendor=1", sampled=True)
    headers = [(b"traceparent", GOOD), (b"tracestate", b"vendor=1"), (b"x", b"y")]
    sent = [journey.begin(headers, "main", "https://a.example", "m", 1.0) for _ in range(2)]
    contexts = []
    for pairs in sent:
        assert (b"tracestate", b"vendor=1") in pairs
        assert (b"x", b"y") in pairs
        ((_, value),) = [pair for pair in pairs if pair[0] == b"traceparent"]
        contexts.append(parse(value))
    assert [one.trace_id for one in contexts if one] == [int(TRACE, 16)] * 2
    assert [one.span_id for one in contexts if one] == [a.span_id for a in journey.attempts]
    assert len({int(SPAN, 16), journey.span_id, *(a.span_id for a in journey.attempts)}) == 4
    assert [one.flags for one in contexts if one] == [1, 1]


def test_a_trace_that_begins_here_takes_nothing_from_a_malformed_one() -> None:
    headers = [(b"traceparent", b"nonsense"), (b"tracestate", b"vendor=1")]
    journey = Journey(incoming(dict(headers), headers), b"", sampled=True)
    sent = journey.begin(headers, "main", "https://a.example", "m", 1.0)
    assert [name for name, _ in sent] == [b"traceparent"]
    assert (context := parse(sent[0][1])) is not None
    assert context.trace_id == journey.trace_id != 0


def test_without_a_trace_of_its_own_a_request_passes_its_context_as_it_came() -> None:
    unsampled = f"00-{TRACE}-{SPAN}-00".encode()
    headers = [(b"traceparent", unsampled), (b"tracestate", b"vendor=1")]
    parent = parse(unsampled)
    assert not Sampler(0).samples(parent, 0.0)
    journey = Journey(parent, b"", sampled=False)
    assert journey.begin(headers, "main", "https://a.example", "m", 1.0) == headers
    assert len(journey.attempts) == 1


def test_so_many_requests_a_second_are_traced() -> None:
    sampler = Sampler(3)
    moments = [0.0] * 5 + [0.9] + [1.0] * 5
    assert [sampler.samples(None, now) for now in moments].count(True) == 6
    assert sampler.untraced == 5
    assert all(Sampler(0).samples(None, 0.0) for _ in range(1000))
