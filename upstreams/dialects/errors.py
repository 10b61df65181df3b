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


def failing_status(obj: JSON) -> int:
    """The status that an error event of a stream stands for, where its provider is overloaded,
    limits the rate or has failed; 0 for any other event, errors of the client's included.

    Names after Anthropic's and OpenAI's references; OpenRouter and others give a number.
    """
    error = obj.get("error")
    named = error if isinstance(error, dict) and error else obj
    if named is obj and not (obj.get("type") == "error" or obj.get("object") == "error"):
        return _FAILING.get(error, 0) if isinstance(error, str) else 0
    for value in (named.get("type"), named.get("code"), named.get("status")):
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            value = int(value)
        if isinstance(value, str) and (status := _FAILING.get(value.lower())):
            return status
        if isinstance(value, int) and (value == 429 or 500 <= value <= 599):
            return value
    return 0


_FAILING = {
    "overloaded_error": 529,
    "overloaded": 529,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "timeout_error": 504,
}
