"""OpenAI's wire format: chat, completions, Responses, embeddings, images, audio.

Spoken by OpenAI, Azure, Z.AI, DeepSeek, Moonshot, xAI, Groq, OpenRouter and many more; where
they differ, what the object says of itself decides, never a host's name. Pure, never raises:
what an answer says in another form than expected is not taken in.
"""

import re

import orjson

from tokenwatch.tokens import TokenUsage
from upstreams.dialects.base import JSON, Answer, Endpoint
from upstreams.dialects.errors import error_type
from upstreams.dialects.merge import merge_usage
from upstreams.dialects.openai_usage import read_usage
from upstreams.dialects.plain import absorb_chat
from upstreams.dialects.shared import COUNT_TOKENS, DONE, FREE, GAP, READS, UNKNOWN, is_final
from upstreams.dialects.text import body_text, collect
from upstreams.dialects.values import count, mapping, objects, seconds, string

IMAGES = Endpoint("images", "units")
TRANSCRIPTIONS = Endpoint("transcriptions", "units")

ENDPOINTS: dict[str, Endpoint] = {
    "chat/completions": Endpoint("chat", "tokens", asks_usage=True),
    "completions": Endpoint("completions", "tokens", asks_usage=True),
    "responses": Endpoint("responses", "tokens"),
    "responses/compact": Endpoint("responses", "tokens"),
    "responses/input_tokens": COUNT_TOKENS,
    "embeddings": Endpoint("embeddings", "tokens"),
    "decisions": Endpoint("other", "tokens"),
    "images/generations": IMAGES,
    "images/edits": IMAGES,
    "images/variations": IMAGES,
    "audio/speech": Endpoint("speech", "units"),
    "audio/transcriptions": TRANSCRIPTIONS,
    "audio/translations": TRANSCRIPTIONS,
    "moderations": Endpoint("moderations", "free"),
    "files": FREE,
    "uploads": FREE,
    "models": FREE,
    # The batch itself is billed, later and where no answer passes here: this call only names
    # a file of requests.
    "batches": FREE,
}
"""POST endpoints by the end of their path; what stands before it varies by host."""

_FREE_ACTION = re.compile(
    r"(?:^|/)(?:chat/completions/[^/]+|uploads/[^/]+/(?:parts|complete)|[^/]+/[^/]+/cancel)$"
)
"""Changes to stored things, which name an answer's usage again without billing it again."""

_ENDED = {
    "response.completed",
    "response.incomplete",
    "response.failed",
    "transcript.text.done",
    "speech.audio.done",
}
_IMAGE_DONE = {"image_generation.completed", "image_edit.completed"}
_FINISHED_STATUS = {"completed", "incomplete", "failed", "cancelled"}

_NO_TEXT_DELTAS = {"response.audio.delta", "speech.audio.delta"}


class OpenAI:
    """The dialect of ``/openai/…``; fulfils `upstreams.dialects.base.Dialect`."""

    api_type = "openai"

    # A quote inside a string is escaped in JSON, so `"usage":{` cannot be part of a text.
    telling = re.compile(
        rb'"(?:'
        rb'usage"' + GAP + rb":" + GAP + rb"\{"
        rb'|finish_reason"' + GAP + rb":" + GAP + rb'"[^"]'
        rb'|error"' + GAP + rb":" + GAP + rb'[{"\[]'
        rb'|object"' + GAP + rb":" + GAP + rb'"error"'
        rb'|type"' + GAP + rb":" + GAP + rb'"(?:error"'
        rb"|response\.(?:created|completed|incomplete|failed|output_item\.done)"
        rb"|(?:image_generation|image_edit)\.completed"
        rb"|transcript\.text\.done|speech\.audio\.done)"
        rb")|\[DONE\]"
    )

    def endpoint(self, method: str, path: str) -> Endpoint:
        """Classify by method and by the last one or two segments of the path."""
        if method in READS:
            return FREE
        if method != "POST":
            return UNKNOWN
        path = path.rstrip("/")
        *_, before, last = ("", *path.split("/"))
        known = ENDPOINTS.get(f"{before}/{last}") or ENDPOINTS.get(last)
        if known is not None:
            return known
        return FREE if _FREE_ACTION.search(path) else UNKNOWN

    def absorb(self, answer: Answer, obj: JSON) -> None:
        """Take in a whole answer, a chunk, or a typed event (Responses, images, audio)."""
        first = not (answer.model or answer.usage)
        kind = string(obj.get("type"))
        error = error_type(obj)
        answer.error_type = error or answer.error_type
        if response := mapping(obj.get("response")):
            _absorb_object(answer, response)
            _absorb_response(answer, response)
        else:
            _absorb_choices(answer, obj)
            _absorb_object(answer, obj)
            if obj.get("object") == "response":
                _absorb_response(answer, obj)
        if kind == "response.output_item.done":
            _count_searches(answer, [mapping(obj.get("item"))])
        elif kind in _IMAGE_DONE:
            answer.finish_reason = "completed"  # of one image; the next may follow
        if kind in _ENDED:
            answer.complete = True
        elif error:
            # An error instead of an answer is whole; one in a stream is where it broke off.
            answer.complete = answer.complete or first
        elif first and not kind and _is_whole(obj):
            answer.complete = True

    def absorb_plain(self, answer: Answer, data: bytes) -> bool:
        """A whole chat completion."""
        return absorb_chat(answer, data)

    def absorb_text(self, answer: Answer, data: bytes) -> None:
        """``[DONE]`` ends a stream; other text says nothing."""
        if data.strip() == DONE:
            answer.complete = True

    def token_usage(self, endpoint: Endpoint, answer: Answer) -> TokenUsage | None:
        """Counts of the usage object; None where there is none, or none yet."""
        usage = read_usage(answer.usage, endpoint.kind, answer.web_searches, answer.file_searches)
        return usage if usage is None or is_final(answer) or usage.prompt_total else None

    def delta_text(self, obj: JSON) -> str:
        """The text of a chunk, a delta event or a whole answer; events that repeat it have none."""
        kind = string(obj.get("type"))
        if kind:
            is_text = kind.endswith(".delta") and kind not in _NO_TEXT_DELTAS
            return string(obj.get("delta")) if is_text else ""
        pieces: list[str] = []
        for choice in objects(obj.get("choices")):
            collect(choice.get("delta") or choice.get("message") or choice.get("text"), pieces)
        collect(obj.get("output"), pieces)
        pieces.append(string(obj.get("text")))  # a transcript
        return "".join(pieces)

    def prompt_text(self, body: JSON) -> str:
        """Messages, input or prompt, instructions, and tools and schemas as JSON."""
        return body_text(
            body,
            ("instructions", "messages", "input", "prompt"),
            ("tools", "functions", "response_format"),
        )

    def error_body(
        self, status: int, message: str, code: str, details: JSON | None = None
    ) -> bytes:
        """``{"error": {"message", "type", "code", "param"}}``, the type as OpenAI's own API
        gives it; its SDK takes ``error`` for the exception's body and the class from the status.
        """
        if status == 429:
            kind = "rate_limit_error"
        else:
            kind = "server_error" if status >= 500 else "invalid_request_error"
        error = {"message": message, "type": kind, "code": code, "param": None, **(details or {})}
        return orjson.dumps({"error": error})


