"""Whose credential an upstream gets: the client's, its own, or none. Pure.

A client's key is for the host that its owner chose. Wherever it is not to go, everything that
can carry one is taken out: the header of either dialect, those of Azure and Google, cookies, and
the query's ``key``. What names the client's account at one provider goes with it.
"""

import re

Pairs = list[tuple[bytes, bytes]]

_CARRIES = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"cookie",
        b"openai-organization",
        b"openai-project",
    }
)
_SCHEMES = ("Bearer ", "Basic ")
_OAUTH = "sk-ant-oat"
"""Anthropic takes its OAuth tokens as bearer tokens only."""
_QUERY_KEY = re.compile(r"(?:^|&)(?:key|api_key|api-key|access_token)=[^&]*", re.IGNORECASE)


def replaced(headers: Pairs, api_type: str, credential: str) -> Pairs:
    """The headers with this credential in place of whatever the client sent; empty for none.

    OpenAI's dialect takes ``Authorization: Bearer``, Anthropic's ``x-api-key``; a credential that
    names its scheme (``Bearer …``) goes into ``Authorization`` as it is.
    """
    kept = [pair for pair in headers if pair[0] not in _CARRIES]
    if credential:
        kept.append(header(api_type, credential))
    return kept


def header(api_type: str, credential: str) -> tuple[bytes, bytes]:
    """The header in which a dialect carries a credential."""
    if credential.startswith(_SCHEMES):
        return b"authorization", credential.encode()
    if api_type == "anthropic" and not credential.startswith(_OAUTH):
        return b"x-api-key", credential.encode()
    return b"authorization", b"Bearer " + credential.encode()


def query_without_key(query: str) -> str:
    """A query string without the members that carry a key; all else as it stands."""
    return _QUERY_KEY.sub("", query).removeprefix("&") if "=" in query else query
