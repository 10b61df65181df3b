"""Which upstreams may serve a request, best first. Pure: the random number is an argument."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from tokenwatch.conf import Config

DEFAULT_NAME = "default"
"""Name of the upstream that a configured URL stands for."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One upstream as the hot path needs it."""

    name: str
    api_type: str
    base_url: str
    """Without a trailing slash."""
    priority: int = 100
    """The lowest number goes first."""
    weight: int = 1
    """Its share among those of the same priority."""
    credential: str = field(default="", repr=False)
    """Its own, in the clear; empty where it has none."""
    forwards_credential: bool = False
    """Whether it gets the client's credential, where it has none of its own."""
    connect_timeout: float | None = None
    """Seconds; None for the setting's."""
    overall_timeout: float | None = None
    models: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What this upstream calls a model, where that differs."""
    problem: str = ""
    """Why it cannot serve, such as a credential that cannot be read."""
    key: str = field(default="", init=False, repr=False, compare=False)
    """Under which its health is kept: another URL or credential is another upstream."""

    def __post_init__(self) -> None:
        key = f"{self.api_type}/{self.name}/{self.base_url}/{hash(self.credential)}"
        object.__setattr__(self, "key", key)

    def spelling(self, model: str) -> str:
        """A model's name at this upstream."""
        return self.models.get(model, model)


class Target(NamedTuple):
    """What to try: a model at an upstream."""

    candidate: Candidate
    model: str
    """As the ledger, budgets and prices know it; `Candidate.spelling` is what is sent."""


@dataclass(frozen=True, slots=True)
class Route:
    """What was decided for a request before its upstream is chosen."""

    model: str = ""
    """The model to ask instead; empty for the one that the client named."""
    fallbacks: tuple[str, ...] = ()
    """Models to ask, in this order, where no upstream answers for the one before."""
    upstreams: tuple[str, ...] | tuple[tuple[str, float], ...] = ()
    """Only these: names in the order to try them, or names with weights. Empty: all."""


DIRECT = Route()
"""Nothing was decided: the client's model, at any upstream."""

Candidates = Mapping[str, tuple[Candidate, ...]]
"""By api type, in order of priority. Empty only where none of the operator's can serve."""


def compose(config: Config, rows: Iterable[Candidate]) -> Candidates:
    """The operator's upstreams by api type; the configured URL where there is none.

    Where all of an api type have a problem, none serves: prompts that were meant for them are
    not sent to the configured URL instead.
    """
    found: dict[str, list[Candidate]] = {"anthropic": [], "openai": []}
    for row in rows:
        found.setdefault(row.api_type, []).append(row)
    urls = {"anthropic": config.anthropic_url, "openai": config.openai_url}
    return {
        api_type: tuple(
            sorted((row for row in rows_ if not row.problem), key=lambda row: row.priority)
        )
        if rows_
        else (Candidate(DEFAULT_NAME, api_type, urls[api_type], forwards_credential=True),)
        for api_type, rows_ in found.items()
    }


def plan(
    candidates: Sequence[Candidate],
    route: Route,
    model: str,
    *,
    waiting: Mapping[str, float],
    number: float,
) -> tuple[Target, ...]:
    """What to try for a request, in order.

    Each model is asked of every upstream before the next model is; upstreams whose breaker is
    open come after all others, by when they are due.

    Args:
        candidates: of the request's api type, in order of priority.
        model: what the client asked for.
        waiting: when upstreams that should not be tried now are due, by `Candidate.key`.
        number: random, in [0, 1): it shares requests out by weight.
    """
    chosen = ordered(candidates, route.upstreams, number)
    models = dict.fromkeys((route.model or model, *route.fallbacks))
    targets = [Target(candidate, name) for name in models for candidate in chosen]
    if waiting:
        targets.sort(key=lambda target: waiting.get(target.candidate.key, 0.0))
    return tuple(targets)


def ordered(
    candidates: Sequence[Candidate],
    upstreams: tuple[str, ...] | tuple[tuple[str, float], ...],
    number: float,
) -> list[Candidate]:
    """Candidates by priority and, within one, by weight; or those of a route, as it says."""
    if not upstreams:
        found: list[Candidate] = []
        for _, group in groupby(candidates, key=lambda candidate: candidate.priority):
            part, number = _shared_out([(one, one.weight) for one in group], number)
            found += part
        return found
    by_name = {candidate.name: candidate for candidate in candidates}
    names = [name for name in upstreams if isinstance(name, str)]
    if names:
        return [by_name[name] for name in dict.fromkeys(names) if name in by_name]
    weighted = {pair[0]: float(pair[1]) for pair in upstreams}
    pairs = [(by_name[name], weight) for name, weight in weighted.items() if name in by_name]
    return _shared_out(pairs, number)[0]


def _shared_out(
    pairs: Sequence[tuple[Candidate, float]], number: float
) -> tuple[list[Candidate], float]:
    """A random order by weight, and what is left of the random number.

    What chose one of several, taken as a part of its share, is random again and chooses the
    next. Without weight is only what comes after the others.
    """
    rest = list(pairs)
    found: list[Candidate] = []
    while len(rest) > 1 and (total := sum(weight for _, weight in rest)) > 0:
        point = number * total
        chosen = 0
        for index, (_, weight) in enumerate(rest):
            if weight > 0:
                chosen = index
                if point < weight:
                    break
                point -= weight
        number = min(point / rest[chosen][1], 1 - 2**-53)
        found.append(rest.pop(chosen)[0])
    return found + [candidate for candidate, _ in rest], number
