"""Error objects: what kind of error an answer reports, and errors of TokenWatch's own.

Providers behind one dialect disagree about the shape, gateways in front of them more so.
What cannot be read as an error reads as none: the status code is then all that is known.
"""

import re
from typing import Any

from upstreams.dialects.base import JSON

UNNAMED = "error"
"""The type of an error that names none."""

_NAME = re.compile(r"[\w.:/-]{1,80}")


def error_type(obj: JSON) -> str:
    """The kind of error that an answer or a stream event reports; empty where it reports none.

    ``error.type``, else ``error.code`` (Z.AI has only a code, OpenRouter a number). Flat errors
    count too: ``{"type": "error", "code": …}`` in a Responses stream, ``{"object": "error"}``
    of vLLM.
    """
    error = obj.get("error")
    if isinstance(error, dict) and error:
        return _named(error.get("type"), error.get("code"))
    if isinstance(error, str) and error:
        return _named(error)
    if obj.get("type") == "error":
        return _named(obj.get("code"))
    if obj.get("object") == "error":
        return _named(obj.get("type"), obj.get("code"))
    return ""


def _named(*values: Any) -> str:
    """The first of the values that is a name or a number; sentences are no names."""
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
    return UNNAMED
