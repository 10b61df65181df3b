"""Upstreams with their shares, and fallback models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.targets import parse_models, parse_split, pick, written


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("", ()),
        ("eu", (("eu", 1),)),
        ("eu=70, us=30", (("eu", 70), ("us", 30))),
        ("eu = 70\nus", (("eu", 70), ("us", 1))),
        ("a=b=2", (("a=b", 2),)),
        ("eu=1, spare=0,", (("eu", 1), ("spare", 0))),
        ("日本", (("日本", 1),)),
    ],
)
def test_reading_a_split(text, split):
    assert parse_split(text) == split
    if len(split) != 1 or split[0][1] == 1:
        assert parse_split(written(split)) == split


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("eu=", "no upstream with its weight"),
        ("eu=x", "no upstream with its weight"),
        ("eu=-1", "no upstream with its weight"),
        ("eu=1.5", "no upstream with its weight"),
        ("eu=²", "no upstream with its weight"),
        ("=1", "no upstream with its weight"),
        ("eu=1000001", "up to 1,000,000"),
        ("eu, eu=2", "once"),
        ("eu=0, us=0", "above 0"),
        ("eu=0", "above 0"),
        ("eu\rx", "printable"),
    ],
)
def test_a_split_that_cannot_be_read(text, said):
    with pytest.raises(ValueError) as caught:
        parse_split(text)
    assert said in str(caught.value)


def test_reading_models():
    assert parse_models("") == ()
    assert parse_models("gpt-4.1, gpt-4o-mini\nz/glm-4.7,") == (
        "gpt-4.1",
        "gpt-4o-mini",
        "z/glm-4.7",
    )
    with pytest.raises(ValueError, match="once"):
        parse_models("a, b, a")
    with pytest.raises(ValueError, match="printable"):
        parse_models("a, b\x1b")


@pytest.mark.parametrize(
    ("point", "order"),
    [
        (0.0, ("a", "c", "b")),
        (0.1999, ("a", "c", "b")),
        (0.2, ("b", "c", "a")),
        (0.2999, ("b", "c", "a")),
        (0.3, ("c", "a", "b")),
        (0.9999999999999999, ("c", "a", "b")),
    ],
)
def test_a_point_chooses_and_the_others_follow_by_weight(point, order):
    assert pick((("a", 2), ("b", 1), ("c", 7)), point) == order


def test_a_weight_of_0_only_stands_behind():
    assert pick((("spare", 0), ("eu", 1)), 0.0) == ("eu", "spare")
    assert pick((("eu", 1), ("spare", 0)), 0.9999999999999999) == ("eu", "spare")


def test_one_or_none():
    assert pick((), 0.5) == ()
    assert pick((("eu", 3),), 0.5) == ("eu",)


SPLITS = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 50), min_size=1)


@given(SPLITS.filter(lambda split: any(split.values())), st.floats(0, 1, exclude_max=True))
def test_every_upstream_is_named_once(split, point):
    order = pick(tuple(split.items()), point)
    assert sorted(order) == sorted(split)
    assert len(split) == 1 or split[order[0]] > 0


@given(SPLITS.filter(lambda split: any(split.values())))
def test_each_gets_its_share_of_the_points(split):
    total = sum(split.values())
    chosen = [pick(tuple(split.items()), (n + 0.5) / total)[0] for n in range(total)]
    if len(split) > 1:
        assert {name: chosen.count(name) for name in split} == split
