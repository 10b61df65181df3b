"""Patterns for names."""

import fnmatch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokenwatch.globs import is_pattern, matcher, matches_nothing

ALPHABET = "ab*?[]!-\n."


@given(st.text(ALPHABET, max_size=8), st.text("ab]!-\n.", max_size=12))
@example("*a[ab]", "aab")
@example("[*]", "*")
@example("*[!a]*b", "bbab")
@example("[]a]*", "]x")
@example("a[", "a[")
@example("*[a", "x[a")
def test_patterns_are_those_of_fnmatch(pattern, value):
    assert matcher(pattern)(value) == fnmatch.fnmatchcase(value, pattern)


def test_many_stars_end():
    assert not matcher("*a" * 100 + "b")("a" * 5_000)


@pytest.mark.parametrize(
    ("text", "expected"), [("gpt-4o", False), ("gpt-*", True), ("a?", True), ("[ab]", True)]
)
def test_what_is_a_pattern(text, expected):
    assert is_pattern(text) is expected


@pytest.mark.parametrize(("pattern", "expected"), [("[z-a]", True), ("[a-z]", False), ("", False)])
def test_what_nothing_can_match(pattern, expected):
    assert matches_nothing(pattern) is expected
