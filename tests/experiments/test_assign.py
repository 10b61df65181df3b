"""Who gets which variant."""

from dataclasses import replace
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.assign import BUCKETS, TestSet, TestSpec, bucket, overlaps, shadows

SESSIONS = [f"session-{number}" for number in range(100_000)]


def spec(id=1, name="", **values):
    defaults = {"model_a": "small", "model_b": "large", "share": 0.5, "salt": f"salt{id}"}
    return TestSpec(id=id, name=name or f"test {id}", **{**defaults, **values})


def asked(**values):
    defaults = {"api_type": "openai", "model": "gpt", "app": "crm", "tag": "", "session": "s"}
    return {**defaults, "request_id": "0" * 32, **values}


def assigned(tests, **values):
    found = tests.assign(**asked(**values))
    assert found is not None
    return found


@pytest.mark.parametrize("share", [0.5, 0.1, 0.999])
def test_100_000_sessions_split_within_the_binomial_interval(share):
    test = TestSet([spec(share=share)])
    got_a = sum(assigned(test, session=s).variant == "A" for s in SESSIONS)
    low, high = stats.binom.interval(0.999, len(SESSIONS), share)
    assert low <= got_a <= high


def test_a_session_is_on_the_same_side_every_time():
    test, again = TestSet([spec()]), TestSet([spec(), spec(id=2, app="other")])
    for session in SESSIONS[:2000]:
        sides = {
            assigned(each, session=session, request_id=request, tag=request).variant
            for each in (test, again)
            for request in ("a", "b")
        }
        assert len(sides) == 1


def test_the_hash_is_the_documented_one():
    digest = blake2b("salt1:sessiön".encode(), digest_size=8).digest()
    assert bucket("salt1", "sessiön") == int.from_bytes(digest, "big")
    # Fixed for ever: a change here would move every running test's sessions.
    assert bucket("5f0c", "abc") == 884_100_486_829_416_543
    edge = bucket("salt1", "s") / BUCKETS
    assert assigned(TestSet([spec(share=edge + 1e-9)])).variant == "A"
    assert assigned(TestSet([spec(share=edge - 1e-9)])).variant == "B"


def test_without_a_session_each_request_is_on_its_own():
    test = TestSet([spec()])
    ids = [f"{number:032x}" for number in range(400)]
    sides = [assigned(test, session="", request_id=one).variant for one in ids]
    assert 140 < sides.count("A") < 260
    assert sides == [assigned(test, session="", request_id=one).variant for one in ids]


def test_a_larger_share_moves_only_the_sessions_in_between():
    few, more = TestSet([spec(share=0.5)]), TestSet([spec(share=0.6)])
    moved = 0
    for session in SESSIONS[:20_000]:
        before = assigned(few, session=session).variant
        after = assigned(more, session=session).variant
        assert (before, after) != ("A", "B")
        moved += before != after
    assert 0.09 < moved / 20_000 < 0.11


def test_two_tests_split_independently_of_each_other():
    one, other = TestSet([spec(1)]), TestSet([spec(2)])
    sides = [
        (assigned(one, session=s).variant, assigned(other, session=s).variant)
        for s in SESSIONS[:20_000]
    ]
    for pair in ("AA", "AB", "BA", "BB"):
        assert 0.235 < sides.count((pair[0], pair[1])) / 20_000 < 0.265


def test_a_variant_gives_its_model():
    test = TestSet([spec(name="t")])
    found = {assigned(test, session=s) for s in SESSIONS[:50]}
    assert {(one.test, one.variant, one.model) for one in found} == {
        ("t", "A", "small"),
        ("t", "B", "large"),
    }


@pytest.mark.parametrize(
    ("scope", "request_values", "applies"),
    [
        ({}, {}, True),
        ({"app": "crm"}, {}, True),
        ({"app": "CRM"}, {}, False),
        ({"app": "other"}, {}, False),
        ({"tag": "t"}, {}, False),
        ({"tag": "t"}, {"tag": "t"}, True),
        ({"model": "gpt"}, {}, True),
        ({"model": "gpt-4"}, {}, False),
        ({"api_type": "openai"}, {}, True),
        ({"api_type": "anthropic"}, {}, False),
        ({"app": "crm", "model": "gpt"}, {}, True),
        ({"app": "crm", "model": "x"}, {}, False),
        ({"status": "paused"}, {}, False),
        ({}, {"model": ""}, False),
    ],
)
def test_scopes(scope, request_values, applies):
    found = TestSet([spec(**scope)]).assign(**asked(**request_values))
    assert (found is not None) is applies


def test_the_oldest_that_fits_goes_first_however_they_are_given():
    old, wide, narrow = spec(1, app="crm"), spec(2), spec(3, app="crm", model="gpt")
    for order in ([old, wide, narrow], [narrow, wide, old]):
        tests = TestSet(order)
        assert assigned(tests).test == "test 1"
        assert assigned(tests, app="x").test == "test 2"
    paused = TestSet([replace(old, status="paused"), narrow])
    assert assigned(paused).test == "test 3"
    assert TestSet([]).assign(**asked()) is None


def test_why():
    tests = TestSet(
        [
            spec(1, app="other"),
            spec(2, status="paused"),
            spec(3, tag="t"),
            spec(4),
            spec(5, model="gpt"),
        ]
    )
    said = tests.explain(**asked())
    assert [one.applies for one in said] == [False, False, False, True, False]
    assert said[0].reason == "the app is crm, not other"
    assert said[1].reason == "it is paused"
    assert said[2].reason == "the tag is not given, not t"
    assert "the session falls on 0." in said[3].reason
    assert said[4].reason == "the older test test 4 takes the request"
    assert {one.reason for one in TestSet([spec()]).explain(**asked(model=""))} == {
        "the request names no model"
    }


values = st.sampled_from(["", "a", "b"])
specs = st.builds(
    TestSpec,
    id=st.integers(1, 10**6),
    name=st.uuids().map(str),
    model_a=st.just("x"),
    model_b=st.just("y"),
    share=st.floats(0.01, 0.99),
    salt=st.text(max_size=5),
    api_type=values,
    app=values,
    tag=values,
    model=values,
    status=st.sampled_from(["active", "active", "paused"]),
)


@given(
    st.lists(specs, max_size=20, unique_by=lambda one: one.id),
    st.tuples(values, values, values, values),
    st.text(),
)
def test_what_is_explained_is_what_is_done(tests, request_values, session):
    api_type, app, tag, model = request_values
    call = asked(api_type=api_type, app=app, tag=tag, model=model, session=session)
    found = TestSet(tests)
    assignment, said = found.assign(**call), found.explain(**call)
    assert [one.test for one in said if one.applies] == ([assignment.test] if assignment else [])
    assert len(said) == len(tests)
    if assignment:
        (reason,) = [one.reason for one in said if one.applies]
        assert f"variant {assignment.variant}" in reason
    fits = [one for one in sorted(tests, key=lambda one: one.id) if _fits(one, call)]
    assert (assignment.test if assignment else None) == (fits[0].name if fits else None)


def _fits(one, call):
    return bool(
        one.status == "active"
        and call["model"]
        and all(
            getattr(one, name) in ("", call[name]) for name in ("api_type", "app", "tag", "model")
        )
    )


def test_overlaps_and_shadows():
    assert overlaps(spec(app="a"), spec(tag="t"))
    assert not overlaps(spec(app="a"), spec(app="b"))
    assert shadows(spec(), spec(app="a"))
    assert shadows(spec(app="a"), spec(app="a", tag="t"))
    assert not shadows(spec(app="a"), spec())
