"""OpenAI's streams put together: chunks with choices, and the events of Responses. Pure."""

from typing import Any

from upstreams.dialects.base import JSON
from upstreams.dialects.pieces import Pieces, grow, joined
from upstreams.dialects.values import mapping, objects, string

_TRANSPORT = frozenset({"choices", "object", "obfuscation"})


class Choices:
    """Chunks of chat completions and of text completions."""

    def __init__(self) -> None:
        self._head: JSON = {}
        self._choices: dict[int, JSON] = {}

    @property
    def ended(self) -> bool:
        return bool(self._choices) and all(
            choice.get("finish_reason") for choice in self._choices.values()
        )

    def add(self, chunk: JSON) -> None:
        if not isinstance(chunk.get("choices"), list):
            return
        kind = string(chunk.get("object"))
        self._head.setdefault("object", kind.removesuffix(".chunk") or "chat.completion")
        for name, value in chunk.items():
            if name not in _TRANSPORT and (value is not None or name not in self._head):
                self._head[name] = value
        for choice in objects(chunk["choices"]):
            self._add_choice(choice)

    def _add_choice(self, delta: JSON) -> None:
        number = delta.get("index")
        index = number if isinstance(number, int) else 0
        known = self._choices.setdefault(index, {"index": index})
        for name, value in delta.items():
            if name == "index":
                continue
            if name == "delta":
                grow(known.setdefault("message", {}), mapping(value))
            elif name in ("text", "logprobs", "content_filter_results"):
                grow(known, {name: value})
            elif value is not None or name not in known:
                known[name] = value

    def body(self) -> JSON:
        choices = [joined(self._choices[index]) for index in sorted(self._choices)]
        for choice in choices:
            for call in objects(mapping(choice.get("message")).get("tool_calls")):
                call.pop("index", None)  # only chunks have it
        return {**self._head, "choices": choices}


_LIFE = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class Response:
    """Typed events of the Responses API. The last of them carries the whole answer; only of a
    stream that broke off it must be put together."""

    def __init__(self) -> None:
        self._response: JSON = {}
        self._items: dict[int, JSON] = {}
        self.ended = False

    def add(self, event: JSON) -> None:
        kind = string(event.get("type"))
        if kind in _LIFE or kind in _ENDS:
            self._response = mapping(event.get("response")) or self._response
            self.ended = self.ended or kind in _ENDS
            return
        number = event.get("output_index")
        if not isinstance(number, int):
            return
        if kind in ("response.output_item.added", "response.output_item.done"):
            self._items[number] = dict(mapping(event.get("item")))
        elif (item := self._items.get(number)) is not None:
            _add_to_item(item, kind.removeprefix("response."), event)

    def body(self) -> JSON:
        items = [joined(self._items[number]) for number in sorted(self._items)]
        if items and not self._response.get("output"):
            return {**self._response, "output": items}
        return dict(self._response)


_CONTENT = {"output_text.delta": "text", "refusal.delta": "refusal", "reasoning_text.delta": "text"}
_WHOLE_ITEM = {
    "function_call_arguments.delta": "arguments",
    "mcp_call_arguments.delta": "arguments",
    "custom_tool_call_input.delta": "input",
    "code_interpreter_call_code.delta": "code",
}


def _add_to_item(item: JSON, kind: str, event: JSON) -> None:
    if kind == "content_part.added":
        _part(item, "content", event.get("content_index"), mapping(event.get("part")))
    elif kind == "reasoning_summary_part.added":
        _part(item, "summary", event.get("summary_index"), mapping(event.get("part")))
    elif kind == "reasoning_summary_text.delta":
        part = _part(item, "summary", event.get("summary_index"), {"type": "summary_text"})
        _append(part, "text", event.get("delta"))
    elif name := _CONTENT.get(kind):
        part = _part(item, "content", event.get("content_index"), {"type": kind[: -len(".delta")]})
        _append(part, name, event.get("delta"))
    elif name := _WHOLE_ITEM.get(kind):
        _append(item, name, event.get("delta"))


def _part(item: JSON, name: str, index: Any, made: JSON) -> JSON:
    """The part with this number; made where it has not been told of."""
    parts = item.get(name)
    if not isinstance(parts, list):
        parts = item[name] = []
    if not isinstance(index, int) or not 0 <= index < len(parts):
        parts.append(dict(made))
        return mapping(parts[-1])
    return mapping(parts[index])


def _append(holder: JSON, name: str, delta: Any) -> None:
    known = holder.get(name)
    if not isinstance(known, Pieces):
        known = holder[name] = Pieces([string(known)])
    known.append(string(delta))
