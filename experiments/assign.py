"""Which variant of which A/B test a request gets. Pure; compiled once a snapshot.

The oldest active test whose scope fits a request takes it, so that a new test never takes
sessions away from one that runs. The variant is decided by a hash of the test's salt and the
session (of the request, where it has none), read as a number from 0 to 1: below A's share it
is A. So it is the same in every worker and for ever, tests are independent of each other,
and a changed share moves only the sessions between the old one and the new.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

KINDS = frozenset({"chat", "completions", "responses", "messages"})
"""Kinds of endpoints whose requests take part: those that generate. An embedding made by another
model would be of no use to whoever asked for it."""

ACTIVE = "active"
BUCKETS = 2**64

A, B = "A", "B"


@dataclass(frozen=True, slots=True)
class TestSpec:
    """One test. An empty text in its scope stands for any."""

    __test__ = False  # its name is not pytest's

    id: int
    name: str
    model_a: str
    model_b: str
    share: float
    """A's part of the sessions, from 0 to 1."""
    salt: str
    api_type: str = ""
    app: str = ""
    tag: str = ""
    model: str = ""
    """The model asked for."""
    status: str = ACTIVE

    @property
    def scope(self) -> tuple[str, str, str, str]:
        return self.api_type, self.app, self.tag, self.model

    def variant(self, key: str) -> str:
        """The side of a session."""
        return A if bucket(self.salt, key) < self.share * BUCKETS else B

    def model_of(self, variant: str) -> str:
        return self.model_a if variant == A else self.model_b


@dataclass(frozen=True, slots=True)
class Assignment:
    """A request's place in a test."""

    test: str
    variant: str
    """A or B."""
    model: str
    """What the upstream is to be asked for."""


@dataclass(frozen=True, slots=True)
class Considered:
    """What one test had to say to a request."""

    test: str
    applies: bool
    reason: str


def bucket(salt: str, key: str) -> int:
    """A session's place from 0 to 2**64 - 1: the first 8 bytes, big-endian, of BLAKE2b (RFC
    7693, 8 bytes long) over ``salt:key`` in UTF-8."""
    text = f"{salt}:{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


class TestSet:
    """The tests of a snapshot. Nothing in it changes, so threads may share it."""

    __test__ = False

    __slots__ = ("_tables", "specs")

    def __init__(self, specs: Iterable[TestSpec]) -> None:
        self.specs = tuple(sorted(specs, key=lambda spec: spec.id))
        tables: dict[int, dict[tuple[str, ...], tuple[int, TestSpec]]] = {}
        for place, spec in enumerate(self.specs):
            if spec.status == ACTIVE:
                # Of tests with the same scope the oldest takes all.
                tables.setdefault(_mask(spec), {}).setdefault(spec.scope, (place, spec))
        self._tables = tuple(tables.items())

    def assign(
        self, *, api_type: str, model: str, app: str, tag: str, session: str, request_id: str
    ) -> Assignment | None:
        """The variant of a request; None where no test applies. Costs one look-up for each
        combination of scopes in use (at most 16), whatever the number of tests."""
        spec = self._first(api_type, model, app, tag)
        if spec is None:
            return None
        variant = spec.variant(session or request_id)
        return Assignment(spec.name, variant, spec.model_of(variant))

    def explain(
        self, *, api_type: str, model: str, app: str, tag: str, session: str, request_id: str
    ) -> list[Considered]:
        """What each test said, in the order in which they are asked."""
        winner = self._first(api_type, model, app, tag)
        key, source = (session, "session") if session else (request_id, "request")
        found = []
        for spec in self.specs:
            if spec is winner:
                variant = spec.variant(key)
                place = bucket(spec.salt, key) / BUCKETS
                why = (
                    f"the {source} falls on {place:.4f}, A's share is {spec.share:.4f}: "
                    f"variant {variant}, {spec.model_of(variant)}"
                )
            elif unmet := _unmet(spec, api_type, model, app, tag):
                why = unmet
            else:
                assert winner is not None  # a test that fits would have been first
                why = f"the older test {winner.name} takes the request"
            found.append(Considered(spec.name, spec is winner, why))
        return found

    def _first(self, api_type: str, model: str, app: str, tag: str) -> TestSpec | None:
        """The oldest test that fits."""
        best: tuple[int, TestSpec] | None = None
        if not model:
            return None
        for mask, table in self._tables:
            found = table.get(
                (
                    api_type if mask & 1 else "",
                    app if mask & 2 else "",
                    tag if mask & 4 else "",
                    model if mask & 8 else "",
                )
            )
            if found is not None and (best is None or found[0] < best[0]):
                best = found
        return best[1] if best is not None else None


def overlaps(one: TestSpec, other: TestSpec) -> bool:
    """Whether a request can fit both, so that the older takes it from the younger."""
    return all(
        mine == its or not mine or not its for mine, its in zip(one.scope, other.scope, strict=True)
    )


def shadows(one: TestSpec, other: TestSpec) -> bool:
    """Whether every request that fits the other fits this one too."""
    return all(not mine or mine == its for mine, its in zip(one.scope, other.scope, strict=True))


def _mask(spec: TestSpec) -> int:
    return sum(bool(value) << place for place, value in enumerate(spec.scope))


def _unmet(spec: TestSpec, api_type: str, model: str, app: str, tag: str) -> str:
    """Why a test does not fit a request; empty where it does."""
    if spec.status != ACTIVE:
        return f"it is {spec.status}"
    if not model:
        return "the request names no model"
    asked = zip(
        ("API", "app", "tag", "model"), spec.scope, (api_type, app, tag, model), strict=True
    )
    for name, wanted, value in asked:
        if wanted and wanted != value:
            return f"the {name} is {value or 'not given'}, not {wanted}"
    return ""
