"""The semantic tier's statements. Raw SQL through Django's cursor: batches and VECTOR need it.

On Oracle the nearest vectors are found by the database (`nearest`), and text can be embedded
there (`embed`). Elsewhere rows are read once into memory (`newer`). How it fails: Django's
`DatabaseError`s pass to the caller, for whom a look-up that fails is a miss.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from cache.embedders import DIMENSIONS, Vector
from cache.index import Neighbour
from cache.vector_field import as_vector, bound
from cache.vectors import CacheVector

TABLE = CacheVector._meta.db_table
IN_LIST = 500
"""Oracle takes no more than 1,000 values in a list."""
ACCURACY = 95
"""Per cent of the true nearest that an approximate search is to find."""

INSERT = (
    f"INSERT INTO {TABLE} (partition_key, embedder, entry_id, expires_at, prompt, embedding)"  # noqa: S608
    " VALUES (%s, %s, %s, %s, %s, %s)"
)
NEAREST = (
    "SELECT entry_id, prompt, VECTOR_DISTANCE(embedding, %s, COSINE) AS distance"  # noqa: S608
    f" FROM {TABLE} WHERE partition_key = %s AND embedder = %s AND expires_at > %s"
    " ORDER BY distance FETCH APPROX FIRST %d ROWS ONLY WITH TARGET ACCURACY %d"
)
EMBED = "SELECT VECTOR_EMBEDDING(%s USING %%s AS data) FROM dual"
INDEXES = {
    "hnsw": (
        f"CREATE VECTOR INDEX tw_cvector_hnsw ON {TABLE} (embedding)"
        " ORGANIZATION INMEMORY NEIGHBOR GRAPH DISTANCE COSINE"
        f" WITH TARGET ACCURACY {ACCURACY}"
    ),
    "ivf": (
        f"CREATE VECTOR INDEX tw_cvector_ivf ON {TABLE} (embedding)"
        " ORGANIZATION NEIGHBOR PARTITIONS DISTANCE COSINE"
        f" WITH TARGET ACCURACY {ACCURACY}"
    ),
}
"""Oracle only, and never required: without one the search is exact and reads the partition.

HNSW needs VECTOR_MEMORY_SIZE > 0 and a tablespace with automatic segment space management;
23ai before its later updates refuses changes of a table that has one (ORA-51928). IVF does
neither. The metric must be that of `NEAREST`.
"""


@dataclass(frozen=True, slots=True)
class NewVector:
    """A row to be stored. ``expires_at`` is aware, in UTC."""

    partition: str
    embedder: str
    entry_id: str
    expires_at: datetime
    prompt: str
    vector: Vector


@dataclass(frozen=True, slots=True)
class StoredVector:
    id: int
    entry_id: str
    expires_at: datetime
    prompt: str
    vector: Vector


def insert(rows: Sequence[NewVector]) -> None:
    """Store rows, one statement for all. An entry that had a vector gets the new one.

    Raises:
        ValueError: a vector has other dimensions, or no direction.
    """
    adapt = connection.ops.adapt_datetimefield_value
    values: list[Any] = [
        (
            row.partition,
            row.embedder,
            row.entry_id,
            adapt(row.expires_at),
            row.prompt,
            bound(row.vector, DIMENSIONS, connection.vendor),
        )
        for row in rows
    ]
    if not values:
        return
    with transaction.atomic():
        delete([row.entry_id for row in rows])
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, values)


def newer(
    partition: str, embedder: str, after: int, now: datetime, limit: int
) -> list[StoredVector]:
    """The partition's rows above an id that have not expired: the newest, oldest of them first."""
    rows = (
        CacheVector.objects.filter(
            partition_key=partition, embedder=embedder, id__gt=after, expires_at__gt=now
        )
        .order_by("-id")
        .values_list("id", "entry_id", "expires_at", "prompt", "embedding")[:limit]
    )
    return [StoredVector(*row) for row in reversed(rows)]


def delete(entry_ids: Sequence[str]) -> int:
    """Remove the vectors of entries; returns how many."""
    count = 0
    for at in range(0, len(entry_ids), IN_LIST):
        chosen = CacheVector.objects.filter(entry_id__in=entry_ids[at : at + IN_LIST])
        count += chosen._raw_delete(using=connection.alias)
    return count


def delete_expired(now: datetime) -> int:
    return CacheVector.objects.filter(expires_at__lte=now)._raw_delete(using=connection.alias)


def clear() -> int:
    """Remove all vectors."""
    return CacheVector.objects.all()._raw_delete(using=connection.alias)


# --- Oracle alone ------------------------------------------------------------------------


def nearest(
    partition: str, embedder: str, vector: Vector, now: datetime, count: int
) -> list[Neighbour]:
    """The nearest entries of a partition, by Oracle's vector search."""
    query = NEAREST.replace("%d", "{}").format(count, ACCURACY)
    parameters = [
        bound(vector, DIMENSIONS, "oracle"),
        partition,
        embedder,
        connection.ops.adapt_datetimefield_value(now),
    ]
    with _vector_cursor() as cursor:
        cursor.execute(query, parameters)
        return [
            Neighbour(entry_id, max(float(distance), 0.0), _text(prompt))
            for entry_id, prompt, distance in cursor.fetchall()
        ]


def embed(text: str, model: str) -> Vector:
    """The vector of a text by a model that was loaded into Oracle.

    The model's name cannot be bound; it comes from a setting that takes identifiers only.
    """
    with _vector_cursor() as cursor:
        cursor.execute(EMBED % model, [text])
        (value,) = cursor.fetchone()
        return as_vector(value)


@contextmanager
def _vector_cursor() -> Iterator[Any]:
    """A cursor whose output handler leaves binary floating point alone."""
    with connection.cursor() as cursor:
        driver = cursor.cursor.cursor
        driver.outputtypehandler = leaving_binary_numbers(driver.outputtypehandler)
        yield cursor


def leaving_binary_numbers(usual: Callable[..., Any]) -> Callable[..., Any]:
    """An output handler that has BINARY_DOUBLE and BINARY_FLOAT read by the driver.

    Django's own takes every number as text and reads it back as an integer or a decimal,
    which fails on the ``1E-05`` that a distance may be.
    """
    import oracledb

    binary = (oracledb.DB_TYPE_BINARY_DOUBLE, oracledb.DB_TYPE_BINARY_FLOAT)

    def handler(cursor: Any, name: str, kind: Any, *rest: Any) -> Any:
        return None if kind in binary else usual(cursor, name, kind, *rest)

    return handler


def _text(value: Any) -> str:
    """An NCLOB comes as a locator."""
    return value.read() if hasattr(value, "read") else str(value)
