"""What a provider counted for one request: the vocabulary that dialects write and prices read.

Pure values. The dialects (``upstreams.dialects``) fill a `TokenUsage` from a response;
``usage.pricing`` turns it into money. Neither knows the other.
"""

from msgspec import Struct


class TokenUsage(Struct, frozen=True):
    """Billable quantities of one answer. All counts are non-negative.

    A msgspec struct because one is made for each request: a frozen dataclass of so many fields
    takes ten times as long.

    The four input counters are disjoint, whatever the provider's own convention:
    their sum is the size of the prompt. Counters described as "of which" are parts
    of the counter they name and must never be added to it.
    """

    input: int = 0
    """Prompt tokens billed at the full input price: neither read from nor written to a cache."""
    cache_read: int = 0
    """Prompt tokens read from the provider's cache."""
    cache_write: int = 0
    """Prompt tokens written to the provider's cache for its default time (Anthropic: 5 minutes)."""
    cache_write_1h: int = 0
    """Prompt tokens written to the provider's cache for one hour."""
    output: int = 0
    """Completion tokens, reasoning included wherever the provider bills it as output."""
    reasoning: int = 0
    """Of which in ``output``: hidden reasoning."""
    input_audio: int = 0
    """Of which in ``input``: audio."""
    cache_read_audio: int = 0
    """Of which in ``cache_read``: audio."""
    output_audio: int = 0
    """Of which in ``output``: audio."""
    input_image: int = 0
    """Of which in ``input``: images."""
    cache_read_image: int = 0
    """Of which in ``cache_read``: images."""
    output_image: int = 0
    """Of which in ``output``: images."""
    web_searches: int = 0
    """Server-side web searches, billed by the call."""
    file_searches: int = 0
    """Server-side file (vector store) searches, billed by the call."""
    audio_seconds: float = 0
    """Seconds of audio, where the provider bills time and not tokens."""
    characters: int = 0
    """Characters of text to speak, where the provider bills characters and not tokens."""

    @property
    def prompt_total(self) -> int:
        """Size of the prompt in tokens, caches included: what long-context thresholds count."""
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h
