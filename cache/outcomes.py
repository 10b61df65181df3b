"""What a look-up of the semantic tier comes to."""

from dataclasses import dataclass

from cache.guards import Verdict


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cached prompt near the text; ``distance`` is the cosine distance."""

    entry_id: str
    distance: float
    text: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Found(Candidate):
    """An entry to be served, unless it is gone: then forget it, and it is a miss."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """Why nothing is served.

    ``none`` (nothing is near), ``distance`` or ``guards`` (with the nearest candidate), ``too
    long``, ``no embedder``, ``embedder``, ``database``, ``busy``, ``timeout`` or ``error``.
    """

    reason: str
    nearest: Candidate | None = None
