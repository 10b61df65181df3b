"""What turns text into vectors, behind one small interface; which one is a setting.

The packages of an embedder are not among TokenWatch's own: `make semantic` installs them.
How it fails: `EmbedderMissing` says in one line what to install or to set; an embedder that
cannot embed raises `EmbeddingError`. Nothing here downloads anything.

An embedder belongs to one thread and to one process: make it where it is used, after any
fork. Its id goes with every vector, and vectors of different ids are never compared.
"""

import re
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

DIMENSIONS = 384
Vector = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32]

ONNX, SENTENCE_TRANSFORMERS, ORACLE = "onnx", "sentence-transformers", "oracle"


class EmbedderMissing(Exception):
    """The embedder that is configured is not installed; the message says what to do."""


class EmbeddingError(Exception):
    """The embedder is there and failed."""


class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def id(self) -> str:
        """Which model in which precision, at most 100 characters."""

    @property
    def dimensions(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """Longer texts would be cut: two that begin alike would seem equal."""

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, those at its beginning and end included."""

    def embed(self, texts: Sequence[str]) -> Matrix:
        """One unit vector a row.

        Raises:
            EmbeddingError: the model failed.
        """


class OracleEmbedder:
    """A model that was loaded into Oracle: ``VECTOR_EMBEDDING(model USING :text AS data)``.

    Its tokenizer is in the database. The count here is an estimate that is rather too high:
    two letters a token, and one for every other sign.
    """

    dimensions = DIMENSIONS
    max_tokens = 256

    def __init__(self, model: str, ask: Callable[[str, str], Matrix]) -> None:
        self.id = f"oracle/{model}"[:100]
        self._model = model
        self._ask = ask

    def count_tokens(self, text: str) -> int:
        return 2 + sum((len(found) + 1) // 2 for found in _RUNS.findall(text))

    def embed(self, texts: Sequence[str]) -> Matrix:
        from django.db import DatabaseError

        try:
            rows = [self._ask(text, self._model) for text in texts]
        except DatabaseError as exc:
            raise EmbeddingError(f"Oracle's model {self._model}: {exc}") from exc
        return normalised(rows)


_RUNS = re.compile(r"[A-Za-z]+|\S")


def normalised(rows: Sequence[Matrix]) -> Matrix:
    """Unit vectors of the expected dimensions.

    Raises:
        EmbeddingError: a row has other dimensions, or no direction.
    """
    for row in rows:
        if row.shape != (DIMENSIONS,):
            raise EmbeddingError(f"a vector of {row.size} dimensions; {DIMENSIONS} are expected")
    matrix = np.asarray(rows, np.float32).reshape(len(rows), DIMENSIONS)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise EmbeddingError("a vector without a direction")
    unit: Matrix = matrix / lengths
    return unit


def problem(kind: str) -> str:
    """One line for the start where an embedder is not installed; empty where it is.

    It loads nothing, so it does not see a file that is damaged.
    """
    from cache import minilm

    checks = {ONNX: minilm.onnx_problem, SENTENCE_TRANSFORMERS: minilm.torch_problem}
    return checks[kind]() if kind in checks else ""


def make(kind: str, *, oracle_model: str = "") -> Embedder:
    """The embedder of a setting's value. It may take seconds to load.

    Raises:
        EmbedderMissing: it is not installed, not built, or not configured.
    """
    if kind == ONNX:
        from cache.minilm import OnnxEmbedder

        return OnnxEmbedder.load()
    if kind == SENTENCE_TRANSFORMERS:
        from cache.minilm import TorchEmbedder

        return TorchEmbedder.load()
    if not oracle_model:
        raise EmbedderMissing(
            "the embedder oracle needs TOKENWATCH_ORACLE_EMBEDDING_MODEL, the name of a model"
            " in the database"
        )
    from django.db import connection

    if connection.vendor != "oracle":
        raise EmbedderMissing("the embedder oracle needs Oracle as the database")
    from cache.semantic_sql import embed

    return OracleEmbedder(oracle_model, embed)
