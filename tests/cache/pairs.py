"""Pairs of texts to measure guards with: those of these tests, and fow-cache's.

How it fails: a line of a data file that is no pair raises ValueError.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Pair:
    """A cached text and a new one; ``same`` if one answer is right for both."""

    kind: str
    cached: str
    new: str
    same: bool


def own() -> list[Pair]:
    return [*_read("paraphrases.txt", same=True), *_read("lookalikes.txt", same=False)]


def fow_cache() -> list[Pair]:
    """The 600 single questions of the fow-cache package (CC BY 4.0)."""
    from fow_cache.data import load_questions

    return [
        Pair(item["category"], item["a"], item["b"], item["same_answer"])
        for item in load_questions()
    ]


def _read(name: str, *, same: bool) -> Iterator[Pair]:
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            kind, cached, new = line.split(" | ")
            yield Pair(kind, cached, new, same)
