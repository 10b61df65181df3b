"""Clients in directories of their own: a virtual environment, or a node_modules.

What cannot be installed here (no npm, no registry) skips its tests with the installer's last
words. Programs see neither this machine's settings nor its keys: only what `Home.run` gives.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

INSTALL_SECONDS = 400
RUN_SECONDS = 120

KEYS = {"OPENAI_API_KEY": "sk-made-up", "ANTHROPIC_API_KEY": "sk-ant-made-up"}


@dataclass(frozen=True)
class Home:
    """A directory that programs run in, which is their home directory too."""

    directory: Path
    programs: Path
    """Looked at first for a command's name."""

    def run(self, command: Sequence[str], more: Mapping[str, str] | None = None) -> str:
        """What a program printed; fails with what it complained of."""
        environment = {
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.directory),
            **KEYS,
            **(more or {}),
        }
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )
        assert done.returncode == 0, f"{command[0]}: {done.stdout[-500:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def script(self, program: str, name: str, text: str, **more: str) -> str:
        """What a script printed."""
        path = self.directory / name
        path.write_text(text)
        return self.run([program, str(path)], more)


def install(what: str, command: Sequence[str], directory: Path) -> None:
    """Run an installer; skips where it cannot do its work."""
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{what}: not installed after {INSTALL_SECONDS} s")
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        pytest.skip(f"{what} cannot be installed here: {words[-1]}")


def with_python(directory: Path, packages: Sequence[str]) -> Home:
    """A virtual environment with these packages."""
    environment = directory / "venv"
    install("a virtual environment", [sys.executable, "-m", "venv", str(environment)], directory)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input"]
    install(" ".join(packages), [*pip, "--disable-pip-version-check", *packages], directory)
    return Home(directory, environment / "bin")


def with_node(directory: Path, packages: Sequence[str]) -> Home:
    """A node_modules with these packages; ``name==version`` as for Python."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no npm here")
    # Without a package.json of its own, npm would look for one further up.
    (directory / "package.json").write_text('{"private": true}')
    wanted = [package.replace("==", "@") for package in packages]
    command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", *wanted]
    install(" ".join(packages), command, directory)
    return Home(directory, directory / "node_modules" / ".bin")
