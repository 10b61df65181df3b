"""Usage that comes in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from upstreams.dialects.merge import merge_usage


def merged(*pieces):
    usage: dict = {}
    for piece in pieces:
        merge_usage(usage, piece)
    return usage


def test_the_newest_value_of_each_field_wins():
    assert merged({"a": 1, "b": 2}, {"b": 3, "c": 4}) == {"a": 1, "b": 3, "c": 4}


def test_null_says_nothing_and_zero_does():
    assert merged({"a": 1, "b": 2}, {"a": None, "b": 0}) == {"a": 1, "b": 0}


def test_nested_objects_are_merged():
    first = {"details": {"cached_tokens": 5, "audio_tokens": 1}}
    assert merged(first, {"details": {"audio_tokens": 2}}, {"details": None}) == {
        "details": {"cached_tokens": 5, "audio_tokens": 2}
    }


def test_arrays_are_replaced():
    assert merged({"iterations": [1]}, {"iterations": [1, 2]}) == {"iterations": [1, 2]}


def test_faulty_numbers_do_not_replace_good_ones():
    good = {"a": 7}
    faulty: list = [-1, 2**60, True, "many", [], {}, {"a": 1}]
    for bad in faulty:
        assert merged(good, {"a": bad}) == good


def test_the_pieces_are_left_as_they_were():
    first, second = {"details": {"a": 1}}, {"details": {"b": 2}}
    merged(first, second)
    assert (first, second) == ({"details": {"a": 1}}, {"details": {"b": 2}})


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | st.integers(0, 99))))
def test_a_field_has_its_last_value_that_is_not_null(pieces):
    expected: dict = {}
    for piece in pieces:
        expected |= {name: value for name, value in piece.items() if value is not None}
    assert merged(*pieces) == expected
