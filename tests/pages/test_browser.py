"""Pages in a real Chromium: nothing wrong on the console or for axe, light and dark, wide and narrow; clicks work."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from clash_pipeline.storage import heartbeats
from tests.fakes.api_client import T0
from tests.fakes.api_server import served
from tests.fakes.browsers import chromium
from tests.fakes.showroom import Showroom
from tests.fakes.wallet import Wallet
from tests.pages.conftest import copy_of

pytestmark = pytest.mark.browser

PAGES = {
    "/": 0, "/leaderboard": 0, "/sign-in": 0, "/admin/login": 0, "/admin/ingestion": 3, "/admin/moderation": 0,
    "/admin/accounts": 0, "/admin/accounts/1": 1, "/admin/decisions": 0, "/admin/decisions/1": 0,
    "/clones/1?span=6h": 2,
}  # fmt: skip
"""Every page, and how many charts it draws."""
LOOKS: tuple[tuple[str, int], ...] = (("light", 1_200), ("dark", 390))


@dataclass
class Visit:
    """A browser at a served showroom."""

    room: Showroom
    url: str
    browser: Browser
    token: str
    troubles: list[str] = field(default_factory=list)

    def page(self, *, signed_in: bool = True, **look: Any) -> Page:
        """A new window, with its console listened to."""
        context: BrowserContext = self.browser.new_context(base_url=self.url, **look)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", lambda said: self.troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("requestfailed", self._failed)
        if signed_in:
            page.goto("/admin/login")
            page.get_by_label("Service token").fill(self.token)
            page.get_by_label("Service token").press("Enter")
            page.wait_for_url("**/admin/ingestion")
        return page

    def _failed(self, request: Request) -> None:
        """One that the browser gave up itself, because the page was left, is no trouble."""
        if request.failure != "net::ERR_ABORTED":
            self.troubles.append(f"{request.url}: {request.failure}")


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory, filled: Showroom) -> Iterator[Visit]:
    """The room first: what builds it may not run where Playwright has its loop."""
    room = copy_of(filled, tmp_path_factory.mktemp("visited"))
    with served(room.api) as (host, port), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield Visit(room, f"http://{host}:{port}", browser, room.token())
        browser.close()


@pytest.fixture(autouse=True)
def quiet(visit: Visit) -> Iterator[None]:
    """Nothing may be said on the console by the end of a test."""
    visit.troubles.clear()
    yield
    for context in visit.browser.contexts:
        context.close()
    assert visit.troubles == []


def violations(page: Page) -> list[str]:
    """What axe finds, each with where."""
    found = Axe().run(page).response["violations"]
    return [f"{item['id']}: {node['html'][:200]}" for item in found for node in item["nodes"]]


@pytest.mark.parametrize(("scheme", "width"), LOOKS, ids=["light, wide", "dark, narrow"])
def test_everybody_can_use_every_page(visit: Visit, scheme: Any, width: int) -> None:
    page = visit.page(color_scheme=scheme, viewport={"width": width, "height": 900})
    for path, charts in PAGES.items():
        page.goto(path)
        expect(page.locator("h1")).to_have_count(1)
        if charts:
            expect(page.locator("html")).to_have_attribute("data-drawn", str(charts))
        for disclosure in page.locator("main details").all()[:3]:
            disclosure.evaluate("item => { item.open = true }")
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_control_axe_sees_what_is_broken(visit: Visit) -> None:
    page = visit.page(signed_in=False)
    page.goto("/sign-in")
    page.evaluate("document.querySelectorAll('label').forEach(label => label.remove())")
    page.evaluate("document.querySelector('main p:not([hidden])').style.color = '#eee'")
    found = {item.partition(":")[0] for item in violations(page)}
    assert {"color-contrast", "select-name"} <= found


def test_the_keyboard_alone_reaches_the_content(visit: Visit) -> None:
    page = visit.page(signed_in=False)
    page.goto("/leaderboard")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_profile_is_rejected_with_a_reason_and_a_report_dismissed(visit: Visit) -> None:
    page = visit.page()
    page.get_by_role("link", name="Moderation").click()
    reject = page.get_by_role("button", name="Reject Bea")
    reject.click()  # the browser itself asks for the reason
    expect(page).to_have_url(f"{visit.url}/admin/moderation")
    page.get_by_role("article", name="Bea").get_by_label("Reason").fill("Looks like markup")
    reject.click()
    expect(page.get_by_role("status")).to_have_text("The profile was rejected.")
    expect(page.get_by_text("The queue is empty.")).to_be_visible()
    page.get_by_role("article", name="Report 1").get_by_label("Reason").fill("Nothing to it")
    page.get_by_role("button", name="Dismiss report 1").click()
    expect(page.get_by_role("status")).to_have_text("The report was dismissed.")


def test_an_account_is_paused_and_all_are_halted(visit: Visit) -> None:
    page = visit.page()
    page.get_by_role("link", name="Accounts").click()
    page.get_by_role("link", name="Account 2").click()
    page.get_by_label("Reason").fill("Look closer")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("The account is paused")
    page.get_by_label("Reason").fill("It is fine")
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("link", name="Accounts", exact=True).click()
    page.get_by_label("Reason").fill("Drill")
    page.get_by_role("button", name="Halt all accounts").click()
    expect(page.get_by_role("heading", name="Kill switch of all accounts: thrown")).to_be_visible()
    page.get_by_label("Reason").fill("Over")
    page.get_by_role("button", name="Release all accounts").click()
    expect(page.get_by_role("heading", name="Kill switch of all accounts: not thrown")).to_be_visible()
    page.get_by_role("button", name="Sign out desk").click()
    expect(page.get_by_role("link", name="Accounts")).to_have_count(0)


def test_a_wallet_signs_in_with_two_clicks_and_sees_its_clone(visit: Visit) -> None:
    page = visit.page(signed_in=False)
    _put_in(page, visit.room.owner)
    page.goto("/sign-in")
    page.get_by_role("button", name="Use the wallet of this browser").click()
    page.get_by_role("button", name="Sign with the wallet of this browser").click()
    page.wait_for_url("**/clones")
    assert violations(page) == []
    page.get_by_role("link", name="My first").click()
    page.get_by_label("Asset").select_option("BTC")
    page.get_by_label("Span").select_option("6h")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="BTC and trades")).to_be_visible()
    page.get_by_role("link", name="BTC at").first.click()
    expect(page.get_by_role("heading", name="1. What it read")).to_be_visible()
    assert violations(page) == []


def test_a_wallet_that_refuses_is_quoted(visit: Visit) -> None:
    page = visit.page(signed_in=False)
    page.add_init_script("window.ethereum = { request: () => Promise.reject(new Error('not today')) }")
    page.goto("/sign-in")
    page.get_by_role("button", name="Use the wallet of this browser").click()
    expect(page.get_by_role("alert")).to_have_text("The wallet said: not today")


def _put_in(page: Page, wallet: Wallet) -> None:
    """Give the browser a wallet, as an extension would."""

    def request(asked: dict[str, Any]) -> Any:
        if asked["method"] == "eth_requestAccounts":
            return [wallet.address]
        if asked["method"] == "eth_chainId":
            return "0x10e6"
        assert asked["method"] == "personal_sign", asked
        return wallet.sign(bytes.fromhex(asked["params"][0][2:]).decode())

    page.expose_function("walletRequest", request)
    page.add_init_script("window.ethereum = { request: (asked) => window.walletRequest(asked) }")


def test_a_chart_answers_pointer_and_keyboard(visit: Visit) -> None:
    page = visit.page(viewport={"width": 1_000, "height": 900})
    page.goto("/clones/1?symbol=BTC&span=6h")
    plot = page.locator("#trades .plot")
    plot.hover()
    legend = page.locator("#trades .legend")
    expect(legend).to_contain_text("open")
    before = plot.screenshot()
    plot.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => new Promise(requestAnimationFrame)")
    assert plot.screenshot() != before
    page.emulate_media(color_scheme="dark")
    expect(legend).to_have_count(1)  # drawn again, once
    expect(page.locator("html")).to_have_attribute("data-drawn", "2")


def test_ingestion_keeps_itself_up_to_date(visit: Visit) -> None:
    page = visit.page()
    button = page.get_by_role("button", name="Keep up to date")
    heartbeats.beat(
        visit.room.services.clash, "newcomer", instance="one", now_ms=T0, expected_interval_sec=10, version="0.1.0"
    )
    expect(page.get_by_role("rowheader", name="newcomer")).to_have_count(0)
    button.click()
    expect(page.get_by_role("rowheader", name="newcomer")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-drawn", "3")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")


def test_without_scripts_everything_is_there_but_the_pictures(visit: Visit) -> None:
    page = visit.page(java_script_enabled=False)
    page.goto("/admin/accounts/2")
    page.locator("#equity summary").click()
    expect(page.get_by_role("table", name="Equity")).to_be_visible()
    page.locator("#act-reason").fill("Drill")
    page.get_by_role("button", name="Halt").click()
    expect(page.get_by_role("status")).to_contain_text("kill switch is thrown")
    page.locator("#act-reason").fill("Over")
    page.get_by_role("button", name="Release").click()
    expect(page.get_by_role("status")).to_contain_text("taken back")
