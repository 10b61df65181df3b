"""Reading values that somebody else wrote: each guard gives what was meant, or nothing.

Providers send null, strings and floats where their documentation promises numbers, and an
upstream may send anything at all. A value of the wrong kind reads as absent; nothing raises.
"""

from typing import Any

import orjson

from upstreams.dialects.base import JSON

LARGEST = 2**53
"""Larger counts are taken for a fault; up to here, every JSON library reads the same number."""


def count(value: Any) -> int | None:
    """A number of tokens or calls: a whole number from 0 to `LARGEST` (7.0 is 7, true is not 1)."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and 0 <= value <= LARGEST:
        return value
    return None


def seconds(value: Any) -> float | None:
    """A duration: any number from 0 to `LARGEST`."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LARGEST:
        return float(value)
    return None


def string(value: Any) -> str:
    """The string, else an empty one."""
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> JSON:
    """The object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[JSON]:
    """The objects in an array; everything else in it is passed over."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def largest(*values: Any) -> int:
    """The largest of several spellings of one count; 0 where none of them is a count.

    Some hosts send a provider's own field beside OpenAI's and fill one of the two with zeros.
    """
    most = 0
    for value in values:
        # most spellings are absent in any one answer
        if value is not None and (counted := count(value)) is not None and counted > most:
            most = counted
    return most


def as_json(value: Any) -> str:
    """The value as compact JSON; empty where it is nested too deep to be written."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return ""
