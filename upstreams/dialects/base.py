"""What a wire format has to tell the proxy: the contract that each dialect fulfils.

A dialect (how requests and answers are written) is not a provider (who answers): Z.AI
speaks both dialects, and a dozen hosts speak OpenAI's. Everything here is pure: bytes and
plain JSON values in, plain values out; unknown fields, wrong types and absurd numbers in
an answer are ignored, never raised on.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from tokenwatch.tokens import TokenUsage

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a path is, as far as accounting cares."""

    kind: str
    """chat, completions, responses, embeddings, images, speech, transcriptions, moderations,
    messages, count_tokens, or other."""
    billing: str
    """``tokens``: the answer carries usage, and one without is estimated. ``units``: billed by
    image, minute or character; without usage in the answer the cost is unknown. ``free``: costs
    nothing. ``unknown``: not known to be billed; priced only if the answer carries usage."""
    asks_usage: bool = False
    """A stream carries usage only where ``stream_options.include_usage`` asks for it."""


@dataclass(slots=True)
class Answer:
    """What one answer has said of itself so far; filled by `Dialect.absorb`."""

    model: str = ""
    service_tier: str = ""
    speed: str = ""
    finish_reason: str = ""
    error_type: str = ""
    complete: bool = False
    """The dialect's own end was seen: whole JSON, ``[DONE]``, ``message_stop``, …"""
    usage: JSON = field(default_factory=dict)
    """The provider's usage object, newest non-null value of each field, nested objects merged."""
    web_searches: int = 0
    """Searches counted from the answer's items, where usage does not count them."""
    file_searches: int = 0


class Dialect(Protocol):
    """One wire format."""

    api_type: str

    telling: re.Pattern[bytes]
    """Matches every stream event worth parsing (model, usage, finish reason, error, end);
    deltas, nearly all of a stream, should not match."""

    def endpoint(self, method: str, path: str) -> Endpoint:
        """Classify a request by method and by its path after the api type's prefix."""
        ...

    def absorb(self, answer: Answer, obj: JSON) -> None:
        """Take in a whole JSON answer (error answers too) or the data of one stream event."""
        ...

    def absorb_plain(self, answer: Answer, data: bytes) -> bool:
        """Take in the bytes of a whole answer if it is of the commonest kind, in a fraction of
        the time; False where it is not, and `absorb` has to look at it."""
        ...

    def absorb_text(self, answer: Answer, data: bytes) -> None:
        """Take in the data of a stream event that is no JSON object, such as ``[DONE]``."""
        ...

    def token_usage(self, endpoint: Endpoint, answer: Answer) -> TokenUsage | None:
        """The billable quantities of what was absorbed; None where no usage arrived."""
        ...

    def delta_text(self, obj: JSON) -> str:
        """All generated text in one stream event or whole answer, for estimating tokens."""
        ...

    def prompt_text(self, body: JSON) -> str:
        """All text of a request body (messages, system, tools as JSON), for estimating tokens.
        Images, audio and files in base64 are left out."""
        ...

    def error_body(
        self, status: int, message: str, code: str, details: JSON | None = None
    ) -> bytes:
        """An error of TokenWatch's own in the provider's shape, such that its SDK raises the
        exception of that status. ``code`` is TokenWatch's, for example ``upstream_timeout``;
        ``details`` are more members of the error object, for programs."""
        ...
