"""Values that grow piece by piece while a stream is put together. Pure.

Text is kept as its pieces and joined once at the end: adding to a string that a container
holds would copy all of it with every delta.
"""

from typing import Any

from upstreams.dialects.base import JSON

_KEPT = frozenset({"role", "type", "id", "name", "call_id", "object", "status"})
"""Strings that are told once, or again and again, but never in pieces."""


class Pieces(list[str]):
    """A text that is not joined yet."""


def grow(known: JSON, delta: JSON) -> None:
    """Add a delta to what came before it, in place: text is appended, lists of numbered entries
    are merged by their ``index``, other lists extended, anything else replaced unless null."""
    for name, value in delta.items():
        old = known.get(name)
        if value is None:
            known.setdefault(name, None)
        elif isinstance(value, str):
            _grow_text(known, name, old, value)
        elif isinstance(value, dict):
            if not isinstance(old, dict):
                old = known[name] = {}
            grow(old, value)
        elif isinstance(value, list):
            if not isinstance(old, list) or isinstance(old, Pieces):
                old = known[name] = []
            _grow_list(old, value)
        else:
            known[name] = value


def _grow_text(known: JSON, name: str, old: Any, value: str) -> None:
    if name in _KEPT:
        known[name] = old or value
    elif isinstance(old, Pieces):
        old.append(value)
    else:
        known[name] = Pieces([old, value] if isinstance(old, str) else [value])


def _grow_list(known: list[Any], delta: list[Any]) -> None:
    for entry in delta:
        if not isinstance(entry, dict) or ("function" not in entry and "index" not in entry):
            known.append(entry)
            continue
        target = _entry(known, entry)
        grow(target, entry)


def _entry(known: list[Any], delta: JSON) -> JSON:
    """The entry that a delta continues. Some hosts number nothing: a new id is a new entry."""
    index = delta.get("index")
    for entry in reversed(known):
        if not isinstance(entry, dict):
            continue
        if isinstance(index, int):
            if entry.get("index") == index:
                return entry
        elif not delta.get("id") or entry.get("id") == delta["id"]:
            return entry
    made: JSON = {}
    known.append(made)
    return made


def joined(value: Any) -> Any:
    """The value with every text joined."""
    if isinstance(value, Pieces):
        return "".join(value)
    if isinstance(value, dict):
        return {name: joined(inner) for name, inner in value.items()}
    return [joined(item) for item in value] if isinstance(value, list) else value
