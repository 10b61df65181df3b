"""Edits of a request body touch one member and nothing else."""

import json
import string

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.bodies import asking_for_usage, member_span, multipart_model, with_member, with_model

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
bodies = st.dictionaries(
    st.sampled_from(["model", "stream_options", "messages", 'a"b', "", "ü"])
    | st.text(string.printable, max_size=6),
    json_values,
    max_size=6,
)


@given(bodies, st.sampled_from([None, 1, 4]), st.booleans())
def test_setting_a_member_changes_only_that_member(data, indent, ascii_only):
    body = json.dumps(data, indent=indent, ensure_ascii=ascii_only).encode()
    changed = with_member(body, "model", "new")
    assert orjson.loads(changed) == {**data, "model": "new"}
    span = member_span(body, "model")
    if span is None:
        assert "model" not in data
        assert changed.replace(b'"model":"new",', b"", 1).replace(b'"model":"new"', b"", 1) == body
    else:
        assert orjson.loads(body[span[0] : span[1]]) == data["model"]
        assert changed[: span[0]] == body[: span[0]]
        assert changed[span[0] + len(b'"new"') :] == body[span[1] :]


def nested(data):
    return st.builds(lambda n, d: {"a": [d] * n, "b": d}, st.integers(0, 2), data)


@given(
    st.one_of(bodies, nested(bodies), st.builds(lambda d: {**d, "model": "old"}, nested(bodies))),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.sampled_from(["new", "ü", 'a"b\\', "model"]),
)
def test_another_model_changes_only_the_model(data, indent, ascii_only, model):
    body = json.dumps(data, indent=indent, ensure_ascii=ascii_only).encode()
    assert with_model(body, data, model) == with_member(body, "model", model)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a","messages":[1.0e2 , "x"]}', b'{"model":"b","messages":[1.0e2 , "x"]}'),
        (b'{ "messages" : [], "model" :\n"a" }', b'{ "messages" : [], "model" :\n"b" }'),
        (b'{"mod\\u0065l":"a"}', b'{"mod\\u0065l":"b"}'),
        (b'{"x":{"model":"a"},"\\u006dodel":"a"}', b'{"x":{"model":"a"},"\\u006dodel":"b"}'),
        (b'{"text":"say \\"model\\": \\"x\\"","model":"a"}', None),
        (b'{"text":"model","model":"a"}', None),
        (b'{"model":"a","tools":[{"model":"x"}]}', None),
        (b'{"model":"x","model":"a"}', b'{"model":"x","model":"b"}'),
        (b'{"model":"\\ud83d\\ude00\\"a"}', b'{"model":"b"}'),
        (b'{"model":null,"x":1}', b'{"model":"b","x":1}'),
        (b'{"x":{"model":"a"}}', b'{"model":"b","x":{"model":"a"}}'),
        (b"{}", b'{"model":"b"}'),
    ],
)
def test_the_model_is_set_where_it_counts(body, expected):
    changed = with_model(body, orjson.loads(body), "b")
    assert orjson.loads(changed) == {**orjson.loads(body), "model": "b"}
    assert changed == (expected or body.replace(b'"model":"a"', b'"model":"b"'))


def test_the_last_of_repeated_members_counts_as_it_does_for_parsers():
    body = b'{"model": "a", "x": {"model": "inner"}, "model" : "b" }'
    assert with_member(body, "model", "c") == (
        b'{"model": "a", "x": {"model": "inner"}, "model" : "c" }'
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"model":"m","stream":true}',
            b'{"stream_options":{"include_usage":true},"model":"m","stream":true}',
        ),
        (b"  { }", b'  {"stream_options":{"include_usage":true} }'),
        (
            b'{"stream_options": null, "stream": true}',
            b'{"stream_options": {"include_usage":true}, "stream": true}',
        ),
        (
            b'{"stream":true,"stream_options":{"include_obfuscation":false}}',
            b'{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}',
        ),
        (
            b'{"stream_options":{"include_usage":false}}',
            b'{"stream_options":{"include_usage":true}}',
        ),
    ],
)
def test_usage_is_asked_for_in_place(body, expected):
    assert asking_for_usage(body, orjson.loads(body)) == expected


@pytest.mark.parametrize(
    "body", [b'{"stream_options":{"include_usage":true}}', b'{"stream_options":"nonsense"}']
)
def test_a_request_that_asks_or_is_wrong_stays_as_it_is(body):
    assert asking_for_usage(body, orjson.loads(body)) is None


def test_the_model_of_a_form_is_found_wherever_it_stands():
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="model"\r\n'
        b"Content-Type: audio/wav\r\n\r\nRIFF\r\n"
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
    )
    assert multipart_model(form) == "whisper-1"
    assert multipart_model(form[:100]) == ""
    assert multipart_model(b"") == ""
