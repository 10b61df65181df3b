"""What the other process executed, once for each test module that asks."""

from typing import Any

import pytest

from tests.oracle.process import recorded


@pytest.fixture(scope="module")
def migrations() -> dict[str, Any]:
    return recorded("migrations")


@pytest.fixture(scope="module")
def queries() -> dict[str, Any]:
    return recorded("queries")
