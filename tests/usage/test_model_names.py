"""The many ways of writing one model's name."""

import time

import pytest

from usage import model_names


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
        ("claude-sonnet-4-5@default", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("claude-opus-4-6-v1", "claude-opus-4-6"),
    ],
)
def test_dates_and_revisions_are_taken_off(name, base):
    assert base in model_names.undated(name)


@pytest.mark.parametrize(
    "name",
    ["glm-4-7-flash", "gpt-4-0613", "deepseek-v3", "gpt-4-1-mini", "model-99999999", "x-2024-0806"],
)
def test_other_endings_are_another_model(name):
    assert list(model_names.undated(name)) == [name]


def test_dots_between_digits_are_dashes():
    assert model_names.canonical(" Claude-Opus-4.6 ") == "claude-opus-4-6"
    assert model_names.canonical("some.model-1.5") == "some.model-1-5"


def test_prefixes_come_off_one_by_one():
    names = model_names.without_prefixes("publishers/anthropic/models/claude-x")
    assert [name for _, name in names][-1] == "claude-x"
    assert list(model_names.without_prefixes("us.anthropic.claude-x-v1:0"))[-1] == (
        "anthropic",
        "claude-x-v1:0",
    )


def test_a_fine_tuned_name_keeps_its_mark():
    assert list(model_names.without_prefixes("ft:gpt-4o:org::1")) == [("", "ft:gpt-4o:org::1")]


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("claude-*", "claude-x", "my-claude-x"),
        ("*-flash", "glm-4-7-flash", "glm-4-7-flashx"),
        ("a*b*c", "a-b-c", "a-c-b"),
        ("a*a", "aa", "a"),
        ("*", "", None),
    ],
)
def test_a_star_stands_for_any_text(pattern, matching, other):
    assert model_names.matches_glob(matching, pattern)
    assert other is None or not model_names.matches_glob(other, pattern)


def test_a_name_made_to_be_slow_is_not():
    started = time.perf_counter()
    assert not model_names.matches_glob("a" * 256, "*a" * 60 + "*b")
    list(model_names.undated("-latest" * 36))
    assert time.perf_counter() - started < 0.5
