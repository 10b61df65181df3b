"""What the semantic tier stores: the vector of a prompt, and which entry answers it."""

from django.db import models

from cache.embedders import DIMENSIONS
from cache.vector_field import VectorField


class CacheVector(models.Model):
    """The vector of the last user message of a cached request.

    Vectors are compared only within ``partition_key`` (a hash of everything else that can
    change the answer) and ``embedder``. The columns of a look-up stand here a second time, so
    that it needs no join: on Oracle the table is what the vector index is made on. There is no
    foreign key: rows are cleared by entry id, and one that outlives its entry is a miss.
    """

    partition_key = models.CharField(max_length=64)
    embedder = models.CharField(max_length=100)
    entry_id = models.CharField(max_length=36)
    expires_at = models.DateTimeField()
    prompt = models.TextField(help_text="What was asked; the guards compare it.")
    embedding = VectorField(dimensions=DIMENSIONS)

    class Meta:
        db_table = "tw_cache_vector"
        indexes = [
            models.Index(fields=["partition_key", "id"], name="tw_cvector_partition"),
            models.Index(fields=["entry_id"], name="tw_cvector_entry"),
            models.Index(fields=["expires_at"], name="tw_cvector_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.entry_id} by {self.embedder}"
