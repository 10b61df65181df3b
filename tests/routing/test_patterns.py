"""Regular expressions that operators write."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from routing.patterns import LONGEST, SEARCHED, Pattern, PatternError, any_of, check, encode


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("refund", "I want a refund.", True),
        ("refund", "I want a Refund.", False),
        ("(?i)refund|money back", "MONEY BACK!", True),
        ("^translate", "please translate", False),
        (r"\btax\b", "syntax", False),
        ("(?i)straße", "STRAẞE 5", True),
        (r"\p{Han}", "你好", True),
        ("^$", "", True),
        ("a.c", "a\nc", False),
    ],
)
def test_searching(pattern, text, expected):
    assert Pattern(pattern).searches(encode(text)) is expected


def test_only_the_beginning_of_a_long_text_is_searched():
    assert Pattern("end").searches(encode("x" * (SEARCHED - 3) + "end"))
    assert not Pattern("end").searches(encode("x" * SEARCHED + "end"))
    assert len(encode("ä" * SEARCHED)) <= SEARCHED


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "empty"),
        ("a" * (LONGEST + 1), "longer than"),
        ("(a", "missing )"),
        ("(?=x)y", "look-around"),
        ("(?<!x)y", "look-around"),
        (r"(a)\1", "references back"),
        ("a{1001}", "may count to 1000"),
        ("((a{100}){100}){100}", "repetition"),
        ("[z-a]", "range"),
        ("*", "repetition"),
    ],
)
def test_what_cannot_be_used_says_why(pattern, said):
    with pytest.raises(PatternError, match=r".") as caught:
        check(pattern)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$"]
)
def test_patterns_that_blow_up_elsewhere_do_not_here(pattern):
    """Backtracking would take longer than the universe for these; the engine has none."""
    assert isinstance(Pattern(pattern)._search.__self__, re2._Regexp)
    assert not Pattern(pattern).searches(b"a" * SEARCHED + b"!")


@given(st.text(max_size=30), st.text())
def test_any_pattern_is_refused_or_searches_any_text(pattern, text):
    try:
        check(pattern)
    except PatternError:
        return
    found = Pattern(pattern)
    assert found.searches(encode(text)) is (found.span(text) is not None)


@given(
    st.lists(st.sampled_from(["a+b", "(?i)X", "c|d", "^e", "f$", "(?P<n>g)"]), min_size=1),
    st.text("abXxcdefg "),
)
def test_one_pattern_for_all_says_whether_any_matches(sources, text):
    patterns = [Pattern(source) for source in sources]
    together = any_of(patterns)
    assert together is not None
    searched = encode(text)
    assert together.searches(searched) is any(one.searches(searched) for one in patterns)


def test_where_a_pattern_matches_is_told_in_characters():
    assert Pattern("b+").span("äabbc") == (2, 4)
    assert Pattern("z").span("äabbc") is None
