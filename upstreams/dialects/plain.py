"""The commonest answer, read without making objects of all of it: a whole chat completion.

Its text and everything else that accounting does not ask for is passed over in C. Whatever
is unusual (a count beyond tokens in and out, a host's own field, a chunk, an error) is left
to the general reading, which takes several times as long. Pure.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from upstreams.dialects.base import Answer
from upstreams.dialects.values import LARGEST

Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Zero = Literal[0] | None
Absent = Raw | UnsetType


class _InputDetails(Struct, forbid_unknown_fields=True):
    cached_tokens: Zero = 0
    audio_tokens: Zero = 0


class _OutputDetails(Struct, forbid_unknown_fields=True):
    reasoning_tokens: Zero = 0
    audio_tokens: Zero = 0
    accepted_prediction_tokens: Zero = 0
    rejected_prediction_tokens: Zero = 0


class _Usage(Struct, forbid_unknown_fields=True):
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Choice(Struct):
    finish_reason: str
    message: Raw
    delta: Absent = UNSET
    usage: Absent = UNSET


class _Chat(Struct):
    object: Literal["chat.completion"]
    model: str
    choices: list[_Choice]
    usage: _Usage
    service_tier: str | None = None
    type: Absent = UNSET
    response: Absent = UNSET
    error: Absent = UNSET
    x_groq: Absent = UNSET


_decode = msgspec.json.Decoder(_Chat).decode


def absorb_chat(answer: Answer, data: bytes) -> bool:
    """Take in a whole chat completion; False where it has to be read in general."""
    try:
        chat = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    usage = chat.usage
    if usage.prompt_tokens + usage.completion_tokens != usage.total_tokens or not chat.choices:
        return False
    if not (chat.type is chat.response is chat.error is chat.x_groq is UNSET):
        return False
    for choice in chat.choices:
        if choice.delta is not UNSET or choice.usage is not UNSET:
            return False
        answer.finish_reason = choice.finish_reason or answer.finish_reason
    answer.model = chat.model
    answer.service_tier = chat.service_tier or ""
    answer.usage = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    answer.complete = True
    return True
