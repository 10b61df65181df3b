"""The blocks of docs/clients.md, to be run as they stand there.

A heading that is not on the page, or one without a block, raises `LookupError`.
"""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "clients.md"

URL = "http://127.0.0.1:8877"
APP = "my-app"


def block(heading: str) -> str:
    """The first code block under a heading."""
    _, found, rest = PAGE.read_text().partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    match = re.search(r"^```\w+\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    if not found or match is None:
        raise LookupError(f"{PAGE.name}: no block under {heading!r}")
    return match[1]


def pointed(text: str, url: str, app: str) -> str:
    """A block with the address of one TokenWatch and an app's name of its own."""
    return text.replace(URL, url).replace(APP, app)


def tried() -> set[str]:
    """The packages with versions that the last section's table names: ``name==version``."""
    section = PAGE.read_text().partition("\n## Tried with\n")[2]
    rows = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    return {f"{name}=={version}" for name, version in re.findall(r"`([^` ]+) ([^` ]+)`", rows)}
