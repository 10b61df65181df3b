"""The requests and answers of the benchmark, in OpenAI's chat format; fixed bytes throughout.

The fake upstream writes these and the load generator compares what arrives with them, so
a proxy that lost, added or changed a byte fails the run and is not merely fast.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

MODEL = "gpt-4o-mini"
MODEL_ANSWERED = "gpt-4o-mini-2024-07-18"
SMALL_ANSWER_CHARS = 150
LARGE_PROMPT_CHARS = 100_000
LARGE_ANSWER_CHARS = 20_000

EVENT_MARK = b'"content":"@'
"""What stands before the send time (`time.monotonic_ns`, one clock for all processes)."""

_STREAM_MODEL = re.compile(rb'"model": ?"stream-(\d+)-(\d+)"')


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def prose(chars: int) -> str:
    """Text of exactly this length that is neither one repeated letter nor random."""
    words = "the proxy counts every token and prices it before the answer is forgotten "
    return (words * (chars // len(words) + 1))[:chars]


def _answer(chars: int, prompt_tokens: int) -> bytes:
    completion_tokens = chars // 4
    return compact(
        {
            "id": "chatcmpl-BenchmarkAnswer0000000000000",
            "object": "chat.completion",
            "created": 1735689600,
            "model": MODEL_ANSWERED,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": prose(chars), "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            },
            "service_tier": "default",
            "system_fingerprint": "fp_benchmark",
        }
    )


def _request(chars: int, **fields: Any) -> bytes:
    messages = [{"role": "user", "content": prose(chars)}]
    return compact({"model": MODEL, "messages": messages, **fields})


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request body and the answer body that must come back for it."""

    request: bytes
    answer: bytes


def same_words(one: bytes, other: bytes) -> bool:
    """Whether two answers have the same text and the same token counts."""
    return _words(one) == _words(other)


def _words(answer: bytes) -> tuple[Any, ...] | None:
    try:
        value = json.loads(answer)
        usage = value["usage"]
        text = value["choices"][0]["message"]["content"]
        return text, usage["prompt_tokens"], usage["completion_tokens"]
    except (ValueError, LookupError, TypeError):
        return None


VARIES = b"@" * 12
"""In a request that is never the same twice: what stands for its number."""


EXCHANGES = {
    "varied": Exchange(
        _request(60).replace(prose(60).encode(), VARIES + prose(48).encode()),
        _answer(SMALL_ANSWER_CHARS, 20),
    ),
    "small": Exchange(_request(60), _answer(SMALL_ANSWER_CHARS, 20)),
    "large": Exchange(
        _request(LARGE_PROMPT_CHARS), _answer(LARGE_ANSWER_CHARS, LARGE_PROMPT_CHARS // 4)
    ),
}


def stream_request(events: int, interval_ms: int) -> bytes:
    """Ask the fake upstream for this many events, this far apart."""
    return _request(60, stream=True).replace(
        MODEL.encode(), b"stream-%d-%d" % (events, interval_ms), 1
    )


def wanted_stream(body: bytes) -> tuple[int, int] | None:
    """Events and interval in ms that a body asks for; None where it asks for no stream."""
    match = _STREAM_MODEL.search(body, 0, 4096)
    return (int(match[1]), int(match[2])) if match else None


def _chunk(delta: bytes, finish: bytes, usage: bytes) -> bytes:
    return (
        b'data: {"id":"chatcmpl-BenchmarkStream0000000000000","object":"chat.completion.chunk",'
        b'"created":1735689600,"model":"%s","service_tier":"default",'
        b'"system_fingerprint":"fp_benchmark","choices":[{"index":0,"delta":%s,'
        b'"logprobs":null,"finish_reason":%s}]%s}\n\n'
    ) % (MODEL_ANSWERED.encode(), delta, finish, usage)


def stream_event(sent_ns: int, with_usage: bool) -> bytes:
    """One delta that carries its send time."""
    usage = b',"usage":null' if with_usage else b""
    return _chunk(b'{"content":"@%d"}' % sent_ns, b"null", usage)


def stream_end(events: int, with_usage: bool) -> bytes:
    """The last events of a stream: the finish reason, usage where it was asked for, the end."""
    end = _chunk(b"{}", b'"stop"', b',"usage":null' if with_usage else b"")
    if with_usage:
        usage = compact(
            {"prompt_tokens": 20, "completion_tokens": events, "total_tokens": 20 + events}
        )
        whole = _chunk(b"{}", b"null", b',"usage":' + usage)
        end += re.sub(rb'"choices":\[.*?\](?=,"usage")', b'"choices":[]', whole)
    return end + b"data: [DONE]\n\n"
