"""What a replay sends, how answers compare, what a judge says, what the report makes of it."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from experiments.replay_judge import MAX_TOKENS, judge_body, question, read_verdict
from experiments.replay_report import Outcome, difference, report
from experiments.replay_rules import (
    answer_text,
    compare,
    cosine,
    native_dialect,
    replay_body,
    text_ratio,
    tool_calls,
)
from experiments.replay_rules import difference as text_difference
from experiments.replay_view import as_dict, bars, figures
from tests.experiments.samples import chat_answer

MESSAGE = {
    "type": "message",
    "content": [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "Hello "},
        {"type": "text", "text": "there"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ],
}
RESPONSE = {
    "object": "response",
    "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "Hello there"}]},
        {"type": "function_call", "name": "f", "arguments": '{"a": 1}'},
    ],
}
CALL = {"type": "function", "id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}


@pytest.mark.parametrize(
    ("model", "dialect"),
    [
        ("claude-sonnet-4-5", "anthropic"),
        ("gpt-4o", "openai"),
        ("o3-mini", "openai"),
        ("glm-4.6", ""),
        ("anthropic/claude-sonnet-4-5", ""),
    ],
)
def test_the_dialect_of_a_models_own_provider(model, dialect):
    assert native_dialect(model) == dialect


def test_a_request_for_another_model():
    sent = replay_body('{"model": "a", "stream": true, "stream_options": {}, "n": 2}', "b")
    assert sent == {"model": "b", "stream": False, "n": 2}
    assert replay_body('{"model": "a"}', "b") == {"model": "b"}
    for text in ("", "[1]", "{", '{"background": true}'):
        assert replay_body(text, "b") is None


@pytest.mark.parametrize("body", [MESSAGE, RESPONSE, chat_answer("Hello there", tool_calls=[CALL])])
def test_text_and_tool_calls_in_every_dialect(body):
    assert answer_text(body) == "Hello there"
    assert tool_calls(body) == [("f", {"a": 1})]
    assert compare(body, body).tools_equal is True


def test_other_answers():
    assert answer_text({"choices": [{"text": "x"}]}) == "x"
    assert answer_text({"completion": "x"}) == "x"
    assert answer_text(chat_answer("x")) == "x"
    assert answer_text({"choices": "?"}) == answer_text(None) == answer_text([1]) == ""


@pytest.mark.parametrize(
    ("before", "after", "valid", "equal"),
    [
        ('{"a": 1}', '{ "a":1 }', True, True),
        ('{"a": 1}', '{"a": 2}', True, False),
        ("[1]", "no", False, False),
        ("12", "13", None, None),
        ("text", "{}", None, None),
    ],
)
def test_json_answers(before, after, valid, equal):
    found = compare(chat_answer(before), chat_answer(after))
    assert (found.json_valid, found.json_equal) == (valid, equal)


def test_the_order_and_the_spelling_of_tool_calls_do_not_count():
    def call(name, arguments):
        return {"function": {"name": name, "arguments": arguments}}

    first = chat_answer("", tool_calls=[call("f", '{"a":1}'), call("g", "x")])
    other = chat_answer("", tool_calls=[call("g", "x"), call("f", '{ "a": 1 }')])
    assert compare(first, other).tools_equal is True
    assert compare(first, chat_answer("no calls")).tools_equal is False
    assert compare(chat_answer("none"), first).tools_equal is None


@given(st.text(), st.text())
def test_likeness_is_between_0_and_1_and_1_for_the_same(one, other):
    assert 0 <= text_ratio(one, other) <= 1
    assert text_ratio(one, one) == 1
    assert compare(chat_answer(one), chat_answer(other)).text_ratio in (
        None,
        text_ratio(one, other),
    )


def test_cosine():
    assert cosine([1, 0], [0, 1]) == 0
    assert cosine([2, 2], [1, 1]) == pytest.approx(1)
    assert cosine([0, 0], [1, 1]) is None


def test_what_differs_is_shown_in_short():
    assert text_difference("a\nb", "a\nc") == ["@@ -1,2 +1,2 @@", " a", "-b", "+c"]
    long = text_difference("\n".join("ab" * 100), "x")
    assert len(long) == 41
    assert long[-1].endswith("more lines")


# The judge


@pytest.mark.parametrize("swapped", [False, True])
def test_the_judge_is_not_told_which_answer_is_which(swapped):
    text = question({"m": "q"}, chat_answer("old"), chat_answer("new"), swapped=swapped)
    assert (text.index("new") < text.index("old")) is swapped
    replayed, original = ("1", "2") if swapped else ("2", "1")

    def verdict(better, **scores):
        said = {"better": better, "reason": "r", "score_1": 0.1, "score_2": 0.2, **scores}
        return read_verdict(chat_answer(f"Sure: {json.dumps(said)}"), swapped=swapped)

    assert verdict(int(replayed)).verdict == "better"
    assert verdict(int(original)).verdict == "worse"
    assert verdict(0, **{f"score_{replayed}": 0.7}) is not None
    assert verdict(0, **{f"score_{replayed}": 0.7}).score == 0.7
    assert verdict(3) is None
    assert verdict(1, **{f"score_{replayed}": 7}) is None
    assert read_verdict(chat_answer("I cannot say"), swapped=swapped) is None
    assert read_verdict(None, swapped=swapped) is None


def test_what_a_judge_is_sent():
    assert judge_body("anthropic", "m", "q")["max_tokens"] == MAX_TOKENS
    assert "max_tokens" not in judge_body("openai", "m", "q")
    calls = question({}, chat_answer("", tool_calls=[CALL]), chat_answer("x"), swapped=False)
    assert "calls tools" in calls


# The report


PAIRS = st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=3, max_size=40)


@given(PAIRS.filter(lambda pairs: len({round(b - a, 3) for a, b in pairs}) > 1))
def test_intervals_are_those_of_the_paired_t_test(pairs):
    found = difference(pairs)
    theirs = ttest_rel([b for _, b in pairs], [a for a, _ in pairs]).confidence_interval(0.95)
    assert found is not None
    assert found.low == pytest.approx(theirs.low, rel=1e-6, abs=1e-6)
    assert found.high == pytest.approx(theirs.high, rel=1e-6, abs=1e-6)


def test_few_pairs_have_no_interval():
    assert difference([]) is None
    one = difference([(1.0, 3.0)])
    assert one is not None
    assert (one.mean, one.low, one.high) == (2.0, None, None)


def outcome(number, **values):
    defaults = {
        "sent": True,
        "ok": True,
        "original_cost": Decimal("0.002"),
        "cost": Decimal("0.001"),
        "original_latency_ms": 100,
        "latency_ms": 80 + number,
        "original_tokens": 10,
        "tokens": 12,
        "text_ratio": 0.5,
    }
    return Outcome(id=number, request_id=f"r{number}", **{**defaults, **values})


def test_a_report():
    outcomes = [
        *(outcome(number, similarity=number / 20) for number in range(20)),
        outcome(20, similarity=0.9, tools_equal=False, json_valid=True, json_equal=False),
        outcome(21, similarity=0.9, judge_score=0.4, verdict="worse"),
        outcome(22, ok=False, error="HTTP 500: no", cost=Decimal(0), similarity=None),
        outcome(23, cost=None, similarity=None),
        outcome(24, sent=False, ok=False),
    ]
    found = report(outcomes)
    assert (found.prompts, found.sent, found.failed, found.unpriced) == (25, 24, 1, 1)
    assert (found.cost, found.original_cost) == (Decimal("0.022"), Decimal("0.048"))
    assert (found.tokens, found.original_tokens) == (288, 240)
    assert found.cost_difference is not None
    assert found.cost_difference.pairs == 22
    assert found.cost_difference.mean == pytest.approx(-0.001)
    assert found.similarity_by == "meaning"
    assert sum(found.histogram) == 22
    assert (found.tools_equal.yes, found.tools_equal.of) == (0, 1)
    assert (found.json_valid.yes, found.json_equal.yes) == (1, 0)
    assert found.verdicts == {"worse": 1}
    assert found.errors == {"HTTP 500: no": 1}
    worst = [one.id for one in found.worst]
    assert len(worst) == 10
    assert worst[:3] == [0, 20, 22]  # no likeness, other tool calls, a failure
    shown = figures(found, "a", "b")
    assert ("Equal tool calls", "", "0 of 1", "") in shown
    assert any("95 %" in row[3] for row in shown)
    json.dumps(as_dict(found, {}, []))
    assert len(bars(found.histogram)) == 10


def test_an_empty_report():
    found = report([])
    assert (found.score, found.similarity, found.worst) == (None, None, ())
    assert bars(found.histogram) == []
    figures(found, "a", "b")


def test_the_same_answers_are_not_among_the_worst():
    found = report([outcome(1, text_ratio=1.0), outcome(2, text_ratio=None)])
    assert found.worst == ()
    assert found.similarity_by == "words"
    assert found.score == 1
