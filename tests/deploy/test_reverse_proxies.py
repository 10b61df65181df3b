"""The reverse proxies' snippets in deploy/, in front of a real TokenWatch: nothing is held back.

Skipped where nginx or Caddy is not installed.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.faults.books import sqlite_books
from tests.faults.child import PATIENCE, Child
from tests.faults.conftest import DATABASE
from tests.faults.holding import EVENT, LAST, HoldingProvider, holding_provider
from tests.faults.load import OPENAI
from tests.faults.waiting import until
from tokenwatch.conf import BASE_DIR

pytestmark = pytest.mark.slow

DEPLOY = BASE_DIR / "deploy"
BODY = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
WHOLE = {**BODY, "stream": False}


def free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


def placed(text: str, child: Child, front: list[int]) -> str:
    """A snippet with this test's ports in the place of its own."""
    own = ["8877", "8878", "8080", "8081"]
    there = [child.run.proxy_port, child.run.dashboard_port, *front]
    for port, other in zip(own, there, strict=True):
        assert text.count(f":{port}") + text.count(f" {port};") == 1
        text = text.replace(f":{port}", f":{other}").replace(f" {port};", f" {other};")
    return text


def nginx(child: Child, directory: Path, front: list[int]) -> list[str]:
    paths = "".join(
        f"{kind}_temp_path {directory / kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    snippet = placed((DEPLOY / "nginx.conf").read_text(), child, front)
    config = directory / "nginx.conf"
    config.write_text(
        f"pid {directory / 'pid'}; daemon off; worker_processes 1;"
        f"error_log {directory / 'error'}; events {{}}"
        f"http {{ access_log off; {paths}\n{snippet} }}"
    )
    return ["nginx", "-p", str(directory), "-e", str(directory / "error"), "-c", str(config)]


def caddy(child: Child, directory: Path, front: list[int]) -> list[str]:
    config = directory / "Caddyfile"
    snippet = placed((DEPLOY / "Caddyfile").read_text(), child, front)
    config.write_text("{\n\tadmin off\n}\n" + snippet)
    return ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]


@contextmanager
def running(command: list[str], directory: Path, port: int) -> Iterator[None]:
    kept = {**os.environ, "HOME": str(directory), "XDG_DATA_HOME": str(directory)}
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=kept, start_new_session=True
        )
        try:
            until(
                lambda: answers(port) or process.poll() is not None,
                lambda: "it does not answer",
                PATIENCE,
            )
            assert process.poll() is None, (directory / "output").read_text()
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


Front = tuple[HoldingProvider, str, str, Child]


@pytest.fixture(params=[nginx, caddy])
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    """The provider, the URLs of the reverse proxy's two ports, and TokenWatch behind them."""
    make: Callable[[Child, Path, list[int]], list[str]] = request.param
    if shutil.which(make.__name__) is None:
        pytest.skip(f"{make.__name__} is not installed")
    with holding_provider() as (provider, url):
        child = Child(tmp_path / "data", url)
        child.migrate()
        with child:
            ports = free_ports(2)
            with running(make(child, tmp_path, ports), tmp_path, ports[0]):
                proxy, dashboard = (f"http://127.0.0.1:{port}" for port in ports)
                yield provider, proxy, dashboard, child


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)


def test_each_event_of_a_stream_comes_before_the_next_is_sent(front: Front) -> None:
    provider, url, _, _ = front
    headers = {"X-Hold": "1"}
    with client(url) as http, http.stream("POST", OPENAI, json=BODY, headers=headers) as answer:
        chunks = answer.iter_raw()
        for _ in range(3):
            assert next(chunks) == EVENT  # the provider sends no other until it is told to
            provider.more()
        assert next(chunks) == EVENT
        provider.release()
        assert b"".join(chunks) == LAST


def test_answers_pass_as_they_are(front: Front) -> None:
    _, url, _, child = front
    with client(url) as http, client(child.run.proxy_url) as direct:
        through, straight = (h.post(OPENAI, json=WHOLE) for h in (http, direct))
        assert through.content == straight.content
        assert through.headers["x-tokenwatch-cost"] == straight.headers["x-tokenwatch-cost"]
        refused = http.post(OPENAI, json={**WHOLE, "model": "fail-429"})
        assert refused.status_code == 429
        big = http.post(OPENAI, content=b"[" + b" " * 3_000_000 + b"]")
        assert big.status_code == 400  # the provider's word, not the reverse proxy's


def test_a_client_that_leaves_ends_the_request(front: Front) -> None:
    _, url, _, child = front
    with client(url) as http:
        with http.stream("POST", OPENAI, json=BODY, headers={"X-Hold": "1"}) as answer:
            next(answer.iter_raw())
            request_id = answer.headers["x-tokenwatch-request-id"]
        until(
            lambda: request_id in stored(child),
            lambda: "the request goes on",
            PATIENCE,
        )


def stored(child: Child) -> list[str]:
    return sqlite_books(child.data_dir / DATABASE).ids()


def test_the_dashboard_answers_on_its_own_port(front: Front) -> None:
    _, _, url, _ = front
    with client(url) as http:
        assert http.get("/admin/login/").status_code == 200
        assert http.get("/openai/v1/models").status_code == 404
