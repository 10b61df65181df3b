"""What a replay sends and how two answers compare. Pure.

Bodies are the JSON of either dialect, as `experiments.prompts` stores them; what is missing or
of another form reads as absent.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff
from typing import Any

from upstreams.dialects.base import JSON
from upstreams.dialects.values import mapping, objects, string

KINDS = ("chat", "completions", "responses", "messages")
"""Endpoints whose prompts can be replayed."""
COMPARED_WORDS = 1000
"""Words of an answer whose order is compared; the comparison is quadratic."""
DIFF_LINES = 40

_NATIVE = {
    "anthropic": ("claude-",),
    "openai": ("gpt-", "chatgpt-", "o1", "o3", "o4", "davinci-", "babbage-", "text-"),
}


def native_dialect(model: str) -> str:
    """The dialect that a model's own provider speaks; empty where the name does not say.

    Hosts offer all kinds of models in both dialects, so this is a first guess only.
    """
    for api_type, beginnings in _NATIVE.items():
        if model.lower().startswith(beginnings):
            return api_type
    return ""


def replay_body(text: str, model: str) -> JSON | None:
    """The stored request for another model, its answer not streamed: so the cost comes in the
    head. None where the request is no JSON object or works in the background."""
    body = parsed(text)
    if not isinstance(body, dict) or body.get("background") is True:
        return None
    body.pop("stream_options", None)
    if "stream" in body:
        body["stream"] = False
    return {**body, "model": model}


def parsed(text: str) -> Any:
    """The JSON value; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def answer_text(body: Any) -> str:
    """The words of an answer, without thinking and tool calls."""
    answer = mapping(body)
    if choices := objects(answer.get("choices")):
        message = mapping(choices[0].get("message"))
        return _said(message.get("content")) or string(choices[0].get("text"))
    if "output" in answer:
        items = objects(answer.get("output"))
        return "".join(
            _said(item.get("content")) for item in items if item.get("type") == "message"
        )
    return _said(answer.get("content")) or string(answer.get("completion"))


def _said(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(string(part.get("text")) for part in objects(content))


def tool_calls(body: Any) -> list[tuple[str, Any]]:
    """Name and arguments of every tool call, in an order that does not depend on theirs."""
    answer = mapping(body)
    found: list[tuple[str, Any]] = []
    for choice in objects(answer.get("choices"))[:1]:
        for call in objects(mapping(choice.get("message")).get("tool_calls")):
            function = mapping(call.get("function"))
            found.append((string(function.get("name")), _arguments(function.get("arguments"))))
    for item in objects(answer.get("output")):
        if item.get("type") == "function_call":
            found.append((string(item.get("name")), _arguments(item.get("arguments"))))
    for block in objects(answer.get("content")):
        if block.get("type") == "tool_use":
            found.append((string(block.get("name")), block.get("input")))
    return sorted(found, key=lambda call: json.dumps(call, sort_keys=True))


def _arguments(value: Any) -> Any:
    """Parsed, so that spelling does not count."""
    value_parsed = parsed(value) if isinstance(value, str) else value
    return value if value_parsed is None else value_parsed


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an answer agrees with the original. None where the original has no such thing."""

    text_ratio: float | None
    """Of the words in both, in their order: 0 to 1."""
    json_valid: bool | None
    json_equal: bool | None
    tools_equal: bool | None


def compare(original: Any, answer: Any) -> Comparison:
    """Compare two whole answers of one dialect."""
    before, after = answer_text(original), answer_text(answer)
    calls = tool_calls(original)
    document = _document(before)
    repeated = _document(after)
    return Comparison(
        text_ratio=text_ratio(before, after) if before else None,
        json_valid=None if document is None else repeated is not None,
        json_equal=None if document is None else repeated == document,
        tools_equal=None if not calls else tool_calls(answer) == calls,
    )


def _document(text: str) -> Any:
    """A JSON object or array; numbers and words are no documents."""
    value = parsed(text) if text.lstrip()[:1] in ("{", "[") else None
    return value if isinstance(value, (dict, list)) else None


def text_ratio(before: str, after: str) -> float:
    """Twice the words in common over all words (`difflib.SequenceMatcher.ratio`)."""
    if before == after:
        return 1.0
    words = [text.split()[:COMPARED_WORDS] for text in (before, after)]
    return SequenceMatcher(None, words[0], words[1], autojunk=False).ratio()


def difference(before: str, after: str) -> list[str]:
    """The lines that differ, as ``diff -u`` shows them, at most `DIFF_LINES`."""
    lines = list(unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))[2:]
    rest = len(lines) - DIFF_LINES
    return lines if rest <= 0 else [*lines[:DIFF_LINES], f"… {rest} more lines"]


def cosine(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Cosine similarity, -1 to 1; None for a zero vector."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    norms = sum(a * a for a in one) * sum(b * b for b in other)
    return dot / norms**0.5 if norms > 0 else None
