"""A PostgreSQL server of the test's own, that can be stopped and started again.

It listens on a free port of the loopback and keeps its data in a temporary directory. How it
fails: where the server's programs are not installed, the test is skipped; where they are and
do not work, `subprocess.CalledProcessError` comes with their output.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER = "tokenwatch"


def programs() -> Path | None:
    """The directory of the newest installed server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    in_path = shutil.which("initdb")
    found += [Path(in_path)] if in_path else []
    return found[-1].parent if found else None


def _as_owner() -> list[str]:
    """The server refuses to run as root: as root, its programs run as somebody else."""
    return [] if os.geteuid() else ["runuser", "-u", _owner(), "--"]


def _owner() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Server:
    """One server; `stop` is a crash, after which `start` recovers."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._data = directory / "data"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"postgres://{USER}@127.0.0.1:{self.port}/postgres"

    def initialise(self) -> None:
        self._run("initdb", "--username", USER, "--auth=trust", "--encoding=UTF8", "--no-sync")

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c fsync=off"
        options += " -c unix_socket_directories="
        log = str(self._directory / "log")
        self._run("pg_ctl", "start", "--wait", f"--log={log}", f"--options={options}")

    def stop(self) -> None:
        """Connections break in the middle of what they are doing."""
        self._run("pg_ctl", "stop", "--mode=immediate")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_owner(), str(self._programs / program), f"--pgdata={self._data}"]
        # Into a file: a pipe would be held open by the server that is left running.
        with open(self._directory / "output", "ab") as output:
            subprocess.run(
                [*command, *arguments],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=True,
            )


@contextmanager
def server() -> Iterator[Server]:
    """A running server; skips the test where none is installed."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="tokenwatch-pg-") as name:
        directory = Path(name)
        if not os.geteuid():
            owner = pwd.getpwnam(_owner())
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        made = Server(found, directory)
        made.initialise()
        made.start()
        try:
            yield made
        finally:
            made.stop()
