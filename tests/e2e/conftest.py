"""A running TokenWatch with a fake provider and some history, and a real browser in front of it.

Without Debian's Chromium these tests are skipped. Every page is watched: an error on the
console, a dialog, or a request to another host fails its test.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from demo.fake_provider import FakeProvider
from demo.instance import Instance
from demo.serving import serve

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = "axe-core@4.14.1"
PASSWORD = "only for these tests"


class Site:
    """The instance under test; it can be restarted on its ports."""

    def __init__(self, directory: Path, provider: str) -> None:
        self._directory, self._provider = directory, provider
        self.instance = self._make(0, 0)
        self.instance.environment |= {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        self.instance.manage("migrate", "--verbosity", "0")
        self.instance.manage(
            "createsuperuser", "--no-input", "--username=ann", "--email=a@b.example"
        )
        self.instance.run_module("demo.fill", "--rows", "2500", "--policies")
        self.instance.__enter__()

    def _make(self, proxy: int, dashboard: int) -> Instance:
        return Instance(
            self._directory,
            self._provider,
            proxy_port=proxy,
            dashboard_port=dashboard,
            stdout=subprocess.DEVNULL,
        )

    @property
    def url(self) -> str:
        return self.instance.run.dashboard_url

    @property
    def proxy(self) -> str:
        return self.instance.run.proxy_url

    def stop(self) -> None:
        self.instance.__exit__()

    def start_again(self) -> None:
        run = self.instance.run
        self.instance = self._make(run.proxy_port, run.dashboard_port)
        self.instance.__enter__()

    def send(self, *, model: str = "gpt-4o-mini", **headers: str) -> None:
        """One request through the proxy."""
        named = {f"X-TokenWatch-{name.title()}": value for name, value in headers.items()}
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        with httpx.Client(trust_env=False) as client:
            answer = client.post(
                f"{self.proxy}/openai/v1/chat/completions",
                json=body,
                headers={"authorization": "Bearer x", **named},
            )
        assert answer.status_code == 200


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium here")
    with serve(FakeProvider().app) as provider:
        made = Site(tmp_path_factory.mktemp("site"), provider)
        yield made
        made.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield made
        made.close()


@pytest.fixture(scope="package")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here")
    directory = tmp_path_factory.mktemp("axe")
    subprocess.run([npm, "install", "--silent", "--prefix", directory, AXE], check=True)
    return (directory / "node_modules/axe-core/axe.min.js").read_text()


class Watch:
    """What went wrong on a page, besides what its test looks at."""

    def __init__(self, page: Page, origin: str) -> None:
        self.problems: list[str] = []
        self.down = False
        """The server is stopped: failed connections are expected."""
        self._origin = origin
        page.on("console", lambda m: self._note(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self._host(request.url))

    def _dialog(self, dialog: Dialog) -> None:
        self._note(f"dialog {dialog.message}")
        dialog.dismiss()

    def _note(self, text: str) -> None:
        if not self.down:
            self.problems.append(text)

    def _host(self, url: str) -> None:
        if not url.startswith((self._origin, "data:", "blob:", self._origin.replace("http", "ws"))):
            self.problems.append(f"request to {url}")


@pytest.fixture
def watch(page: Page) -> Watch:
    watch: Watch = page.watch  # type: ignore[attr-defined]
    return watch


@pytest.fixture
def page(site: Site, browser: Browser) -> Iterator[Page]:
    """A page that is logged in, in a browser of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="UTC")
    made = context.new_page()
    made.set_default_timeout(20_000)
    watch = Watch(made, site.url)
    made.watch = watch  # type: ignore[attr-defined]
    made.goto(f"{site.url}/")
    made.fill("#id_username", "ann")
    made.fill("#id_password", PASSWORD)
    made.click("button[type=submit]")
    made.wait_for_selector("#dashboard")
    yield made
    context.close()
    assert watch.problems == []
