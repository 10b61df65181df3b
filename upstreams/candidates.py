"""Which upstreams may serve a request, best first. Pure, but for the loader at the end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


Candidates = Mapping[str, tuple[Candidate, ...]]
"""By api type; never empty for a known one."""


def compose(config: Config, rows: Iterable[Candidate]) -> Candidates:
    """The operator's upstreams by api type, in the order given; the configured URL where
    there is none."""
    found: dict[str, list[Candidate]] = {"anthropic": [], "openai": []}
    for row in rows:
        found.setdefault(row.api_type, []).append(row)
    urls = {"anthropic": config.anthropic_url, "openai": config.openai_url}
    return {
        api_type: tuple(rows_) or (Candidate(DEFAULT_NAME, api_type, urls[api_type]),)
        for api_type, rows_ in found.items()
    }


def load_upstreams() -> list[Candidate]:
    """The enabled upstreams from the database, by priority."""
    from upstreams.models import Upstream

    rows = Upstream.objects.filter(enabled=True).order_by("priority", "name")
    return [Candidate(row.name, row.api_type, row.base_url.rstrip("/")) for row in rows]
