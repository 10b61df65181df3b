"""One provider and one real TokenWatch in front of it, for all tests of the SDKs."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from demo.fake_provider import FakeProvider
from demo.instance import Instance
from demo.serving import serve
from tests.clients.ledger import StoredRows
from tests.clients.recording import Side


@dataclass(frozen=True)
class Ways:
    """The two ways from a client to the provider."""

    provider: FakeProvider
    direct: Side
    proxy_url: str
    rows: StoredRows

    def through_tokenwatch(self, session: str, app: str = "sdk-tests") -> Side:
        return Side(
            f"{self.proxy_url}/openai/v1",
            f"{self.proxy_url}/anthropic",
            {"X-TokenWatch-Session": session, "X-TokenWatch-App": app},
        )


SPENT = "sdk-spent"
"""An app whose budget leaves nothing."""
KILLED = "sdk-killed"
"""An app whose budget's kill switch is set."""


def make_budgets(instance: Instance) -> None:
    daily = ("--period", "daily")
    instance.manage("budget", "set", "--name", "Team A", "--tokens", "1", "--app", SPENT, *daily)
    instance.manage("budget", "set", "--name", "Team B", "--limit", "5", "--app", KILLED, *daily)
    instance.manage("budget", "kill", "--id", "2")


@pytest.fixture(scope="package")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    directory = tmp_path_factory.mktemp("sdk")
    provider = FakeProvider(remember=10)
    with serve(provider.app) as upstream:
        instance = Instance(directory, upstream, stdout=subprocess.DEVNULL)
        instance.manage("migrate", "--no-input", "--verbosity", "0")
        make_budgets(instance)
        with instance:
            rows = StoredRows(directory / "tokenwatch.sqlite3")
            direct = Side(f"{upstream}/v1", upstream)
            yield Ways(provider, direct, instance.run.proxy_url, rows)
