"""What is deployed fits the project: nothing that runs is left out, nothing contradicts itself."""

import asyncio
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.apps import apps

from tests.fakes import answer, raw_upstream
from tokenwatch.conf import BASE_DIR, PREFIX, Config

SETTINGS = {PREFIX + field.name.upper() for field in fields(Config)}
COMPOSE: dict[str, Any] = yaml.safe_load((BASE_DIR / "compose.yaml").read_text())
UNIT = (BASE_DIR / "deploy" / "tokenwatch.service").read_text()


def seconds(text: str) -> int:
    """``5m30s`` in seconds."""
    units = {"m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([ms])", text))


def test_every_app_and_its_files_go_into_the_image() -> None:
    kept = {line[1:] for line in _lines(".dockerignore") if line.startswith("!")}
    own = {
        Path(config.path).name
        for config in apps.get_app_configs()
        if Path(config.path).is_relative_to(BASE_DIR) and ".venv" not in config.path
    }
    assert own | {"manage.py", "requirements.txt", "templates", "static"} <= kept
    assert "*" in _lines(".dockerignore")


def test_the_image_runs_as_nobody_in_particular_from_a_stage_without_tools() -> None:
    last = (BASE_DIR / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "-slim" in last.partition("\n")[0]
    assert "pip" not in last
    assert "apt-get" not in last
    assert re.search(r"^USER \d{4,}$", last, re.MULTILINE)
    for path in re.findall(r'"(deploy/[^"]+)"', last):
        assert (BASE_DIR / path).is_file()


def test_settings_are_named_as_they_are_read() -> None:
    named = set(re.findall(r"\bTOKENWATCH_[A-Z_]+", (BASE_DIR / "Dockerfile").read_text() + UNIT))
    for service in COMPOSE["services"].values():
        named |= {name for name in service.get("environment", ()) if name.startswith(PREFIX)}
    assert named - {"TOKENWATCH_NAME", "TOKENWATCH_ENV_FILE"} <= SETTINGS


def test_whoever_stops_it_waits_longer_than_it_drains() -> None:
    service = COMPOSE["services"]["tokenwatch"]
    drain = int(service["environment"]["TOKENWATCH_DRAIN_TIMEOUT"])
    assert seconds(service["stop_grace_period"]) >= drain + 30
    (timeout,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    (drain_of_unit,) = re.findall(r"TOKENWATCH_DRAIN_TIMEOUT=(\d+)", UNIT)
    assert int(timeout) >= int(drain_of_unit) + 30


def test_what_compose_mounts_is_there() -> None:
    mounted = [
        volume.partition(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    ]
    assert mounted
    assert all((BASE_DIR / path).exists() for path in mounted)


def test_the_workflow_gives_the_tests_what_their_settings_read() -> None:
    workflow = yaml.safe_load((BASE_DIR / ".github/workflows/oracle.yml").read_text())
    steps = workflow["jobs"]["tests"]["steps"]
    suite = next(step for step in steps if "pytest" in step.get("run", ""))
    assert set(suite["env"]) == {f"TOKENWATCH_TEST_ORACLE_{n}" for n in ("DSN", "USER", "PASSWORD")}
    code = (BASE_DIR / "tests" / "settings.py").read_text()
    assert "TOKENWATCH_TEST_ORACLE_" in code


@pytest.mark.parametrize(("status", "expected"), [(b"200 OK", 0), (b"503 Busy", 1)])
async def test_the_health_check_believes_the_answer(status: bytes, expected: int) -> None:
    async def serve(connection: Any) -> None:
        await connection.request()
        await connection.send(answer(b"{}", status=status))

    async with raw_upstream(serve) as server:
        port = server.url.rpartition(":")[2]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "deploy/healthcheck.py",
            cwd=BASE_DIR,
            env={"TOKENWATCH_PROXY_PORT": port, "http_proxy": "http://127.0.0.1:1"},
            stderr=subprocess.DEVNULL,
        )
        assert await process.wait() == expected


def test_the_health_check_fails_where_nobody_listens() -> None:
    done = subprocess.run(
        [sys.executable, "deploy/healthcheck.py"],
        cwd=BASE_DIR,
        env={"TOKENWATCH_PROXY_PORT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def _lines(name: str) -> list[str]:
    return (BASE_DIR / name).read_text().splitlines()
