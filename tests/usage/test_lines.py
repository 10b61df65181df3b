"""A row as a line of the spool: nothing is refused on the way out, anything is checked on the
way in."""

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.usage.samples import usage_row
from usage import lines
from usage.lines import LENGTHS, BadLineError, decode, encode, request_id_of
from usage.models import UsageRecord
from usage.rows import UsageRow

counts = st.integers(0, 10**15)
texts = st.text(max_size=300)


def line_with(**values):
    """A line as another version or a damaged disk might have left it."""
    return orjson.dumps({**msgspec.structs.asdict(usage_row()), **values})


def test_every_field_of_a_row_is_checked_and_has_a_column():
    fields = list(UsageRow.__struct_fields__)
    columns = [f.name for f in UsageRecord._meta.concrete_fields if not f.primary_key]
    assert fields == [*columns, "holds"]
    row = usage_row()
    assert msgspec.structs.asdict(decode(encode(row))) == msgspec.structs.asdict(row)


def test_texts_are_kept_as_long_as_their_columns():
    lengths = {f.name: f.max_length for f in UsageRecord._meta.concrete_fields if f.max_length}
    assert lengths == LENGTHS


@given(app=texts, tag=texts, tokens=counts, ttft=st.none() | counts, stream=st.booleans())
def test_a_row_comes_back_cut_to_its_columns(app, tag, tokens, ttft, stream):
    row = usage_row(
        source_app=app, feature_tag=tag, input_tokens=tokens, ttft_ms=ttft, stream=stream
    )
    line = encode(row)
    assert line.startswith(b"\n")
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 2
    back = decode(line)
    assert (back.input_tokens, back.ttft_ms, back.stream) == (tokens, ttft, stream)
    for sent, kept in ((app, back.source_app), (tag, back.feature_tag)):
        assert sent.replace("\0", "\ufffd").startswith(kept)
        assert len(kept.encode("utf-16-le")) <= 400
        assert "\0" not in kept
        if len(sent.encode("utf-16-le")) <= 400:
            assert len(kept) == len(sent)


def test_a_name_of_emoji_is_cut_to_what_oracle_counts():
    kept = decode(encode(usage_row(source_app="🦊" * 150))).source_app
    assert kept == "🦊" * 100


@pytest.mark.parametrize(
    "values",
    [{"source_app": "bad \udc80 byte"}, {"input_tokens": 2**70}, {"cost": object()}],
    ids=["lone surrogate", "huge number", "foreign type"],
)
def test_a_row_that_json_cannot_hold_is_still_a_line(values):
    row = usage_row(**values)
    assert request_id_of(encode(row)) == row.request_id


def test_a_lone_surrogate_costs_the_row_only_that_character():
    assert decode(encode(usage_row(source_app="a\udc80b"))).source_app == "a?b"


@given(
    app=texts,
    tokens=st.integers(-1, 10**16) | st.floats(-1, 100) | st.none(),
    cost=st.none() | st.sampled_from(["0.0000000001", "1", "-1.0", "1e3", "NaN", "x"]),
    ttft=st.none() | st.integers(-1, 10**16) | st.just(1.5),
    request_id=st.sampled_from(["a" * 32, "b", "é" * 32]),
)
def test_the_short_way_agrees_with_the_full_check(app, tokens, cost, ttft, request_id):
    line = line_with(
        source_app=app, input_tokens=tokens, cost=cost, ttft_ms=ttft, request_id=request_id
    )
    try:
        expected = lines._checked(orjson.loads(line))
    except BadLineError:
        with pytest.raises(BadLineError):
            decode(line)
    else:
        assert decode(line) == expected


def test_an_ordinary_row_takes_the_short_way(monkeypatch):
    monkeypatch.setattr(lines, "_checked", None)
    assert decode(encode(usage_row(session_id="s", ttft_ms=3))).session_id == "s"
    assert decode(encode(usage_row(cost=None))).cost is None


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[1]", b'"x"', b"null", b'{"request_id": "a"}', b"\xff\xfe", b'{"a": 1}'],
)
def test_what_is_no_row_is_refused(line):
    with pytest.raises(BadLineError):
        decode(line)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request_id", ""),
        ("request_id", "x" * 33),
        ("request_id", "caf\u00e9"),
        ("created_at", None),
        ("created_at", 1e12),
        ("created_at", -1),
        ("input_tokens", -1),
        ("input_tokens", 10**16),
        ("input_tokens", "7"),
        ("status_code", 40_000),
        ("stream", 1),
        ("cost", 0.1),
        ("cost", "NaN"),
        ("cost", "1e10"),
        ("cost", "one"),
        ("cache_similarity", "near"),
    ],
)
def test_a_value_that_no_column_can_hold_is_named(field, value):
    with pytest.raises(BadLineError, match=field):
        decode(line_with(**{field: value}))


def test_a_line_of_another_version_is_read():
    row = decode(line_with(invented_later=5))
    assert row.source_app == "crm"


@given(st.binary(max_size=200))
def test_no_garbage_raises_anything_else(garbage):
    with pytest.raises(BadLineError):
        decode(garbage)
    assert request_id_of(garbage) == "unknown"


@given(st.decimals(min_value=0, max_value=10**6, places=10))
def test_money_keeps_its_ten_decimals(amount):
    assert decode(encode(usage_row(cost=f"{amount:f}"))).cost == f"{amount:.10f}"
