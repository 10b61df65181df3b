"""`status` says running only if the process lives and answers."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from tokenwatch import running
from tokenwatch.conf import config
from tokenwatch.management.commands.status import database_name
from tokenwatch.server import RunFile

HEALTH = {"status": "ok", "database": "ok", "spool_depth": 3}
FACTS = {
    "pid": 4711,
    "host": "127.0.0.1",
    "proxy_port": 8877,
    "dashboard_port": 8878,
    "workers": 2,
    "started_at": 1_795_435_200.5,
}


class Health(BaseHTTPRequestHandler):
    """A proxy port that knows nothing but ``/health``."""

    status, body = 200, json.dumps(HEALTH).encode()

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health" else 404)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def run_file() -> Iterator[Path]:
    yield config.run_file
    config.run_file.unlink(missing_ok=True)


def status() -> tuple[int, dict[str, Any]]:
    """The exit status and the JSON."""
    out = StringIO()
    code = 0
    try:
        call_command("status", "--json", stdout=out)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, json.loads(out.getvalue())


def write(path: Path, **facts: Any) -> None:
    path.write_text(json.dumps({**FACTS, **facts}))


def test_a_running_start_is_shown_with_its_urls_and_spool(port: int, run_file: Path) -> None:
    write(run_file, pid=os.getpid(), proxy_port=port)
    code, facts = status()
    assert code == 0
    assert facts["status"] == "running"
    assert facts["proxy_url"] == f"http://127.0.0.1:{port}"
    assert facts["dashboard_url"] == "http://127.0.0.1:8878"
    assert (facts["workers"], facts["spool_depth"], facts["database_status"]) == (2, 3, "ok")


def test_the_table_names_the_base_urls(port: int, run_file: Path) -> None:
    write(run_file, pid=os.getpid(), proxy_port=port)
    out = StringIO()
    call_command("status", stdout=out)
    assert f"http://127.0.0.1:{port}/openai/v1" in out.getvalue()
    assert f"http://127.0.0.1:{port}/anthropic\n" in out.getvalue().replace(" ", "")


def test_what_start_writes_is_what_status_reads(port: int, run_file: Path) -> None:
    facts = {name: FACTS[name] for name in ("host", "dashboard_port", "workers")}
    with RunFile(run_file, {**facts, "proxy_port": port}):
        assert status()[1]["pid"] == os.getpid()
    assert status()[1]["status"] == "not running"


def test_nothing_runs_where_nothing_was_started() -> None:
    code, facts = status()
    assert code == 1
    assert facts["status"] == "not running"
    assert facts["proxy_url"] is None


def test_the_file_of_a_killed_start_does_not_count(port: int, run_file: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write(run_file, pid=ended.pid, proxy_port=port)
    assert status()[1]["status"] == "not running"


def test_a_process_that_does_not_answer_is_not_running(run_file: Path) -> None:
    write(run_file, pid=os.getpid(), proxy_port=unused_port())
    code, facts = status()
    assert (code, facts["status"]) == (1, "not answering")


def unused_port() -> int:
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        return server.server_port


@pytest.mark.parametrize(
    ("answer", "body"), [(500, b"{}"), (200, b"<html>"), (200, b"[]"), (404, b"{}")]
)
def test_another_program_on_the_port_is_not_taken_for_tokenwatch(
    port: int, run_file: Path, monkeypatch: pytest.MonkeyPatch, answer: int, body: bytes
) -> None:
    monkeypatch.setattr(Health, "status", answer)
    monkeypatch.setattr(Health, "body", body)
    write(run_file, pid=os.getpid(), proxy_port=port)
    assert status()[1]["status"] == "not answering"


def test_a_configured_http_proxy_is_not_asked(
    port: int, run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    write(run_file, pid=os.getpid(), proxy_port=port)
    assert status()[1]["status"] == "running"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        json.dumps({**FACTS, "pid": 0}),
        json.dumps({**FACTS, "pid": -1}),
        json.dumps({**FACTS, "workers": "many"}),
        json.dumps({**FACTS, "started_at": 1e300}),
    ],
)
def test_a_damaged_run_file_counts_as_none(run_file: Path, text: str) -> None:
    run_file.write_text(text)
    assert running.read(run_file) is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8877"),
        ("0.0.0.0", "http://127.0.0.1:8877"),
        ("::", "http://[::1]:8877"),
        ("fd00::7", "http://[fd00::7]:8877"),
        ("tokenwatch.local", "http://tokenwatch.local:8877"),
    ],
)
def test_the_url_is_one_that_opens(host: str, url: str) -> None:
    assert running.base_url(host, 8877) == url


def test_the_database_is_named_without_its_password() -> None:
    shown = database_name(
        {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "tw",
            "USER": "u",
            "PASSWORD": "hunter2",
            "HOST": "db",
            "PORT": 5432,
        }
    )
    assert shown == "postgresql db:5432/tw"
