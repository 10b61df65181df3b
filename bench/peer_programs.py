"""How the peers of `bench.peers` are installed and started, each in a directory of its own.

Their settings are as generous as their documentation knows: one process, no debug output, no
database, no check of keys, nothing asked of other hosts. What goes wrong is a `PeerError`
with the program's own last words.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import BenchError, await_listening, free_port, stopped_after
from demo.instance import pinned_to

INSTALL_SECONDS = 600
START_SECONDS = 60


class PeerError(Exception):
    """A peer could not be installed or started; says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One other proxy. ``PORT`` and ``UPSTREAM`` stand for the port and the upstream's URL."""

    name: str
    directory: str
    package: str
    kind: str
    """``pip`` or ``npm``."""
    command: tuple[str, ...]
    requests: int
    """A round: fewer for those that take longer."""
    path: str = "/v1/chat/completions"
    headers: tuple[str, ...] = ()
    compare: str = "bytes"
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


LITELLM = Peer(
    name="LiteLLM proxy",
    directory="litellm",
    package="litellm[proxy]",
    kind="pip",
    command=(
        "venv/bin/litellm",
        "--config=config.yaml",
        "--host=127.0.0.1",
        "--port=PORT",
        "--telemetry=False",
    ),
    requests=300,
    compare="words",
    environment={
        # The list of prices that is in the package, instead of one from a web host.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    },
    files={
        "config.yaml": """model_list:
  - model_name: gpt-4o-mini
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: UPSTREAM/v1
      api_key: sk-benchmark
"""
    },
)

PORTKEY = Peer(
    name="Portkey gateway",
    directory="portkey",
    package="@portkey-ai/gateway",
    kind="npm",
    command=(
        "node",
        "node_modules/@portkey-ai/gateway/build/start-server.js",
        "--port=PORT",
        "--headless",
    ),
    requests=1_500,
    headers=("x-portkey-provider: openai", "x-portkey-custom-host: UPSTREAM/v1"),
)

PEERS = (PORTKEY, LITELLM)


def installed(peer: Peer, directory: Path) -> str:
    """Install the newest version where there is none yet; the version.

    Raises:
        PeerError: the installer is missing or failed.
    """
    directory.mkdir(exist_ok=True)
    return _with_pip(peer, directory) if peer.kind == "pip" else _with_npm(peer, directory)


def _with_pip(peer: Peer, directory: Path) -> str:
    python = directory / "venv" / "bin" / "python"
    if not python.exists():
        _install([sys.executable, "-m", "venv", "venv"], directory)
        pip = (str(python), "-m", "pip", "install", "-q", "--no-input")
        _install([*pip, "--disable-pip-version-check", peer.package], directory)
    name = peer.package.partition("[")[0]
    ask = f"import importlib.metadata as m; print(m.version({name!r}))"
    return _install([str(python), "-c", ask], directory).strip()


def _with_npm(peer: Peer, directory: Path) -> str:
    description = directory / "node_modules" / peer.package / "package.json"
    if not description.exists():
        if shutil.which("npm") is None:
            raise PeerError("no npm here")
        # Without a package.json of its own, npm would look for one further up.
        (directory / "package.json").write_text('{"private": true}')
        _install(["npm", "install", "--no-audit", "--no-fund", peer.package], directory)
    return str(json.loads(description.read_text())["version"])


def _install(command: Sequence[str], directory: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"not installed after {INSTALL_SECONDS} s") from None
    if done.returncode:
        raise PeerError(f"did not install: {_last_words(done.stderr or done.stdout)}")
    return done.stdout


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200].replace("|", "/") if lines else "it said nothing"


@contextmanager
def started(peer: Peer, directory: Path, upstream: str, core: int) -> Iterator[str]:
    """The peer on a free port while the block lasts; yields its base URL.

    Raises:
        PeerError: its program is missing, it ended, or did not listen in time.
    """
    port = free_port()
    for name, text in peer.files.items():
        (directory / name).write_text(text.replace("UPSTREAM", upstream))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "NODE_ENV": "production",
        **peer.environment,
    }
    log = directory / "output.log"
    with log.open("w") as output, pinned_to({core}):
        try:
            process = subprocess.Popen(
                [word.replace("PORT", str(port)) for word in peer.command],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
            )
        except OSError as error:
            raise PeerError(f"did not start: {error.strerror}") from None
    with stopped_after(process):
        try:
            await_listening(peer.name, process, port, START_SECONDS)
        except BenchError:
            raise PeerError(f"did not start: {_last_words(log.read_text())}") from None
        yield f"http://127.0.0.1:{port}"
