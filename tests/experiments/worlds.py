"""Simulated tests: sessions of requests with latencies, costs, errors and ratings as they come.

Requests of a session resemble each other: each has its own level (log-normal) that its
latencies, tokens and costs share, its own proneness to errors and its own taste. What the
figures truly are follows from the parameters, without simulation.
"""

import math
from dataclasses import dataclass

import numpy as np

from experiments.statistics import Observations

LEVEL = 0.6
"""Deviation of the sessions' levels, in logarithms."""
NOISE = 0.8
"""Deviation of requests of one session."""
RATED = 0.4


@dataclass(frozen=True)
class World:
    """One variant's true nature."""

    latency: float = 900.0
    """Median, in milliseconds."""
    cost: float = 0.002
    """Median, in US dollars."""
    errors: float = 0.03
    rating: float = 3.5
    per_session: float = 4.0

    @property
    def truth(self) -> dict[str, float]:
        deviation = math.hypot(LEVEL, NOISE)
        mean = math.exp(deviation**2 / 2)
        return {
            "latency_p50": self.latency,
            "latency_p95": self.latency * math.exp(1.6448536 * deviation),
            "ttft_p50": self.latency / 3,
            "output_tokens": self.cost * 1e5 * mean,
            "cost": self.cost * mean,
            "error_rate": self.errors,
            "rating": self.rating,
        }

    def observe(self, rng: np.random.Generator, sessions: int) -> Observations:
        lengths = rng.geometric(1 / self.per_session, sessions)
        units = np.repeat(np.arange(sessions), lengths)
        count = len(units)
        level = rng.normal(0, LEVEL, sessions)[units]
        prone = rng.beta(self.errors * 10, (1 - self.errors) * 10, sessions)[units]
        taste = rng.normal(0, 0.6, sessions)[units]
        latency = self.latency * np.exp(level + rng.normal(0, NOISE, count))
        cost = self.cost * np.exp(level + rng.normal(0, NOISE, count))
        # Half points of a scale without ends, so that the mean is what it says
        rating = np.round((self.rating + taste + rng.normal(0, 0.9, count)) * 2) / 2
        return Observations(
            units=units,
            latency_ms=np.round(latency),
            ttft_ms=np.where(rng.random(count) < 0.7, latency / 3, np.nan),
            output_tokens=np.round(cost * 1e5),
            cost=cost,
            error=(rng.random(count) < prone).astype(float),
            rating=np.where(rng.random(count) < RATED, rating, np.nan),
        )


def first(seen: Observations, sessions: int) -> Observations:
    """What was there when only so many sessions had come."""
    there = seen.units < sessions
    return Observations(*(getattr(seen, name)[there] for name in Observations.__slots__))
