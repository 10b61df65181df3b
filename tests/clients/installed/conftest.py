"""One TokenWatch for all clients; each set of packages is installed once."""

import subprocess
from collections.abc import Iterator

import pytest

from demo.fake_provider import FakeProvider
from demo.instance import Instance
from demo.serving import serve
from tests.clients.installed.watching import Watched
from tests.clients.ledger import StoredRows


@pytest.fixture(scope="package")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("clients")
    provider = FakeProvider()
    with serve(provider.app) as upstream:
        instance = Instance(directory, upstream, stdout=subprocess.DEVNULL)
        instance.manage("migrate", "--no-input", "--verbosity", "0")
        with instance:
            rows = StoredRows(directory / "tokenwatch.sqlite3")
            yield Watched(instance.run.proxy_url, provider, rows)
