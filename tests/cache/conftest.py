"""Embedders for tests: one that needs no model, and the real ones where they are installed."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from cache.embedders import DIMENSIONS, EmbedderMissing, EmbeddingError, Matrix
from cache.minilm import OnnxEmbedder, TorchEmbedder


class WordEmbedder:
    """A text is the sum of its words' random directions: near if most words are the same."""

    id = "words"
    dimensions = DIMENSIONS
    max_tokens = 40

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.broken = False

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def embed(self, texts: Sequence[str]) -> Matrix:
        if self.broken:
            raise EmbeddingError("broken")
        self.batches.append(list(texts))
        rows = [sum(_direction(word) for word in text.lower().split()) for text in texts]
        matrix = np.asarray(rows, np.float32)
        unit: Matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        return unit


def _direction(word: str) -> Matrix:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)


@pytest.fixture
def words() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture(scope="session")
def onnx() -> Iterator[OnnxEmbedder]:
    try:
        yield OnnxEmbedder.load()
    except EmbedderMissing as exc:
        pytest.skip(f"{exc}")


@pytest.fixture(scope="session")
def torch_embedder() -> Iterator[TorchEmbedder]:
    try:
        yield TorchEmbedder.load()
    except EmbedderMissing as exc:
        pytest.skip(f"{exc}")
