"""Finding the text in messages, content parts and tool calls, for estimating tokens.

Providers' content blocks are many and grow in number, so they are read by the names of their
members. Whatever is not named here is left out, above all base64 of images, audio and files,
and signatures.
"""

from typing import Any

from upstreams.dialects.values import as_json

DEEPEST = 12
"""Levels of blocks within blocks that are read; real ones have about four."""

_MEMBERS = (
    "text",
    "thinking",
    "refusal",
    "name",
    "arguments",
    "title",
    "transcript",
    "code",
    "completion",
    "content",
    "tool_calls",
    "function_call",
    "function",
    "output",
    "summary",
    "audio",
)
"""Members that hold text, a block, or an array of blocks."""

_REASONING = ("reasoning_content", "reasoning")
"""Two spellings of one thing; hosts that send both repeat the text."""


def collect(value: Any, into: list[str], depth: int = 1) -> None:
    """Append every piece of text in a message, a content block, or an array of them."""
    if isinstance(value, str):
        into.append(value)
    elif depth > DEEPEST:
        return
    elif isinstance(value, list):
        for item in value:
            collect(item, into, depth + 1)
    elif isinstance(value, dict):
        _collect_reasoning(value, into)
        for name in _MEMBERS:
            if inner := value.get(name):
                collect(inner, into, depth + 1)
        _collect_input(value.get("input"), into)
        _collect_source(value.get("source"), into, depth)


def _collect_reasoning(block: dict[str, Any], into: list[str]) -> None:
    for name in _REASONING:
        if isinstance(text := block.get(name), str) and text:
            into.append(text)
            return


def _collect_input(value: Any, into: list[str]) -> None:
    """What a tool is called with: an object in Anthropic's dialect, text in OpenAI's."""
    if isinstance(value, str):
        into.append(value)
    elif value:
        into.append(as_json(value))


def _collect_source(value: Any, into: list[str], depth: int) -> None:
    """An Anthropic document whose source is text; other sources are base64 or addresses."""
    if not isinstance(value, dict):
        return
    if value.get("type") == "text" and isinstance(text := value.get("data"), str):
        into.append(text)
    elif value.get("type") == "content":
        collect(value.get("content"), into, depth + 1)


def body_text(body: dict[str, Any], blocks: tuple[str, ...], schemas: tuple[str, ...]) -> str:
    """The text of a request: members that hold messages or text, and members sent as JSON."""
    pieces: list[str] = []
    for name in blocks:
        if value := body.get(name):
            collect(value, pieces)
    pieces += [as_json(value) for name in schemas if (value := body.get(name))]
    return "\n".join(pieces)
