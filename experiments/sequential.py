"""When a difference is called one, although somebody looks every day. Pure.

A p-value holds for one look. Who looks again and again and stops at the first p < 0.05 finds
a difference between equals sooner or later. So a verdict goes by values that hold at all
looks together: Robbins' normal mixture, as a confidence sequence for estimates that are
normal in the limit (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central
limit theory and asymptotic confidence sequences, Annals of Statistics 52, 2024, equations 9
and 10). Several figures are judged together by Holm's procedure (Scandinavian Journal of
Statistics 6, 1979); its error holds at all looks too, since a false rejection needs one true
hypothesis whose value falls below its bound, whatever the look.
"""

import math
from collections.abc import Mapping

from scipy import special

ALPHA = 0.05
"""Probability that any figure of two equal variants is ever called different."""
POWER = 0.8
TUNED_TO = 500.0
"""Sessions of each variant at which the least is lost to looking often. A bound is a quarter
farther out at a tenth as many, and a fourteenth at ten times as many."""
_AT_TUNED = -2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA)) + 1
"""The mixture's information at `TUNED_TO` (equation 10)."""
TUNING_STEPS = 30
MOST = 1e9


def information(units_a: int, units_b: int) -> float:
    """How far a comparison is, 1 standing for `TUNED_TO` sessions on both sides."""
    return 2 / (1 / units_a + 1 / units_b) / TUNED_TO


def always_valid(z: float, progress: float) -> float:
    """A p-value for all looks together.

    ``z`` is the difference in standard errors now, ``progress`` what `information` says.
    """
    r = progress * _AT_TUNED
    log_p = math.log1p(r) / 2 - z * z * r / (2 * (1 + r))
    return math.exp(min(0.0, log_p))


def reach(progress: float, alpha: float) -> float:
    """How many standard errors a difference must have for `always_valid` to be ``alpha``."""
    r = progress * _AT_TUNED
    return math.sqrt((1 + 1 / r) * (math.log1p(r) - 2 * math.log(alpha)))


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """p-values, each made as large as judging all of them together asks for."""
    adjusted: dict[str, float] = {}
    least = 0.0
    ordered = sorted(values.items(), key=lambda item: item[1])
    for place, (name, p) in enumerate(ordered):
        least = max(least, min(1.0, p * (len(ordered) - place)))
        adjusted[name] = least
    return adjusted


def growth(error: float, size: float, progress: float, alpha: float) -> float:
    """How many times as many sessions it takes until a difference of ``size`` is called one
    with probability `POWER`; at most 1 where there are enough.

    ``error`` is the standard error now, which falls with the square root of the sessions.
    """
    if not math.isfinite(error) or size <= 0:
        return MOST
    chance = float(special.ndtri(POWER))
    factor = 1.0
    for _ in range(TUNING_STEPS):  # the reach changes with the logarithm: this settles soon
        asked = ((reach(progress * factor, alpha) + chance) * error / size) ** 2
        factor = min(MOST, max(1e-6, asked))
    return factor
