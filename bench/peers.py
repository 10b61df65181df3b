"""`python -m bench.peers`: TokenWatch beside LiteLLM's proxy and Portkey's gateway.

Each peer is installed from its package registry into a directory of its own, in the version
that is newest, and started as its documentation says, with what is slow and not needed turned
off. All run on one core and take turns over short rounds; upstream and load have another. A
peer that does not install or start is a line with the reason, not a failure of the run.

The table goes into docs/comparison.md, between its marks.
"""

import argparse
import contextlib
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console

from bench.__main__ import made
from bench.closed_loop import LoadResult
from bench.measure import CONNECTIONS, DRAIN_SECONDS
from bench.peer_programs import PEERS, Peer, PeerError, installed, started
from bench.processes import CHAT, BenchError, Cores, requests, service
from bench.report import machine
from demo.instance import BASE_DIR, Instance, InstanceError

PAGE = BASE_DIR / "docs" / "comparison.md"
BEGIN, END = "<!-- measured: make bench-peers -->\n", "<!-- end of what was measured -->"
ROUNDS = 5
OURS = 3_000
"""Requests a round for TokenWatch and the bare pass-through."""
console = Console(highlight=False, soft_wrap=True)


@dataclass(slots=True)
class Contender:
    """One proxy that runs, and what its rounds have shown."""

    name: str
    version: str
    url: str
    requests: int
    path: str = CHAT
    headers: tuple[str, ...] = ()
    compare: str = "bytes"
    results: list[LoadResult] = field(default_factory=list)
    failure: str = ""

    def measure(self, core: int) -> None:
        self.results.append(
            requests(
                self.url,
                core,
                connections=CONNECTIONS,
                requests=self.requests,
                warmup=max(CONNECTIONS, self.requests // 10),
                exchange="small",
                path=self.path,
                headers=self.headers,
                compare=self.compare,
            )
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One proxy in the table; the figures are None where it could not be measured."""

    name: str
    version: str
    per_second: float | None = None
    share: float | None = None
    """Of the bare pass-through's throughput: the median of the rounds' own ratios."""
    failure: str = ""

    def cells(self) -> tuple[str, ...]:
        if self.per_second is None or self.share is None:
            return self.name, self.version, "not measured", self.failure
        return self.name, self.version, f"{self.per_second:,.0f}", f"{self.share:.3f}"


def line(contender: Contender, bare: Contender) -> Line:
    if contender.failure or not contender.results:
        return Line(contender.name, contender.version, failure=contender.failure)
    pairs = zip(contender.results, bare.results, strict=True)
    return Line(
        contender.name,
        contender.version,
        median([result.per_second for result in contender.results]),
        median([one.per_second / other.per_second for one, other in pairs]),
    )


@contextlib.contextmanager
def peers_running(
    environments: Path, upstream: str, core: int, failed: list[Line]
) -> Iterator[list[Contender]]:
    """Those that install and start; the others are noted in ``failed``."""
    running = []
    with contextlib.ExitStack() as stack:
        for peer in PEERS:
            version = "?"
            try:
                console.print(f"{peer.name}: installing, where it is not yet, and starting")
                version = installed(peer, environments / peer.directory)
                directory = environments / peer.directory
                url = stack.enter_context(started(peer, directory, upstream, core))
            except PeerError as error:
                failed.append(Line(peer.name, version, failure=str(error)))
                continue
            running.append(contender(peer, version, url, upstream))
        yield running


def our_version() -> str:
    project = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def contender(peer: Peer, version: str, url: str, upstream: str) -> Contender:
    headers = tuple(header.replace("UPSTREAM", upstream) for header in peer.headers)
    return Contender(
        peer.name, version, url, peer.requests, peer.path, headers, compare=peer.compare
    )


def take_turns(
    bare: Contender, ours: Contender, peers: list[Contender], core: int, instance: Instance
) -> None:
    """Round after round, each proxy after the other; a peer that fails is left out then."""
    for number in range(ROUNDS):
        console.print(f"round {number + 1} of {ROUNDS}")
        bare.measure(core)
        ours.measure(core)
        instance.drain(DRAIN_SECONDS)
        for peer in peers:
            if peer.failure:
                continue
            try:
                peer.measure(core)
            except BenchError as error:
                peer.failure = str(error)


def run(environments: Path, data: Path) -> list[Line]:
    """Start everything, measure, stop everything."""
    cores = Cores.choose()
    failed: list[Line] = []
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(service("bench.upstream", core=cores.load))
        peers = stack.enter_context(peers_running(environments, upstream, cores.proxy, failed))
        bare_url = stack.enter_context(
            service("bench.bare", "--upstream", upstream, core=cores.proxy)
        )
        instance = made(data / "tokenwatch", upstream, cores, {})
        stack.enter_context(instance)
        bare = Contender("bare pass-through", "", bare_url, OURS)
        ours = Contender("TokenWatch", our_version(), instance.run.proxy_url, OURS)
        take_turns(bare, ours, peers, cores.load, instance)
        return [*(line(each, bare) for each in (bare, ours, *peers)), *failed]


def markdown(lines: list[Line], today: str, host: str) -> str:
    """What goes between the page's marks."""
    rows = "\n".join("| " + " | ".join(each.cells()) + " |" for each in lines)
    return f"""
Measured {today} on {host}, with `make bench-peers`: {CONNECTIONS} connections, small chat
completions that are not streamed, one core for the proxy, medians of {ROUNDS} rounds in turns.

| Proxy | Version | Requests/s | Of the bare one's |
|---|---|---:|---:|
{rows}

"""


def write(page: Path, table: str) -> None:
    """Replace what stands between the marks."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"bench.peers: {page.name} lacks the marks around its table")
    page.write_text(before + begin + table + end + after)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="Measure peers.")
    parser.add_argument(
        "--environments", type=Path, help="directory to install into and keep (default: none kept)"
    )
    parser.add_argument("--no-write", action="store_true", help="leave docs/comparison.md alone")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="tokenwatch-peers-") as directory:
        environments = args.environments or Path(directory) / "environments"
        environments.mkdir(parents=True, exist_ok=True)
        try:
            lines = run(environments.resolve(), Path(directory))
        except (BenchError, InstanceError) as error:
            raise SystemExit(f"bench.peers: {error}") from None
        except KeyboardInterrupt:
            raise SystemExit("bench.peers: stopped") from None
    table = markdown(lines, datetime.now(UTC).date().isoformat(), machine())
    console.print(table)
    if not args.no_write:
        write(PAGE, table)
    sys.exit(0)


if __name__ == "__main__":
    main()
