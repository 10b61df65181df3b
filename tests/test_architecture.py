"""The direction of imports: who may know of whom (docs/architecture.md).

`proxy` and `dashboard` are on top and compose the domains. A domain knows `usage`,
`upstreams` and the project's own base, never another domain and never what is on top.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenwatch.conf import BASE_DIR

TOP = {"proxy", "dashboard"}
SHARED = {"usage", "upstreams"}
DOMAINS = SHARED | {"access", "budgets", "routing", "experiments", "cache"}
TOOLS = {"bench", "demo", "tests"}
OURS = TOP | DOMAINS | TOOLS | {"tokenwatch"}

COMPOSES = (
    "tokenwatch/asgi.py",
    "tokenwatch/background.py",
    "tokenwatch/urls.py",
    "tokenwatch/management/",
)
"""The parts of the project's base that put the rest together."""

PURE = (
    "access/expiry.py",
    "access/keys.py",
    "access/limits.py",
    "budgets/accounts.py",
    "budgets/estimate.py",
    "budgets/periods.py",
    "budgets/refusals.py",
    "budgets/scopes.py",
    "budgets/validation.py",
    "budgets/webhook_rules.py",
    "cache/guards/",
    "cache/eligibility.py",
    "cache/entry.py",
    "cache/index.py",
    "cache/keys.py",
    "cache/memory.py",
    "experiments/assign.py",
    "experiments/intervals.py",
    "experiments/sequential.py",
    "experiments/statistics.py",
    "experiments/validation.py",
    "experiments/verdict.py",
    "experiments/words.py",
    "routing/conditions.py",
    "routing/dimensions.py",
    "routing/facts.py",
    "experiments/media.py",
    "experiments/redaction.py",
    "experiments/replay_judge.py",
    "experiments/replay_report.py",
    "experiments/replay_rules.py",
    "experiments/replay_view.py",
    "experiments/secret_forms.py",
    "experiments/secret_names.py",
    "experiments/secret_patterns.py",
    "experiments/secret_values.py",
    "experiments/unescaping.py",
    "routing/patterns.py",
    "routing/predicates.py",
    "routing/review.py",
    "routing/tags.py",
    "routing/targets.py",
    "tokenwatch/globs.py",
    "tokenwatch/telemetry/context.py",
    "tokenwatch/telemetry/conventions.py",
    "tokenwatch/telemetry/facts.py",
    "tokenwatch/telemetry/measures.py",
    "tokenwatch/telemetry/names.py",
    "tokenwatch/telemetry/sums.py",
    "tokenwatch/tokens.py",
    "upstreams/breaker.py",
    "upstreams/candidates.py",
    "upstreams/dialects/",
    "upstreams/asked.py",
    "upstreams/errors.py",
    "upstreams/failures.py",
    "upstreams/validation.py",
    "usage/catalogue.py",
    "usage/forecast.py",
    "usage/lines.py",
    "usage/model_names.py",
    "usage/pricesheet.py",
    "usage/pricing.py",
    "usage/rollups.py",
    "usage/rows.py",
    "usage/timings.py",
    "proxy/decoding.py",
    "proxy/headers.py",
    "proxy/sse.py",
    "proxy/tap.py",
    "dashboard/alerts.py",
    "dashboard/events.py",
    "dashboard/params.py",
    "dashboard/period.py",
    "dashboard/present.py",
)
"""Plain values in, plain values out; besides these, every ``rules.py``."""
IMPURE_MODULES = {"django", "asyncio", "socket", "httpx", "aiohttp", "requests", "threading"}


def allowed(path: str) -> set[str]:
    """The packages of ours that a file, named from the project's directory, may import."""
    package = path.split("/")[0]
    if package in TOP:
        return TOP | DOMAINS | {"tokenwatch"}
    if package in DOMAINS:
        return {package, "tokenwatch"} | SHARED
    if path.startswith(COMPOSES):
        return TOP | DOMAINS | {"tokenwatch"}
    return {"tokenwatch"}


def is_pure(path: str) -> bool:
    return path.startswith(PURE) or path.endswith("/rules.py")


def imports(source: str) -> Iterator[str]:
    """The modules that a source imports, those inside functions too; typing-only ones count."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def violations(path: str, source: str) -> list[str]:
    """What a file imports and may not."""
    found = []
    for module in imports(source):
        root = module.split(".")[0]
        if module.startswith("."):
            found.append(f"{path} imports {module}: imports here are absolute")
        elif root in OURS - allowed(path):
            found.append(f"{path} imports {module}")
        elif is_pure(path) and root in IMPURE_MODULES:
            found.append(f"{path} is pure and imports {module}")
    return found


def sources() -> list[Path]:
    return sorted(
        path
        for package in OURS - TOOLS
        for path in (BASE_DIR / package).rglob("*.py")
        if "migrations" not in path.parts
    )


def test_every_import_goes_in_the_right_direction() -> None:
    files = sources()
    assert len(files) > 30
    found = []
    for path in files:
        name = path.relative_to(BASE_DIR).as_posix()
        found += violations(name, path.read_text(encoding="utf-8"))
    assert found == []


def test_every_package_of_the_project_has_its_place() -> None:
    packages = {path.parent.name for path in BASE_DIR.glob("*/__init__.py")}
    assert packages <= OURS


def test_every_pure_module_is_there() -> None:
    assert [name for name in PURE if not (BASE_DIR / name).exists()] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("usage/writer.py", "from usage.rows import UsageRow"),
        ("usage/stats.py", "from tokenwatch.conf import config"),
        ("budgets/rules.py", "from usage.rows import UsageRow"),
        ("cache/store.py", "import upstreams.candidates"),
        ("proxy/pipeline.py", "from budgets import rules"),
        ("dashboard/views.py", "import usage.stats"),
        ("tokenwatch/asgi.py", "from proxy.views import ProxyApp"),
        ("tokenwatch/management/commands/reset.py", "from usage import ledger"),
        ("usage/writer.py", "from django.db import connection"),
    ],
)
def test_a_right_import_is_left_alone(path: str, source: str) -> None:
    assert violations(path, source) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("usage/writer.py", "from proxy.call import Call"),
        ("budgets/store.py", "import dashboard.views"),
        ("budgets/store.py", "from routing.rules import Route"),
        ("usage/stats.py", "import budgets"),
        ("upstreams/transport.py", "def f():\n    from cache import keys"),
        ("tokenwatch/policy.py", "from usage.models import ModelPrice"),
        ("tokenwatch/conf.py", "import proxy"),
        ("proxy/views.py", "from tests.fakes import upstream"),
        ("usage/pricing.py", "from django.db import models"),
        ("routing/rules.py", "import django.utils.timezone"),
        ("upstreams/dialects/openai.py", "import httpx"),
        ("usage/writer.py", "from .rows import UsageRow"),
    ],
)
def test_a_wrong_import_is_found(path: str, source: str) -> None:
    assert len(violations(path, source)) == 1
