"""Which tag a request gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.tags import TagRules, TagSpec


def rules(*rows):
    return TagRules(
        TagSpec(number, f"r{number}", priority, kind, pattern, tag)
        for number, (priority, kind, pattern, tag) in enumerate(rows, 1)
    )


def tag(of, app="", text=""):
    return of.tag(app, lambda: text)


@pytest.mark.parametrize(
    ("kind", "pattern", "app", "text", "expected"),
    [
        ("tag_app", "checkout", "checkout", "", True),
        ("tag_app", "checkout", "Checkout", "", True),
        ("tag_app", "checkout", "checkout-2", "", False),
        ("tag_app", "straße", "STRASSE", "", True),
        ("tag_app", "checkout", "", "", False),
        ("tag_app_contains", "check", "my-Checkout", "", True),
        ("tag_app_contains", "check", "other", "check", False),
        ("tag_regex", "refund", "refund", "", False),
        ("tag_regex", "(?i)refund", "", "A Refund, please", True),
        ("tag_regex", ".*", "", "", False),
        ("tag_regex", "付款", "", "请问付款方式", True),
    ],
)
def test_kinds(kind, pattern, app, text, expected):
    assert tag(rules((1, kind, pattern, "t")), app, text) == ("t" if expected else "")


def test_the_lowest_priority_number_wins_then_the_oldest():
    of = rules(
        (50, "tag_app", "a", "app"),
        (10, "tag_regex", "x", "text"),
        (50, "tag_app_contains", "a", "later"),
    )
    assert tag(of, "a", "x") == "text"
    assert tag(of, "a", "y") == "app"
    assert tag(of, "ab", "y") == "later"
    assert tag(of, "b", "y") == ""


def test_the_message_is_read_only_where_it_could_matter_and_once():
    read = []
    of = rules((1, "tag_app", "a", "app"), (2, "tag_regex", "x", "1"), (3, "tag_regex", "y", "2"))

    def text():
        read.append(1)
        return "y"

    assert of.tag("a", text) == "app"
    assert read == []
    assert of.tag("b", text) == "2"
    assert read == [1]
    assert rules().tag("b", text) == ""
    assert read == [1]


ROW = st.tuples(
    st.integers(0, 3),
    st.sampled_from(["tag_app", "tag_app_contains", "tag_regex"]),
    st.sampled_from(["a", "b", "ab", "A|b", "b$"]),
    st.sampled_from(["t1", "t2", "t3"]),
)


@given(st.lists(ROW, max_size=8), st.text("ab", max_size=3), st.text("abA", max_size=4))
def test_it_is_the_first_in_order_that_matches_alone(rows, app, text):
    of = rules(*rows)
    alone = [spec for spec in of.specs if tag(TagRules([spec]), app, text)]
    assert tag(of, app, text) == (alone[0].tag if alone else "")
    assert tag(of, app, text) == tag(of, app, text)
