"""Estimates of tokens from text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.upstreams.dialects.listening import ANTHROPIC, OPENAI
from upstreams.dialects.estimate import prompt_tokens, text_tokens

any_text = st.text(st.characters(codec="utf-8"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("你好世界", 4),
        ("こんにちは", 5),
        ("안녕", 2),
        ("привет", 3),
        ("é", 1),
        ("😀", 2),
        ("ab你é😀", 4),  # 2 + 4 + 2 + 8 quarters
    ],
)
def test_tokens_by_script(text, expected):
    assert text_tokens(text) == expected


def quarters(character):
    size = len(character.encode())
    return {1: 1, 2: 2, 3: 4, 4: 8}[size]


@given(any_text)
def test_the_shortcut_counts_as_a_loop_over_the_characters_would(text):
    assert text_tokens(text) == -(-sum(map(quarters, text)) // 4)


@given(any_text, any_text)
def test_longer_text_never_has_fewer_tokens(text, more):
    assert text_tokens(text) <= text_tokens(text + more) <= text_tokens(text) + text_tokens(more)


@given(st.text(min_size=1))
def test_text_is_never_free(text):
    assert text_tokens(text) > 0


def test_a_long_prompt_is_estimated_in_about_a_millisecond():
    body = {"messages": [{"role": "user", "content": "some words, 几个字 " * 5000}]}
    best = min(_seconds(lambda: prompt_tokens(OPENAI, body)) for _ in range(5))
    assert best < 0.01  # ten times what it takes


def _seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def test_messages_have_frames():
    one = {"messages": [{"role": "user", "content": "abcd"}]}
    two = {"messages": [*one["messages"], {"role": "assistant", "content": ""}]}
    for dialect in (OPENAI, ANTHROPIC):
        assert prompt_tokens(dialect, one) == 1 + 3 + 3
        assert prompt_tokens(dialect, two) - prompt_tokens(dialect, one) == 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"input": "abcdefgh"}, 2),
        ({"input": ["abcd", "efg"]}, 2),
        ({"input": [1, 2, 3, 4, 5]}, 5),
        ({"input": [[1, 2, 3], [4, 5]]}, 5),
        ({"prompt": [15496, 995]}, 2),
        ({"prompt": "abcd"}, 1),
        ({"input": [True, None, 1.5]}, 0),
        ({"input": 7, "messages": "none"}, 1),
        ({}, 0),
    ],
)
def test_inputs_that_are_no_messages(body, expected):
    assert prompt_tokens(OPENAI, body) == expected
