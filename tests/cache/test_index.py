"""Vectors in memory: the nearest are the true nearest, and the bound on memory holds."""

import numpy as np
import pytest

from cache import index
from cache.index import Partition, Row, VectorIndex

NOW, LATER = 1_000.0, 2_000.0
RANDOM = np.random.default_rng(7)


def unit(*shape: int) -> np.ndarray:
    vectors = RANDOM.normal(size=(*shape, 384)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def near(vector: np.ndarray, noise: float) -> np.ndarray:
    found = vector + RANDOM.normal(scale=noise, size=384).astype(np.float32)
    return found / np.linalg.norm(found)


def row(name: str, vector: np.ndarray, expires_at: float = LATER, prompt: str = "") -> Row:
    return Row(name, vector, expires_at, prompt or f"prompt of {name}")


def filled(vectors: np.ndarray) -> Partition:
    partition = Partition(384)
    for number, vector in enumerate(vectors):
        partition.put(row(str(number), vector), 10**6)
    return partition


@pytest.mark.parametrize("two_steps_from", [1, 10**9], ids=["two steps", "one step"])
@pytest.mark.parametrize("within", [0.05, 0.2, 0.6, 1.1, 2.0])
def test_the_nearest_are_the_true_nearest(
    monkeypatch: pytest.MonkeyPatch, two_steps_from: int, within: float
) -> None:
    monkeypatch.setattr(index, "TWO_STEPS_FROM", two_steps_from)
    centres = unit(20)
    vectors = np.array([near(centres[i % 20], 0.02 * (1 + i % 5)) for i in range(500)])
    partition = filled(vectors)
    for centre in centres:
        distances = 1 - vectors @ centre
        order = [i for i in np.argsort(distances) if distances[i] <= within][:5]
        found = partition.nearest(centre, 5, within, NOW)
        assert [one.entry_id for one in found] == [str(i) for i in order]
        assert [one.distance for one in found] == pytest.approx(distances[order], abs=1e-5)


def test_a_neighbour_has_its_prompt() -> None:
    vector = unit()
    partition = filled(np.array([vector]))
    assert partition.nearest(vector, 1, 0.1, NOW)[0].prompt == "prompt of 0"


def test_what_has_expired_is_not_found() -> None:
    vector = unit()
    partition = Partition(384)
    partition.put(row("old", vector, expires_at=NOW), 10)
    partition.put(row("new", near(vector, 0.01), expires_at=LATER), 10)
    assert [one.entry_id for one in partition.nearest(vector, 5, 0.5, NOW)] == ["new"]


def test_an_entry_that_is_put_again_is_replaced() -> None:
    first, second = unit(), unit()
    partition = Partition(384)
    partition.put(row("a", first), 10)
    partition.put(row("a", second, prompt="again"), 10)
    assert len(partition) == 1
    assert partition.nearest(first, 5, 0.3, NOW) == []
    assert partition.nearest(second, 5, 0.3, NOW)[0].prompt == "again"


def test_a_removed_entry_is_gone_and_the_others_stay() -> None:
    vectors = unit(6)
    partition = filled(vectors)
    assert partition.remove("2")
    assert not partition.remove("2")
    for number, vector in enumerate(vectors):
        found = [one.entry_id for one in partition.nearest(vector, 1, 0.1, NOW)]
        assert found == ([] if number == 2 else [str(number)])


def test_nothing_is_found_in_an_empty_partition() -> None:
    assert Partition(384).nearest(unit(), 5, 2.0, NOW) == []


def test_memory_is_bounded_and_the_partition_used_last_stays() -> None:
    vectors = VectorIndex(384, most_bytes=200_000)
    for number in range(100):
        vectors.put(f"p{number}", row(f"e{number}", unit()))
        assert vectors.get("p0") is not None  # used all the time
        assert vectors.bytes <= 200_000
    assert vectors.get("p1") is None
    assert vectors.get("p99") is not None


def test_a_partition_that_is_too_large_by_itself_keeps_its_newest() -> None:
    vectors = VectorIndex(384, most_bytes=40 * 1_936)
    rows = unit(200)
    for number, vector in enumerate(rows):
        vectors.put("p", row(str(number), vector))
    partition = vectors.get("p")
    assert partition is not None
    assert len(partition) == vectors.most_rows == 40
    assert vectors.bytes <= 40 * 1_936 + index.PARTITION_OVERHEAD
    assert partition.nearest(rows[199], 1, 0.1, NOW)
    assert partition.nearest(rows[160], 1, 0.1, NOW)
    assert not partition.nearest(rows[159], 1, 0.1, NOW)


def test_what_is_counted_is_what_is_there() -> None:
    vectors = VectorIndex(384, most_bytes=10**6)
    for number in range(300):
        vectors.put(f"p{number % 7}", row(str(number), unit()))
    for number in range(0, 300, 3):
        vectors.remove(str(number))
    assert len(vectors) == 200
    partitions = [vectors.get(f"p{number}") for number in range(7)]
    assert vectors.bytes == sum(one.bytes for one in partitions if one is not None)
    assert not vectors.remove("0")
    assert not vectors.remove("unknown")
