"""What the documentation and the admin give as examples can be used."""

import re

import pytest

from routing.conditions import EXAMPLES, KINDS, parse
from tokenwatch.conf import BASE_DIR


@pytest.mark.parametrize("kind", KINDS)
def test_examples_can_be_read_and_are_documented(kind):
    assert EXAMPLES[kind]
    page = (BASE_DIR / "docs/routing.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{kind}` \|.*$", page, re.M)
    for value in EXAMPLES[kind]:
        parse(kind, value)
        assert f"`{value}`" in row.replace("\\|", "|")
