"""Whether a request may be answered from the cache, and its answer kept. Pure.

Whatever is not known to be safe is a bypass, with its reason: the row and `explain-request`
show it. A request that may be answered by a similar one's answer is `semantic` too.
"""

import re
from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]

KINDS = frozenset({"chat", "completions", "responses", "messages", "embeddings"})

_TTL = re.compile(r"ttl=([0-9]{1,10})")
_FREE_CHOICES = frozenset({"auto", "none"})
_MEDIA = re.compile(
    rb'"type"\s*:\s*"[^"]*(?:image|audio|file|document|video)'
    rb'|"(?:image_url|input_audio|file_id|file_data|image|file)"\s*:'
)
_CLIENT_TOOLS = ("bash_", "text_editor_", "memory_", "custom", "function")
"""Types of tools that the client itself runs: the answer only asks for them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the cache may do with a request."""

    reason: str = ""
    """Why nothing at all; empty where it may do something."""
    reads: bool = False
    keeps: bool = False
    semantic: bool = False
    ttl: int = 0
    """Seconds that the answer is kept, and that a kept one may be old."""
    exact_only: str = ""
    """Why the semantic tier has no part in it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client's ``X-TokenWatch-Cache`` asks for."""

    reads: bool = True
    keeps: bool = True
    ttl: int | None = None
    problem: str = ""


def wish(header: str) -> Wish:
    """Read ``no-store``, ``no-cache`` and ``ttl=N``, several with commas between them.

    What cannot be understood keeps the cache out of it: the safest that may have been meant.
    """
    reads = keeps = True
    ttl: int | None = None
    for word in header.lower().split(","):
        directive = word.strip()
        if directive == "no-store":
            reads = keeps = False
        elif directive == "no-cache":
            reads = False
        elif match := _TTL.fullmatch(directive):
            ttl = int(match[1])
        elif directive:
            return Wish(False, False, None, f"X-TokenWatch-Cache: {directive[:40]!r} is not known")
    return Wish(reads, keeps, ttl)


def judge(
    *,
    method: str,
    kind: str,
    body: bytes | None,
    data: JSON | None,
    header: str,
    ttl: int,
    semantic: bool = True,
) -> Verdict:
    """What the cache may do with a request; ``ttl`` is the setting's, and the most.

    ``semantic``: whether there is a semantic tier to ask for.
    """
    asked = wish(header) if header else Wish()
    if asked.problem:
        return Verdict(asked.problem)
    if not asked.reads and not asked.keeps:
        return Verdict("no-store")
    if asked.ttl == 0:
        return Verdict("ttl=0")
    if method != "POST" or kind not in KINDS:
        return Verdict("endpoint")
    if data is None or not body:
        return Verdict("body is not a JSON object")
    if reason := _unfit(kind, data):
        return Verdict(reason)
    exact_only = _exact_only(kind, body, data) if semantic else "off"
    return Verdict(
        reads=asked.reads,
        keeps=asked.keeps,
        semantic=not exact_only,
        ttl=ttl if asked.ttl is None else min(ttl, asked.ttl),
        exact_only=exact_only,
    )


def _unfit(kind: str, data: JSON) -> str:
    """Why the same request need not get the same answer again."""
    if kind == "embeddings":
        return ""
    if not _is_zero(data.get("temperature")):
        return "temperature"
    for member in ("n", "best_of"):
        if not _is_one(data.get(member)):
            return "several choices"
    if not _free(data.get("tool_choice")) or not _free(data.get("function_call")):
        return "a tool is required"
    for member in ("background", "conversation", "prompt") if kind == "responses" else ():
        if data.get(member):
            return member
    for member in ("web_search_options", "mcp_servers", "container"):
        if data.get(member):
            return f"the provider's own tools ({member})"
    return _hosted_tool(data.get("tools"))


def _is_zero(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and value == 0)


def _is_one(value: Any) -> bool:
    return value is None or (type(value) is int and value == 1)


def _free(choice: Any) -> bool:
    """Whether the model may do without a tool."""
    if isinstance(choice, dict):
        kind = choice.get("type")
        return kind in _FREE_CHOICES or (kind == "allowed_tools" and _free(choice.get("mode")))
    return choice is None or choice in _FREE_CHOICES


def _hosted_tool(tools: Any) -> str:
    """Tools that the provider runs look at the world, or change it."""
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is not None and not (isinstance(kind, str) and kind.startswith(_CLIENT_TOOLS)):
            return "the provider's own tools"
    return ""


def _exact_only(kind: str, body: bytes, data: JSON) -> str:
    if kind == "embeddings":
        return "embeddings"
    if data.get("store") is True or (kind == "responses" and data.get("store") is not False):
        return "stored by the provider"
    if data.get("previous_response_id"):
        return "goes on from a stored response"
    spoken = data.get("audio") or data.get("modalities") not in (None, ["text"])
    if spoken or _MEDIA.search(body):
        return "files, images or audio"
    return ""
