"""Embedders: unit vectors that mean something, the same from both back ends, or a clear word."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from cache import build_onnx, minilm
from cache.embedders import EmbedderMissing, EmbeddingError, OracleEmbedder, Vector, make, problem
from cache.minilm import OnnxEmbedder, TorchEmbedder
from tests.cache.pairs import own
from tokenwatch.conf import load

TEXTS = ["How do I renew my passport?", "What is the way to get a new passport?", "I like soup"]


# --- The real model ------------------------------------------------------------------------


def test_vectors_are_of_length_one_and_near_where_the_meaning_is(onnx: OnnxEmbedder) -> None:
    vectors = onnx.embed(TEXTS)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.7 > 0.3 > vectors[0] @ vectors[2]


def test_a_vector_does_not_depend_on_its_batch(onnx: OnnxEmbedder) -> None:
    together = onnx.embed([*TEXTS, "word " * 200])
    for text, vector in zip(TEXTS, together, strict=False):
        assert onnx.embed([text])[0] == pytest.approx(vector, abs=1e-5)


def test_no_texts_give_no_vectors(onnx: OnnxEmbedder) -> None:
    assert onnx.embed([]).shape == (0, 384)


def test_all_tokens_of_a_long_text_are_counted(onnx: OnnxEmbedder) -> None:
    assert onnx.count_tokens("word") == 3
    assert onnx.count_tokens("word " * 400) == 402


@pytest.mark.slow
def test_the_model_is_built_from_the_weights_as_it_was(onnx: OnnxEmbedder, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="builds the model: run `make semantic`")
    target = tmp_path / "sub" / "model.onnx"
    build_onnx.build(minilm.weights_dir() / "model.safetensors", target)
    assert [path.name for path in target.parent.iterdir()] == ["model.onnx"]
    assert np.array_equal(OnnxEmbedder.load(target).embed(TEXTS), onnx.embed(TEXTS))


@pytest.mark.slow
def test_both_back_ends_agree(onnx: OnnxEmbedder, torch_embedder: TorchEmbedder) -> None:
    own_texts = [pair.new for pair in own()][::4]
    texts = [*own_texts, "word " * 250, "ünï 你好 🙂", "x = [1, 2]\n"]
    for at in range(0, len(texts), 16):
        batch = texts[at : at + 16]
        assert np.abs(onnx.embed(batch) - torch_embedder.embed(batch)).max() < 1e-5
    assert [onnx.count_tokens(text) for text in texts] == [
        torch_embedder.count_tokens(text) for text in texts
    ]
    assert onnx.id != torch_embedder.id


# --- What is missing, and what is wrong ----------------------------------------------------


def test_a_model_that_was_not_built_is_named_with_what_to_do(
    onnx: OnnxEmbedder, tmp_path: Path
) -> None:
    with pytest.raises(EmbedderMissing, match=r"run `make semantic`.*nothing\.onnx"):
        OnnxEmbedder.load(tmp_path / "nothing.onnx")


def test_a_file_that_is_no_model_is_named_with_what_to_do(
    onnx: OnnxEmbedder, tmp_path: Path
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(EmbedderMissing, match=r"bad\.onnx cannot be loaded: run `make semantic`"):
        OnnxEmbedder.load(tmp_path / "bad.onnx")


@pytest.mark.parametrize("kind", ["onnx", "sentence-transformers"])
def test_packages_that_are_missing_are_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name in ("onnxruntime", "sentence_transformers"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(EmbedderMissing, match=f"the embedder {kind} is not installed: run"):
        make(kind)


def test_the_start_can_tell_what_is_missing_without_loading_it(
    onnx: OnnxEmbedder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert (problem("onnx"), problem("oracle")) == ("", "")
    monkeypatch.setattr(minilm, "onnx_path", lambda: tmp_path / "nothing.onnx")
    assert problem("onnx") == "the embedder onnx is not installed: run `make semantic`"
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    assert "requirements-sentence-transformers.txt" in problem("sentence-transformers")


def test_other_weights_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="builds the model: run `make semantic`")
    (tmp_path / "weights").write_bytes(b"other")
    with pytest.raises(ValueError, match="is not all-MiniLM-L6-v2"):
        build_onnx.build(tmp_path / "weights", tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


# --- In the database -----------------------------------------------------------------------


def answering(vector: Any) -> OracleEmbedder:
    def ask(text: str, model: str) -> Vector:
        if isinstance(vector, Exception):
            raise vector
        return np.asarray(vector, np.float32)

    return OracleEmbedder("MINILM", ask)


def test_oracles_vectors_are_made_unit_vectors() -> None:
    (vector,) = answering([3.0] * 384).embed(["x"])
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert answering([1.0] * 384).id == "oracle/MINILM"


@pytest.mark.parametrize(
    "answer",
    [[1.0] * 768, [0.0] * 384, [float("nan")] * 384, DatabaseError("ORA-00904")],
    ids=["dimensions", "zero", "nan", "error"],
)
def test_what_oracle_cannot_embed_is_an_error_of_the_embedder(answer: Any) -> None:
    with pytest.raises(EmbeddingError):
        answering(answer).embed(["x"])


def test_the_estimate_of_tokens_is_rather_too_high(onnx: OnnxEmbedder) -> None:
    estimated = answering([1.0] * 384)
    for pair in own():
        assert estimated.count_tokens(pair.new) >= onnx.count_tokens(pair.new)


def test_oracle_as_the_embedder_needs_oracle_as_the_database() -> None:
    with pytest.raises(EmbedderMissing, match="needs Oracle as the database"):
        make("oracle", oracle_model="MINILM")
    with pytest.raises(EmbedderMissing, match="TOKENWATCH_ORACLE_EMBEDDING_MODEL"):
        make("oracle")


ORACLE = {"TOKENWATCH_ORACLE_USER": "u", "TOKENWATCH_ORACLE_PASSWORD": "p"}


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"TOKENWATCH_EMBEDDER": "oracle", **ORACLE}, "TOKENWATCH_ORACLE_EMBEDDING_MODEL"),
        (
            {"TOKENWATCH_EMBEDDER": "oracle", "TOKENWATCH_ORACLE_EMBEDDING_MODEL": "M"},
            "TOKENWATCH_EMBEDDER",
        ),
        (
            {"TOKENWATCH_ORACLE_EMBEDDING_MODEL": "M USING 'x' AS data) FROM dual --"},
            "TOKENWATCH_ORACLE_EMBEDDING_MODEL",
        ),
    ],
)
def test_a_bad_setting_is_refused_by_name(settings: dict[str, str], variable: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^{variable}:"):
        load(settings)


def test_a_models_name_may_have_a_schema() -> None:
    config = load(
        {
            "TOKENWATCH_EMBEDDER": "oracle",
            **ORACLE,
            "TOKENWATCH_ORACLE_EMBEDDING_MODEL": "ml.MINILM_V2",
        }
    )
    assert config.oracle_embedding_model == "ml.MINILM_V2"
