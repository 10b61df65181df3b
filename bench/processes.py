"""Starts what the benchmark needs, each process pinned to its core, and stops all of it.

A process that does not start, or a load run that fails or does not end in time, raises
`BenchError`; leaving the block stops every process whatever happened.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.closed_loop import LoadResult
from bench.stats import Spread
from bench.stream_load import StreamResult
from demo.instance import BASE_DIR, pinned_to

START_SECONDS = 20
STOP_SECONDS = 5
LOAD_SECONDS = 240


class BenchError(Exception):
    """The benchmark could not be run to its end."""


@dataclass(frozen=True, slots=True)
class Cores:
    """One core for the proxy under test, another for the upstream and the load."""

    proxy: int
    load: int

    @classmethod
    def choose(cls) -> "Cores":
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise BenchError("two cores are needed: one for the proxy, one for the load")
        return cls(cores[0], cores[1])


def pinned(module: str, *arguments: str, core: int, **options: Any) -> "subprocess.Popen[str]":
    with pinned_to({core}):
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=BASE_DIR,
            stdin=subprocess.DEVNULL,
            text=True,
            **options,
        )


def free_port() -> int:
    """A port that was free a moment ago; the process that takes it says so if it no longer is."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def service(module: str, *arguments: str, core: int) -> Iterator[str]:
    """A server on a free port while the block lasts; yields its base URL."""
    port = free_port()
    process = pinned(module, "--port", str(port), *arguments, core=core)
    with stopped_after(process):
        await_listening(module, process, port, START_SECONDS)
        yield f"http://127.0.0.1:{port}"


def await_listening(name: str, process: "subprocess.Popen[str]", port: int, seconds: float) -> None:
    """Wait until the process has its port open.

    Raises:
        BenchError: it ended, or the time is up.
    """
    deadline = time.monotonic() + seconds
    while not listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"{name} did not start")
        time.sleep(0.05)


@contextmanager
def stopped_after(process: "subprocess.Popen[str]") -> Iterator[None]:
    """The process is ended with the block, kindly first."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


CHAT = "/openai/v1/chat/completions"


def run_load(
    url: str, core: int, *, path: str = CHAT, headers: Sequence[str] = (), **options: int | str
) -> dict[str, Any]:
    """Run the load generator to its end; the JSON that it printed.

    Raises:
        BenchError: an answer was wrong, a connection broke, or it took too long.
    """
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    arguments += [f"--header={line}" for line in headers]
    process = pinned(
        "bench.load",
        f"--url={url}{path}",
        f"--timeout={LOAD_SECONDS}",
        *arguments,
        core=core,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        output, errors = process.communicate(timeout=LOAD_SECONDS + 10)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        raise BenchError(errors.strip() or f"bench.load ended with {process.returncode}")
    result: dict[str, Any] = json.loads(output)
    return result


def requests(url: str, core: int, **options: Any) -> LoadResult:
    """One closed-loop run: ``connections``, ``requests``, ``warmup``, ``exchange``; as a proxy
    needs it, ``path``, ``headers`` and ``compare``."""
    result = run_load(url, core, **options)
    return LoadResult(**{**result, "latency_ms": Spread(**result["latency_ms"])})


def streams(url: str, core: int, **options: Any) -> StreamResult:
    """One streaming run: ``streams``, ``events``, ``interval_ms``."""
    result = run_load(url, core, **options)
    return StreamResult(**{**result, "delay_ms": Spread(**result["delay_ms"])})
