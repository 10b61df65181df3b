"""A column of float32 vectors: VECTOR on Oracle, plain bytes on SQLite and PostgreSQL.

PostgreSQL keeps ``bytea`` rather than pgvector's type: the nearest vectors are found in
memory there (`cache.index`), so the database needs no extension. In Python a value is a numpy
array. How it fails: another number of dimensions, no finite number, and the zero vector (it
has no cosine) raise ValueError when they are to be written.

On Oracle a VECTOR column takes no default, no key and no change of its type, so it lives in a
table of its own and no migration may alter it.
"""

import array
from typing import Any

import numpy as np
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from cache.embedders import Vector


class OracleVector:
    """How a vector is bound: Django hashes its parameters, which a bare array does not allow.

    ``bind_parameter`` and ``input_size`` are what Django's Oracle backend asks a parameter for.
    """

    __slots__ = ("data", "input_size")

    def __init__(self, vector: Vector) -> None:
        import oracledb

        self.data = array.array("f", np.ascontiguousarray(vector, dtype=np.float32).tobytes())
        self.input_size = oracledb.DB_TYPE_VECTOR

    def bind_parameter(self, cursor: Any) -> "array.array[float]":
        return self.data


def as_vector(value: Any) -> Vector:
    """Bytes, a sequence or the driver's array as float32."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return np.frombuffer(bytes(value), dtype="<f4").astype(np.float32, copy=False)
    return np.asarray(value, dtype=np.float32)


class VectorField(models.Field):
    """A float32 vector of fixed length."""

    description = "float32 vector"
    empty_strings_allowed = False  # else Oracle's backend drops NOT NULL

    def __init__(self, *args: Any, dimensions: int, **kwargs: Any) -> None:
        self.dimensions = dimensions
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "dimensions": self.dimensions}

    def get_internal_type(self) -> str:
        return "VectorField"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        if connection.vendor == "oracle":
            return f"VECTOR({self.dimensions}, FLOAT32)"
        return "bytea" if connection.vendor == "postgresql" else "BLOB"

    def to_python(self, value: Any) -> Vector | None:
        return None if value is None else as_vector(value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Vector | None:
        return self.to_python(value)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        if value is None or isinstance(value, OracleVector) or hasattr(value, "as_sql"):
            return value
        return bound(as_vector(value), self.dimensions, connection.vendor)

    def value_to_string(self, obj: models.Model) -> str:
        return str([float(number) for number in self.value_from_object(obj)])


def bound(vector: Vector, dimensions: int, vendor: str) -> OracleVector | bytes:
    """A vector as the driver of this engine takes it.

    Raises:
        ValueError: it is not a vector to be compared with others.
    """
    if vector.shape != (dimensions,):
        raise ValueError(f"expected {dimensions} dimensions, got {vector.shape}")
    if not np.isfinite(vector).all() or not vector.any():
        raise ValueError("a vector of zeros, or with a number that is not finite")
    return OracleVector(vector) if vendor == "oracle" else vector.astype("<f4").tobytes()
