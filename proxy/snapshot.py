"""The policies in memory: what the hot path reads instead of the database.

A snapshot is immutable and replaced as a whole, so a request sees one state from its
beginning to its end. A thread asks for the policy version each second. Failure posture:
while the database is away, requests are served by the last snapshot; a worker that starts
without one serves the configured URLs at catalogue prices until the first load.
"""

import logging
import threading
from dataclasses import dataclass, field

from django.db import Error, connection

from access.keys import KeyRing
from access.limits import LimitIndex
from access.store import load_keys, load_limits
from budgets.scopes import ScopeIndex
from budgets.settlement import load_specs
from experiments.assign import TestSet
from experiments.store import load_tests
from routing.rules import RuleSet
from routing.store import load_rules, load_tag_rules
from routing.tags import TagRules
from tokenwatch import policy
from tokenwatch.conf import Config
from upstreams.candidates import Candidates, compose
from upstreams.store import load_upstreams
from usage.pricebook import PriceBook, load_price_book

logger = logging.getLogger("tokenwatch.policies")

CHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All policies at one version; -1 stands for "never loaded"."""

    version: int
    upstreams: Candidates
    prices: PriceBook
    budgets: ScopeIndex
    tags: TagRules
    tests: TestSet
    rules: RuleSet
    keys: KeyRing = field(default_factory=KeyRing)
    limits: LimitIndex = field(default_factory=LimitIndex)


class Policies:
    """Holds the newest snapshot and keeps it new."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False
        self.snapshot = Snapshot(
            -1,
            compose(config, []),
            PriceBook([]),
            ScopeIndex([]),
            TagRules([]),
            TestSet([]),
            RuleSet(),
        )

    def start(self) -> None:
        """Load once, then keep watching in a thread."""
        self.refresh()
        connection.close()  # the calling thread's own
        self._thread = threading.Thread(target=self._watch, name="policies", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def refresh(self) -> None:
        """Replace the snapshot if the version has changed."""
        try:
            self.read()
        except Error as exc:  # InterfaceError is no DatabaseError
            connection.close()
            if not self._failing:
                reason = " ".join(str(exc).split())
                logger.error("policies cannot be read, the last ones stay in force: %s", reason)
            self._failing = True
        else:
            if self._failing:
                logger.warning("policies are read again")
            self._failing = False

    def read(self) -> None:
        """The same, for whoever wants to hear of a failure.

        Raises:
            Error: the database's.
        """
        # Read first: a change between the two reads is then found by the next check.
        version = policy.current()
        if version != self.snapshot.version:
            self.snapshot = self._load(version)

    def _load(self, version: int) -> Snapshot:
        return Snapshot(
            version,
            compose(self._config, load_upstreams()),
            load_price_book(),
            ScopeIndex(load_specs() if self._config.budget_enabled else []),
            load_tag_rules(),
            load_tests(),
            load_rules(),
            load_keys(),
            load_limits(),
        )

    def _watch(self) -> None:
        while not self._stop.wait(CHECK_SECONDS):
            self.refresh()
        connection.close()
