"""What must be true after a client has asked through TokenWatch, whichever it was."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from demo.call import Call
from demo.fake_provider import FakeProvider, Seen
from tests.clients.installed.pages import block, pointed
from tests.clients.ledger import Row, StoredRows, cost_of

_number = itertools.count(1)

Program = Callable[[str], str]
"""Runs one text (a script, a configuration) and returns what the client printed."""


@dataclass(frozen=True)
class Asked:
    """What one client sent to the provider, and the rows of that: as many, each as it must be."""

    seen: list[Seen]
    rows: list[Row]


@dataclass(frozen=True)
class Watched:
    """One TokenWatch with the fake provider behind it and its rows."""

    url: str
    provider: FakeProvider
    rows: StoredRows

    def asks_once(self, heading: str, run: Program, *, stream: bool) -> Row:
        """The client asks one thing and gets the provider's answer; the one row of it."""
        [row] = self.asks(heading, run, stream=stream).rows
        return row

    def asks(self, heading: str, run: Program, *, stream: bool) -> Asked:
        """The client prints the provider's last answer; each request has its priced row."""
        app = f"client-{next(_number)}"
        return self.accounted(app, lambda: run(pointed(block(heading), self.url, app)), stream)

    def accounted(self, app: str, run: Callable[[], str], stream: bool) -> Asked:
        """The requests that reached the provider, each priced in a row of this app."""
        before = len(self.rows.of(app, "source_app"))
        self.provider.seen.clear()
        printed = run()
        seen = list(self.provider.seen)
        assert seen
        assert text_of(seen[-1]) in printed
        for request in seen:
            assert not [name for name, _ in request.headers if name.startswith(b"x-tokenwatch")]
        rows = self.rows.await_of(app, before + len(seen), "source_app")[before:]
        for row in rows:
            cost = cost_of(row)
            assert (row["status_code"], row["error_type"]) == (200, "")
            assert (bool(row["stream"]), bool(row["usage_estimated"])) == (stream, False)
            assert cost is not None
            assert cost > 0
        return Asked(seen, rows)


def text_of(seen: Seen) -> str:
    """What the fake provider said to a request; it says the same to the same request."""
    return "".join(Call(seen.method, seen.path, seen.headers, seen.body).words())
