"""The dashboard in a real browser, against a running server."""

import re
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Site, Watch

pytestmark = pytest.mark.slow
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"
TABS = {
    "/?range=30d": "Overview",
    "/cost/?range=30d": "Cost Intelligence",
    "/experiments/": "Experiments",
    "/system/": "System",
}
WITHIN = 1_000
"""Milliseconds in which a request appears in the feed; allowed is more, as machines are busy."""


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def live(page: Page) -> None:
    expect(page.locator("[data-live-state]")).to_have_text("Live")


@pytest.mark.parametrize("address", TABS)
def test_every_tab_shows_its_figures(page: Page, site: Site, address: str) -> None:
    page.goto(site.url + address)
    expect(page.locator(".d-tabs a[aria-current]")).to_have_text(TABS[address])
    if "range" in address:
        expect(page.locator(".d-value").first).to_contain_text("$")
        assert page.locator("canvas").count() >= 1
    page.wait_for_load_state("networkidle")


def test_tabs_keep_the_view(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/?range=7d&app=search")
    page.get_by_role("link", name="Cost Intelligence").last.click()
    page.wait_for_url("**/cost/**")
    assert query(page) == {"range": ["7d"], "app": ["search"]}


def test_a_request_appears_in_the_feed(page: Page, site: Site) -> None:
    live(page)
    began = time.monotonic()
    site.send(app="first-in-feed")
    sent = time.monotonic()
    row = page.locator("[data-live-rows] tr", has_text="first-in-feed")
    expect(row).to_be_visible()
    print(
        f"in the feed {time.monotonic() - sent:.2f} s after its end, sent in {sent - began:.2f} s"
    )
    row.locator("a").click()
    expect(page.locator(".d-facts").first).to_contain_text("first-in-feed")


def test_the_feed_can_be_paused_and_keeps_to_the_filters(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/?app=search&range=30d")
    live(page)
    site.send(app="unwanted")
    site.send(app="search", tag="one")
    expect(page.locator("[data-live-rows] tr")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    site.send(app="search", tag="two")
    expect(page.locator("[data-live-note]")).to_contain_text("1 new since the pause")
    expect(page.locator("[data-live-rows] tr")).to_have_count(1)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("[data-live-rows] tr")).to_have_count(2)


def test_it_reconnects_by_itself_and_catches_up(page: Page, site: Site, watch: Watch) -> None:
    live(page)
    watch.down = True
    site.stop()
    expect(page.locator("[data-live-state]")).to_contain_text("trying again")
    site.start_again()
    site.send(app="while-away")
    expect(page.locator("[data-live-state]")).to_have_text("Live", timeout=30_000)
    expect(page.locator("[data-live-rows] tr", has_text="while-away")).to_be_visible()
    watch.down = False


def test_filters_stand_in_the_url_and_narrow_the_table(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/?range=30d")
    page.locator("select[name=app]").select_option("search")
    page.wait_for_url("**app=search**")
    assert query(page) == {"range": ["30d"], "app": ["search"]}
    expect(page.locator(".d-rows").last.locator("tbody tr").first).to_contain_text("search")
    page.get_by_role("link", name=re.compile("remove this filter")).click()
    page.wait_for_url(lambda url: "app=" not in url)


def test_a_click_drills_down(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/cost/?range=30d")
    page.get_by_role("link", name="review", exact=True).last.click()
    page.wait_for_url("**tag=review**")
    expect(page.locator(".d-tables .d-table").nth(1).locator("tbody tr")).to_have_count(1)
    expect(page.locator(".d-tables .d-table").nth(1)).to_contain_text("coding-agent")


def test_a_legend_filters_and_dragging_zooms(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/?range=30d")
    chart = page.locator("[data-chart=stack]").first
    box = chart.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.move(box["x"] + box["width"] * 0.6, y)
    page.mouse.up()
    page.wait_for_url("**from=**")
    assert set(query(page)) == {"from", "to"}
    page.goto(f"{site.url}/?range=30d")
    page.locator("[data-legend] a").first.click()
    page.wait_for_url("**model=**")


def test_the_request_page_has_a_bill(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/?range=30d&app=support-bot&cache=miss&status=ok")
    page.locator("a.d-open").first.click()
    expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
    expect(page.locator("tfoot")).to_contain_text("$")
    page.get_by_role("link", name="← Requests").click()
    expect(page.get_by_role("heading", name="Requests", exact=True).last).to_be_visible()


def test_dark_mode_is_kept(page: Page, site: Site) -> None:
    page.evaluate("localStorage.setItem('adminTheme', JSON.stringify('dark'))")
    page.goto(f"{site.url}/?range=7d")
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    colour = page.locator(".d-card").first.evaluate("e => getComputedStyle(e).backgroundColor")
    assert colour == "rgb(22, 27, 36)"


@pytest.mark.parametrize("address", TABS)
def test_nothing_is_cut_at_360_pixels(page: Page, site: Site, address: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(site.url + address)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_it_works_by_keyboard(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/?range=24h")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim().slice(0, 12)"))
        if page.evaluate("document.activeElement.textContent.trim()") == "30 days":
            page.keyboard.press("Enter")
            break
    page.wait_for_url("**range=30d**")
    outline = page.evaluate(
        "() => { const link = document.querySelector('.d-ranges a'); link.focus();"
        " return document.activeElement === link; }"
    )
    assert outline


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("address", TABS)
def test_axe_finds_nothing_serious(
    page: Page, site: Site, axe: str, address: str, mode: str
) -> None:
    page.evaluate(f"localStorage.setItem('adminTheme', JSON.stringify('{mode}'))")
    page.goto(site.url + address)
    page.wait_for_load_state("networkidle")
    page.evaluate(axe)
    found = page.evaluate("axe.run('#dashboard')")["violations"]
    serious = [
        (one["id"], [node["html"][:160] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_script_that_clients_send_never_runs(page: Page, site: Site) -> None:
    live(page)
    site.send(model=SCRIPT, app=SCRIPT, tag=SCRIPT, session=SCRIPT)
    row = page.locator("[data-live-rows] tr", has_text="alert(1)")
    expect(row).to_be_visible()
    for address in ("/", "/cost/"):
        page.goto(site.url + address)
        page.wait_for_load_state("networkidle")
    page.goto(f"{site.url}/")
    page.locator("a.d-open").first.click()
    expect(page.locator(".d-facts").first).to_contain_text("alert(1)")


def test_the_proxys_port_has_no_websocket_and_no_page(site: Site) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "origin": site.proxy,
    }
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{site.proxy}/ws/live", headers=upgrade).status_code == 404
        assert client.get(f"{site.url}/ws/live", headers=upgrade).status_code == 403
        assert client.get(f"{site.url}/api/stats").status_code == 401
        evil = {**upgrade, "origin": "http://evil.example"}
        assert client.get(f"{site.url}/ws/live", headers=evil).status_code == 403
