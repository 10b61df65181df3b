"""A vector comes back from the database as it was stored, or is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import oracledb
import pytest

from cache import semantic_sql
from cache.models import CacheVector
from cache.semantic_sql import NewVector, leaving_binary_numbers
from cache.vector_field import VectorField, as_vector

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
VECTOR = np.linspace(-1, 1, 384, dtype=np.float32)


def new(entry_id: str, partition: str = "p", **changed: Any) -> NewVector:
    values = {"embedder": "e", "expires_at": NOW + timedelta(hours=1), "prompt": "x y"}
    return NewVector(partition=partition, entry_id=entry_id, vector=VECTOR, **{**values, **changed})


@pytest.mark.django_db
def test_a_vector_comes_back_bit_by_bit() -> None:
    semantic_sql.insert([new("a")])
    stored = CacheVector.objects.get()
    assert stored.embedding.dtype == np.float32
    assert np.array_equal(stored.embedding, VECTOR)
    assert (stored.entry_id, stored.prompt) == ("a", "x y")
    assert stored.expires_at == NOW + timedelta(hours=1)


@pytest.mark.django_db
def test_a_model_instance_stores_the_same() -> None:
    CacheVector.objects.create(
        partition_key="p",
        embedder="e",
        entry_id="a",
        expires_at=NOW,
        prompt="x",
        embedding=VECTOR.tolist(),
    )
    assert np.array_equal(CacheVector.objects.get().embedding, VECTOR)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "vector",
    [np.zeros(384), np.ones(383), np.full(384, np.nan), np.full(384, np.inf)],
    ids=["zero", "short", "nan", "infinite"],
)
def test_what_has_no_direction_is_refused_and_nothing_is_stored(vector: np.ndarray) -> None:
    bad = NewVector("p", "e", "b", NOW, "x", vector.astype(np.float32))
    with pytest.raises(ValueError):
        semantic_sql.insert([new("a"), bad])
    assert CacheVector.objects.count() == 0


@pytest.mark.django_db
def test_an_entry_has_one_vector() -> None:
    semantic_sql.insert([new("a"), new("b")])
    semantic_sql.insert([new("a", prompt="again")])
    assert sorted(CacheVector.objects.values_list("entry_id", "prompt")) == [
        ("a", "again"),
        ("b", "x y"),
    ]


@pytest.mark.django_db
def test_only_new_rows_of_the_partition_and_the_embedder_are_read() -> None:
    semantic_sql.insert(
        [
            new("a"),
            new("b", partition="q"),
            new("c", embedder="f"),
            new("d", expires_at=NOW),
            new("e"),
            new("f"),
        ]
    )
    rows = semantic_sql.newer("p", "e", 0, NOW, 10)
    assert [row.entry_id for row in rows] == ["a", "e", "f"]
    assert np.array_equal(rows[0].vector, VECTOR)
    after = rows[0].id
    assert [row.entry_id for row in semantic_sql.newer("p", "e", after, NOW, 10)] == ["e", "f"]
    assert [row.entry_id for row in semantic_sql.newer("p", "e", 0, NOW, 2)] == ["e", "f"]


@pytest.mark.django_db
def test_rows_are_deleted_by_entry_by_age_and_all() -> None:
    semantic_sql.insert([new(f"e{i}") for i in range(1_203)])
    semantic_sql.insert([new("old", expires_at=NOW)])
    assert semantic_sql.delete([f"e{i}" for i in range(1_200)] + ["unknown"]) == 1_200
    assert semantic_sql.delete_expired(NOW) == 1
    assert semantic_sql.clear() == 3


def test_the_field_says_how_it_was_made() -> None:
    field = VectorField(dimensions=3, null=True)
    _, path, args, kwargs = field.deconstruct()
    assert (path, args) == ("cache.vector_field.VectorField", [])
    assert kwargs == {"dimensions": 3, "null": True}


def test_values_of_every_driver_are_read() -> None:
    expected = np.array([0.5, -2.0], np.float32)
    raw = expected.tobytes()
    for value in (raw, memoryview(raw), bytearray(raw), [0.5, -2.0], (0.5, -2.0)):
        assert np.array_equal(as_vector(value), expected)


def test_oracles_binary_numbers_are_left_to_the_driver() -> None:
    handler = leaving_binary_numbers(lambda cursor, name, kind, *rest: "as text")
    assert handler(None, "DISTANCE", oracledb.DB_TYPE_BINARY_DOUBLE, 0, 0, 0) is None
    assert handler(None, "DISTANCE", oracledb.DB_TYPE_BINARY_FLOAT, 0, 0, 0) is None
    assert handler(None, "ID", oracledb.DB_TYPE_NUMBER, 0, 19, 0) == "as text"
