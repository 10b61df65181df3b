"""Client keys: where they are found, and what they permit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.keys import (
    CREDENTIALS,
    OWN_HEADER,
    Denied,
    KeyRing,
    KeySpec,
    digest,
    names,
    take,
)
from access.store import new_key

KEY = b"tw-" + b"k" * 43


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"authorization", b"Bearer " + KEY),
        (b"authorization", b"bearer   " + KEY + b" "),
        (b"authorization", KEY),
        (b"x-api-key", KEY),
        (b"api-key", KEY),
        (b"x-goog-api-key", KEY),
        (OWN_HEADER, KEY),
    ],
)
def test_a_key_is_taken_from_each_usual_header(name, value):
    rest = [(b"accept", b"*/*"), (b"user-agent", b"x")]
    assert take([rest[0], (name, value), rest[1]]) == (KEY, rest)


def test_without_a_key_the_very_same_headers_pass():
    headers = [(b"authorization", b"Bearer sk-live"), (b"x-api-key", b"sk-tw-x")]
    found, passed = take(headers)
    assert found == b""
    assert passed is headers


def test_the_clients_own_credential_stays_beside_a_key():
    own = (b"authorization", b"Bearer sk-live")
    assert take([own, (OWN_HEADER, KEY)]) == (KEY, [own])
    assert take([(b"x-api-key", KEY), own]) == (KEY, [own])


def test_what_the_own_header_holds_is_a_key_whatever_it_is():
    assert take([(OWN_HEADER, b"sk-live")]) == (b"sk-live", [])
    assert take([(OWN_HEADER, b"")])[0] != b""


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*sorted(CREDENTIALS), OWN_HEADER, b"accept"]),
            st.sampled_from([KEY, b"Bearer " + KEY, b"BEARER\t" + KEY, b"sk-1", b"Bearer sk-2"]),
        )
    )
)
def test_no_key_stays_in_a_header_that_carries_one(headers):
    found, passed = take(headers)
    carriers = [value for name, value in headers if name != b"accept"]
    assert not any(KEY in value for name, value in passed if name != b"accept")
    if any(KEY in value for value in carriers):
        assert found != b""
    kept = [value for name, value in passed if name in CREDENTIALS]
    assert kept == [value for name, value in headers if name in CREDENTIALS and b"sk-" in value]


def test_keys_are_long_and_differ():
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(len(key) == 46 and take([(b"x-api-key", key.encode())])[0] for key in made)


def test_a_ring_knows_good_keys_only():
    ring = KeyRing(
        {
            digest(KEY): KeySpec(1, "good"),
            digest(b"tw-off"): KeySpec(2, "off", enabled=False),
            digest(b"tw-old"): KeySpec(3, "old", expires_at=100.0),
        }
    )
    assert ring.find(KEY, 50.0).name == "good"
    assert ring.find(b"tw-old", 99.9).name == "old"
    for key, code in (
        (b"tw-off", "client_key_revoked"),
        (b"tw-old", "client_key_expired"),
        (KEY[:-1], "client_key_unknown"),
        (digest(KEY).encode(), "client_key_unknown"),
    ):
        with pytest.raises(Denied) as caught:
            ring.find(key, 100.0)
        assert (caught.value.denial.status, caught.value.denial.code) == (401, code)
        assert key.decode() not in caught.value.denial.message


def test_patterns_of_models_and_upstreams():
    key = KeySpec(1, "k", models=names("gpt-4o-mini, claude-*\nx"), upstreams=("eu-?",))
    assert [m for m in ("gpt-4o-mini", "gpt-4o", "claude-3", "x", "") if key.allows_model(m)] == [
        "gpt-4o-mini",
        "claude-3",
        "x",
    ]
    assert key.allows_upstream("eu-1")
    assert not key.allows_upstream("us-1")
    assert KeySpec(1, "all").allows_model("")
