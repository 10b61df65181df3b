"""`python -m bench`: TokenWatch against a bare pass-through, measured in one run.

The proxies run on one core, the fake upstream and the load generator on another. About five
minutes; ``--quick`` about one. Ends with status 1 where an answer was wrong, an event or a
row was lost, or a process failed; a missed target is shown, and is no failure of the run.
"""

import argparse
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench import report
from bench.measure import FULL, QUICK, Bench, Figures, Others, Plan
from bench.processes import BenchError, Cores, service
from demo.instance import Instance, InstanceError

RESULTS = Path(__file__).with_name("RESULTS.md")
console = Console()


BUDGETS = (
    ("--limit", "1000000", "--name", "everything"),
    ("--tokens", "9000000000", "--model", "gpt-4o-mini"),
    ("--limit", "1000000", "--app", "*"),
)
"""They block, match every request, and are never used up: by name, by pattern and in tokens."""


POLICIES = "from bench.policies import make; make()"
"""For a process that runs under the instance's environment."""
CACHE = {"CACHE_ENABLED": "true", "CACHE_SEMANTIC": "false"}


def ledger_rows(data_dir: Path) -> int:
    """Count the rows where TokenWatch wrote them, not by what it says."""
    uri = f"file:{data_dir / 'tokenwatch.sqlite3'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        (count,) = database.execute("SELECT COUNT(*) FROM tw_usage").fetchone()
    return int(count)


def measure(plan: Plan, cores: Cores, data_dir: Path) -> Figures:
    """Start everything, measure, and stop everything."""
    with (
        service("bench.upstream", core=cores.load) as upstream,
        service("bench.bare", "--upstream", upstream, core=cores.proxy) as bare,
        service("bench.collector", core=cores.load) as collector,
    ):
        directories = [data_dir / name for name in ("plain", *(f.name for f in fields(Others)))]
        telling = {"OTEL_ENABLED": "true", "OTEL_ENDPOINT": collector}
        instance, *rest = (
            made(directory, upstream, cores, settings)
            for directory, settings in zip(directories, ({}, {}, {}, telling, CACHE), strict=True)
        )
        others = Others(*rest)
        for options in BUDGETS:
            others.budgeted.manage("budget", "set", *options)
        others.ruled.manage("shell", "--verbosity", "0", "-c", POLICIES)
        with ExitStack() as running, console.status("starting") as status:
            for one in (instance, *rest):
                running.enter_context(one)
            figures = Bench(plan, bare, instance, others, cores.load, status.update).run()
            figures.rows = sum(map(ledger_rows, directories))
    return figures


def made(data_dir: Path, upstream: str, cores: Cores, settings: Mapping[str, str]) -> Instance:
    """A TokenWatch with an empty database."""
    data_dir.mkdir()
    instance = Instance(
        data_dir, upstream, settings=settings, affinity={cores.proxy}, stdout=subprocess.DEVNULL
    )
    instance.manage("migrate", "--verbosity", "0")
    return instance


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def too_long(*_: object) -> None:
    raise BenchError("not done in the time that the run may take")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure TokenWatch.")
    parser.add_argument("--quick", action="store_true", help="a rough run of about a minute")
    parser.add_argument(
        "--output", type=Path, help="file for the results (default: bench/RESULTS.md; quick: none)"
    )
    return parser.parse_args()


def main() -> None:
    args = arguments()
    plan = QUICK if args.quick else FULL
    output = args.output or (None if args.quick else RESULTS)
    signal.signal(signal.SIGTERM, interrupt)  # stops the processes as Ctrl-C does
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(plan.most_seconds)
    try:
        with tempfile.TemporaryDirectory(prefix="tokenwatch-bench-") as directory:
            figures = measure(plan, Cores.choose(), Path(directory))
    except (BenchError, InstanceError) as error:
        raise SystemExit(f"bench: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("bench: stopped") from None
    signal.alarm(0)
    measured = report.lines(figures)
    console.print(report.table(measured))
    if output is not None:
        output.write_text(report.markdown(measured, plan, datetime.now(UTC).date()))
        console.print(f"Written to {output.name}")
    lost = sum(pair.tokenwatch.lost for pair in figures.streams)
    sys.exit(1 if lost or figures.answered != figures.rows else 0)


if __name__ == "__main__":
    main()
