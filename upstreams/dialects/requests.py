"""What a request body says of itself, in either dialect. Pure; odd bodies say nothing."""

from typing import Any

from upstreams.dialects.base import JSON, Dialect
from upstreams.dialects.values import objects, string

_TEXT_PARTS = {"text", "input_text"}
_HUMAN = "\n\nHuman:"
_ASSISTANT = "\n\nAssistant:"


def requested_model(body: JSON) -> str:
    """The model that is asked for; empty where none is named."""
    return string(body.get("model"))


def wants_stream(body: JSON) -> bool:
    """Whether the answer is asked for as a stream of events."""
    return body.get("stream") is True


def offers_tools(body: JSON) -> bool:
    """Whether the model may call tools (or functions, OpenAI's older name)."""
    return any(isinstance(body.get(name), list) and body[name] for name in ("tools", "functions"))


def is_usage_only_chunk(obj: JSON) -> bool:
    """Whether a stream event is the one that exists only where usage was asked for: an OpenAI
    chunk without choices that carries a usage object."""
    return obj.get("choices") == [] and isinstance(obj.get("usage"), dict)


def last_user_text(dialect: Dialect, body: JSON) -> str:
    """What the user said last: the text of the newest user message that has any.

    Tool results come in user messages too, and are no words of the user's. Of a plain prompt
    or an input that is a string it is the whole; of several strings, the last.
    """
    if (text := _last_message(body.get("messages"))) or (text := _last_message(body.get("input"))):
        return text
    if dialect.api_type == "anthropic":
        return _last_turn(string(body.get("prompt")))
    return _last_string(body.get("input")) or _last_string(body.get("prompt"))


def _last_message(value: Any) -> str:
    for message in reversed(objects(value)):
        if message.get("role") == "user" and (text := _said(message.get("content"))):
            return text
    return ""


def _said(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = [part for part in objects(content) if part.get("type") in _TEXT_PARTS]
    return "\n".join(string(part.get("text")) for part in parts)


def _last_string(value: Any) -> str:
    if isinstance(value, list):
        value = next((item for item in reversed(value) if isinstance(item, str)), "")
    return string(value)


def _last_turn(prompt: str) -> str:
    """The last ``\\n\\nHuman:`` turn of a prompt for Anthropic's Text Completions."""
    turn = prompt.rpartition(_HUMAN)[2]
    return turn.partition(_ASSISTANT)[0].strip()