def _is_whole(obj: JSON) -> bool:
    """Whether the first object of an answer, one without a type, is all of it and no chunk.

    What is taken for whole too early ends the accounting of a stream before its usage came.
    """
    choices = obj.get("choices")
    if not isinstance(choices, list):
        return bool(obj)  # an empty object keeps a connection open
    if string(obj.get("object")).endswith(".chunk"):
        return False
    # Chunks have a delta; those of text completions do not, but none begins with the end.
    return bool(choices) and all(
        "delta" not in choice and ("message" in choice or choice.get("finish_reason"))
        for choice in objects(choices)
    )


def _absorb_choices(answer: Answer, obj: JSON) -> None:
    """Finish reasons, and usage in the places that hosts have of their own for it."""
    for choice in objects(obj.get("choices")):
        answer.finish_reason = string(choice.get("finish_reason")) or answer.finish_reason
        if "usage" in choice:  # Moonshot
            merge_usage(answer.usage, mapping(choice["usage"]))
    if "x_groq" in obj:
        merge_usage(answer.usage, mapping(mapping(obj["x_groq"]).get("usage")))


def _absorb_object(answer: Answer, obj: JSON) -> None:
    """A whole answer, a chunk, or the Responses object that an event carries."""
    answer.model = string(obj.get("model")) or answer.model
    answer.service_tier = string(obj.get("service_tier")) or answer.service_tier
    merge_usage(answer.usage, mapping(obj.get("usage")))
    duration = seconds(obj.get("duration"))
    if duration is not None and "text" in obj and not answer.usage:  # a verbose transcript
        answer.usage["seconds"] = duration


def _absorb_response(answer: Answer, response: JSON) -> None:
    """What only a Responses object has: a status, and items that are billed by the call."""
    if (status := string(response.get("status"))) in _FINISHED_STATUS:
        reason = mapping(response.get("incomplete_details")).get("reason")
        answer.finish_reason = string(reason) or status
    answer.error_type = error_type({"error": response.get("error")}) or answer.error_type
    if items := objects(response.get("output")):
        answer.web_searches = answer.file_searches = 0
        _count_searches(answer, items)
    web_search = mapping(mapping(response.get("tool_usage")).get("web_search"))
    if (searches := count(web_search.get("num_requests"))) is not None:
        answer.web_searches = searches


def _count_searches(answer: Answer, items: list[JSON]) -> None:
    """Count the billed searches among output items. Of the web search tool's actions only a
    search is billed; opening a page and finding in it are not (OpenAI, ``ToolUsageWebSearch``).
    Items of older models have no action and are searches."""
    for item in items:
        if item.get("status") == "failed":
            continue
        if item.get("type") == "web_search_call":
            action = mapping(item.get("action")).get("type", "search")
            answer.web_searches += action == "search"
        elif item.get("type") == "file_search_call":
            answer.file_searches += 1
