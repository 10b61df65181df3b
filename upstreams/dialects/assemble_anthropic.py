"""Anthropic's streams put together: messages, and legacy text completions. Pure."""

from typing import Any

import orjson

from upstreams.dialects.base import JSON
from upstreams.dialects.merge import merge_usage
from upstreams.dialects.pieces import Pieces, grow, joined
from upstreams.dialects.values import mapping, string


class Message:
    """``message_start``, content blocks and their deltas, ``message_delta``, ``message_stop``."""

    def __init__(self) -> None:
        self._message: JSON = {}
        self._blocks: dict[int, JSON] = {}
        self._inputs: dict[int, Pieces] = {}
        self.ended = False

    def add(self, event: JSON) -> None:
        kind = event.get("type")
        if kind == "message_start":
            self._message = dict(mapping(event.get("message")))
            self._message["usage"] = dict(mapping(self._message.get("usage")))
        elif kind == "message_delta":
            self._message.update(mapping(event.get("delta")))
            for name in event.keys() - {"type", "delta", "usage"}:
                self._message[name] = event[name]
            merge_usage(self._message.setdefault("usage", {}), mapping(event.get("usage")))
        elif kind == "message_stop":
            self.ended = True
        elif isinstance(index := event.get("index"), int):
            self._add_block(str(kind), index, event)

    def _add_block(self, kind: str, index: int, event: JSON) -> None:
        if kind == "content_block_start":
            self._blocks[index] = dict(mapping(event.get("content_block")))
        elif kind == "content_block_delta" and index in self._blocks:
            self._add_delta(index, mapping(event.get("delta")))

    def _add_delta(self, index: int, delta: JSON) -> None:
        kind, block = delta.get("type"), self._blocks[index]
        if kind == "input_json_delta":
            self._inputs.setdefault(index, Pieces()).append(string(delta.get("partial_json")))
        elif kind == "citations_delta":
            if not isinstance(block.get("citations"), list):
                block["citations"] = []
            block["citations"].append(delta.get("citation"))
        elif kind == "signature_delta":
            block["signature"] = delta.get("signature")
        else:  # text, thinking, and what comes later
            grow(block, {name: value for name, value in delta.items() if name != "type"})

    def body(self) -> JSON:
        for index, pieces in self._inputs.items():
            text = "".join(pieces)
            if not text:  # a tool without arguments: the block began with {}
                continue
            try:
                self._blocks[index]["input"] = orjson.loads(text)
            except orjson.JSONDecodeError:  # broken off
                self._blocks[index]["partial_input"] = text
        blocks: list[Any] = [joined(self._blocks[index]) for index in sorted(self._blocks)]
        return {**self._message, "content": blocks}


class Completion:
    """Events of the Text Completions API, each with a piece of ``completion``."""

    def __init__(self) -> None:
        self._body: JSON = {}
        self._text = Pieces()

    @property
    def ended(self) -> bool:
        return bool(self._body.get("stop_reason"))

    def add(self, event: JSON) -> None:
        if event.get("type") != "completion":
            return
        self._text.append(string(event.get("completion")))
        self._body.update(event)

    def body(self) -> JSON:
        return {**self._body, "completion": "".join(self._text)}
