"""Estimates of token counts without a tokenizer, for answers that bring no usage.

Tokenizers differ by provider and model, and loading one costs more than a request may. The
rule here is the providers' own: about four characters of English a token. It is meant to be
right within a quarter or so for prose and code; rows that rest on it say so.
"""

from typing import Any

from upstreams.dialects.base import JSON, Dialect

QUARTERS_ONE_BYTE = 1
"""Quarters of a token for an ASCII character."""
QUARTERS_TWO_BYTES = 2
"""For a character of two bytes in UTF-8: accented Latin, Greek, Cyrillic, Hebrew, Arabic."""
QUARTERS_THREE_BYTES = 4
"""For a character of three bytes: Chinese, Japanese, Korean, Thai, the scripts of India."""
QUARTERS_FOUR_BYTES = 8
"""For a character of four bytes: emoji, rare ideographs."""

PER_MESSAGE = 3
"""Tokens that frame a message, and as many again that begin the answer (OpenAI Cookbook, "How
to count tokens with tiktoken")."""


def text_tokens(text: str) -> int:
    """About how many tokens a text is; 0 only for an empty one. Linear, at the speed of a copy.

    The sizes in UTF-8 and UTF-16 tell how many characters there are of each length, without a
    loop over them: with n characters that are not ASCII, of which n4 take four bytes, UTF-16
    has one unit too many for each of the n4, and UTF-8 has 2n + n3 + 2·n4 bytes for them.
    """
    if text.isascii():
        return -(-len(text) * QUARTERS_ONE_BYTE // 4)
    ascii_only = len(text.encode("ascii", "ignore"))
    others = len(text) - ascii_only
    four = len(text.encode("utf-16-le", "surrogatepass")) // 2 - len(text)
    utf8 = len(text.encode("utf-8", "surrogatepass")) - ascii_only
    three = utf8 - 2 * others - 2 * four
    two = others - three - four
    quarters = (
        ascii_only * QUARTERS_ONE_BYTE
        + two * QUARTERS_TWO_BYTES
        + three * QUARTERS_THREE_BYTES
        + four * QUARTERS_FOUR_BYTES
    )
    return -(-quarters // 4)


def prompt_tokens(dialect: Dialect, body: JSON) -> int:
    """About how many tokens a request's prompt is: its text, the frames of its messages, and
    what was sent as token ids (embeddings, completions). Images, audio and files count nothing.
    """
    tokens = text_tokens(dialect.prompt_text(body))
    messages = _messages(body.get("messages")) or _messages(body.get("input"))
    if messages:
        tokens += PER_MESSAGE * (messages + 1)
    return tokens + _token_ids(body.get("input")) + _token_ids(body.get("prompt"))


def _messages(value: Any) -> int:
    return sum(isinstance(item, dict) for item in value) if isinstance(value, list) else 0


def _token_ids(value: Any) -> int:
    """How many ids: ``[1, 2, 3]``, or an array of such arrays."""
    if not isinstance(value, list):
        return 0
    arrays = [item for item in value if isinstance(item, list)]
    return sum(_is_id(item) for array in [value, *arrays] for item in array)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
