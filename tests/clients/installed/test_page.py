"""docs/clients.md says which versions its blocks were tried with, and says it right."""

import pytest

from tests.clients.installed import versions
from tests.clients.installed.pages import block, tried


def test_the_page_names_the_versions_that_are_tried() -> None:
    assert tried() == versions.ALL


def test_a_heading_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LookupError, match="no block under 'Telegraph'"):
        block("Telegraph")
