"""Anthropic's wire format: messages, token counting, batches, legacy text completions.

Spoken by Anthropic, and by Z.AI, DeepSeek, Moonshot and others for tools built on Anthropic's
SDK. Pure, never raises: what an answer says in another form than expected is not taken in.
"""

import re

import orjson

from tokenwatch.tokens import TokenUsage
from upstreams.dialects.anthropic_usage import PROMPT_FIELDS, token_counts
from upstreams.dialects.base import JSON, Answer, Endpoint
from upstreams.dialects.errors import error_type
from upstreams.dialects.merge import merge_usage
from upstreams.dialects.shared import COUNT_TOKENS, DONE, FREE, GAP, READS, UNKNOWN, is_final
from upstreams.dialects.text import body_text, collect
from upstreams.dialects.values import largest, mapping, objects, string

ENDPOINTS: dict[str, Endpoint] = {
    "messages": Endpoint("messages", "tokens"),
    "messages/count_tokens": COUNT_TOKENS,
    # The prompts are in the body and will be billed, but their count comes with the results.
    "messages/batches": UNKNOWN,
    "complete": Endpoint("completions", "tokens"),
    "files": FREE,
    "models": FREE,
    # What Claude Code reports of itself to the host it talks to.
    "event_logging/batch": FREE,
}
"""POST endpoints by the end of their path; what stands before it varies by host."""

_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""By status, as Anthropic's API reference lists them under "Errors"; it has no 408 and 503."""


class Anthropic:
    """The dialect of ``/anthropic/…``; fulfils `upstreams.dialects.base.Dialect`."""

    api_type = "anthropic"

    telling = re.compile(
        rb'"(?:'
        rb'type"' + GAP + rb":" + GAP + rb'"(?:message_start|message_delta|message_stop|error)"'
        rb'|stop_reason"' + GAP + rb":" + GAP + rb'"'
        rb'|usage"' + GAP + rb":" + GAP + rb"\{"
        rb'|error"' + GAP + rb":" + GAP + rb'[{"]'
        rb")|\[DONE\]"
    )

    def endpoint(self, method: str, path: str) -> Endpoint:
        """Classify by method and by the last one or two segments of the path."""
        if method in READS:
            return FREE
        if method != "POST":
            return UNKNOWN
        *_, before, last = ("", *path.rstrip("/").split("/"))
        known = ENDPOINTS.get(f"{before}/{last}") or ENDPOINTS.get(last)
        if known is not None:
            return known
        return FREE if last == "cancel" else UNKNOWN

    def absorb(self, answer: Answer, obj: JSON) -> None:
        """Take in a whole message, an error, or a stream event by its type.

        Events of types that are not known say nothing and, above all, end nothing.
        """
        first = not (answer.model or answer.usage)
        kind = string(obj.get("type"))
        if error := error_type(obj):
            answer.error_type = error
            # An error instead of an answer is whole; one in a stream is where it broke off.
            answer.complete = answer.complete or first
        elif kind == "message_start":
            _absorb_message(answer, mapping(obj.get("message")))
        elif kind == "message_delta":
            _absorb_message(answer, mapping(obj.get("delta")))
            _absorb_usage(answer, mapping(obj.get("usage")))
        elif kind == "message_stop":
            answer.complete = True
        elif kind == "completion":
            _absorb_message(answer, obj)
            answer.complete = bool(answer.finish_reason)
        elif kind == "message" or (obj and not kind and first):
            _absorb_message(answer, obj)
            answer.complete = True

    def absorb_plain(self, answer: Answer, data: bytes) -> bool:
        """None is read in another way."""
        return False

    def absorb_text(self, answer: Answer, data: bytes) -> None:
        """Hosts that also speak OpenAI's dialect may end a stream with ``[DONE]`` in this one."""
        if data.strip() == DONE:
            answer.complete = True

    def token_usage(self, endpoint: Endpoint, answer: Answer) -> TokenUsage | None:
        """Counts of the usage object; None where there is none, or none yet (Z.AI begins a
        stream with zeros and counts at its end)."""
        usage = token_counts(answer.usage)
        return usage if usage is None or is_final(answer) or usage.prompt_total else None

    def delta_text(self, obj: JSON) -> str:
        """Text, thinking and tool input of a delta event, or of a whole message; what tools of
        the provider's own returned was read, not generated, and is left out."""
        kind = obj.get("type")
        if kind == "content_block_delta":
            delta = mapping(obj.get("delta"))
            return "".join(string(delta.get(key)) for key in ("text", "thinking", "partial_json"))
        pieces: list[str] = []
        if kind == "content_block_start":
            block = mapping(obj.get("content_block"))
            collect({key: block.get(key) for key in ("text", "name")}, pieces)
        elif kind == "completion":
            pieces.append(string(obj.get("completion")))
        elif kind == "message":
            for block in objects(obj.get("content")):
                if not string(block.get("type")).endswith("_tool_result"):
                    collect(block, pieces)
        return "".join(pieces)

    def prompt_text(self, body: JSON) -> str:
        """System prompt and messages, or the legacy prompt, and tools and schemas as JSON."""
        return body_text(
            body, ("system", "messages", "prompt"), ("tools", "output_config", "output_format")
        )

    def error_body(
        self, status: int, message: str, code: str, details: JSON | None = None
    ) -> bytes:
        """``{"type": "error", "error": {"type", "message"}}`` with TokenWatch's code beside
        them; Anthropic's SDK keeps the body as it is and takes the class from the status."""
        fallback = "api_error" if status >= 500 else "invalid_request_error"
        kind = _ERROR_TYPES.get(status, fallback)
        error = {"type": kind, "message": message, "code": code, **(details or {})}
        return orjson.dumps({"type": "error", "error": error})


def _absorb_message(answer: Answer, message: JSON) -> None:
    """A message, whole or as it stands at the start of a stream, or what has changed in it."""
    answer.model = string(message.get("model")) or answer.model
    answer.finish_reason = string(message.get("stop_reason")) or answer.finish_reason
    _absorb_usage(answer, mapping(message.get("usage")))


def _absorb_usage(answer: Answer, usage: JSON) -> None:
    """The newest of each field, except zeros that cannot be meant.

    No prompt is empty: a usage object whose prompt counters are all zero or null only counts
    output, and leaves the prompt as it was counted before. Nor does a split of nothing say how
    a cache write is split.
    """
    silent: set[str] = set()
    if not any(largest(usage.get(name)) for name in PROMPT_FIELDS):
        silent.update(PROMPT_FIELDS)
    if not any(largest(value) for value in mapping(usage.get("cache_creation")).values()):
        silent.add("cache_creation")
    merge_usage(answer.usage, {name: usage[name] for name in usage.keys() - silent})
    answer.service_tier = string(usage.get("service_tier")) or answer.service_tier
    answer.speed = string(usage.get("speed")) or answer.speed
