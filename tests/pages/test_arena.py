"""The pages of the Arena: what they show of a live race and of a settled one, and what an operator does there."""

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect, sync_playwright

from clash_pipeline.settings import Settings
from tests.fakes.api_server import served
from tests.fakes.browsers import chromium
from tests.fakes.person import Person
from tests.fakes.stocked_arena import LIVE, ON_SALE, SETTLED, StockedArena


@pytest.fixture(scope="module")
def house(arena_copy: Callable[[], Settings]) -> StockedArena:
    """A race of each kind."""
    return StockedArena(arena_copy())


@pytest.fixture(scope="module")
def anybody(house: StockedArena) -> Person:
    return Person(house.api.app)


def text_of(person: Person, path: str) -> str:
    answer = person.look(path)
    assert answer.status_code == 200, answer.text[:500]
    return str(answer.text)


def test_a_live_race_shows_ranks_and_equity_and_no_position(anybody: Person) -> None:
    text = text_of(anybody, f"/races/{LIVE}")
    assert "Fills and positions follow after the settlement." in text
    assert "+0.13 %" in text
    assert "Settlement</h2>" not in text
    assert "short" not in text


def test_a_settled_race_adds_up_to_the_wei(anybody: Person) -> None:
    text = text_of(anybody, f"/races/{SETTLED}")
    for amount in (
        "50,000,000,000,000,000",
        "10,714,285,714,285,714",
        "6,428,571,428,571,428",
        "2,500,000,000,000,002",
    ):
        assert amount in text
    assert "Rae finished first" in text
    assert "Rae: 2 trades" in text
    assert "Eda: no trade" in text
    assert ">open_long</td>" in text


def test_the_arena_says_what_is_live_and_what_a_ticket_would_pay(anybody: Person) -> None:
    text = text_of(anybody, "/arena")
    assert f'<a href="/races/{LIVE}">Race {LIVE}</a>' in text
    assert f'<a href="/races/{ON_SALE}">Race {ON_SALE}</a> is on sale' in text
    assert "0.011429" in text
    assert anybody.look("/races/99").status_code == 404


def test_the_lifecycle_is_for_operators_of_the_arena(house: StockedArena, anybody: Person) -> None:
    assert anybody.look("/admin/arena").status_code == 404  # absent without any token
    token, other = house.service("accounts", "ingestion")["x-service-token"], Person(house.api.app)
    assert anybody.look("/admin/arena").status_code == 303  # to where one signs in
    other.sign_in_as_operator(token)
    assert other.look("/admin/arena").status_code == 403


def scheme_scope(scheme: str) -> str:
    """A further scope, so that each look has a token of its own."""
    return {"light": "economy", "dark": "health"}[scheme]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield made
        made.close()


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1_200), ("dark", 390)], ids=["light, wide", "dark, narrow"])
def test_everybody_can_use_them_and_an_operator_retires_a_clone(
    house: StockedArena, browser: Browser, scheme: str, width: int
) -> None:
    troubles: list[str] = []
    clone_id = house.house[3 if scheme == "light" else 2]
    with served(house.api) as (host, port):
        context = browser.new_context(
            base_url=f"http://{host}:{port}",
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
        )
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.goto("/admin/login")
        page.get_by_label("Service token").fill(
            house.service("arena", "ingestion", scheme_scope(scheme))["x-service-token"]
        )
        page.get_by_label("Service token").press("Enter")
        page.wait_for_url("**/admin/ingestion")
        for path, charts in (("/arena", 1), (f"/races/{SETTLED}", 1), ("/hall-of-fame", 0), ("/admin/arena", 0)):
            page.goto(path)
            if charts:
                expect(page.locator("html")).to_have_attribute("data-drawn", str(charts))
            found = Axe().run(page).response["violations"]
            assert [item["id"] for item in found] == [], path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.get_by_label("Clone, by its number").fill(str(clone_id))
        page.get_by_label("Reason").fill("Nobody backs it")
        page.get_by_role("button", name="Retire").click()
        expect(page.get_by_role("status")).to_contain_text("will be once its race or audition is over")
        page.get_by_role("link", name="Arena", exact=True).click()
        page.get_by_role("link", name=f"Race {LIVE}").first.click()
        expect(page.get_by_role("heading", name=f"Race {LIVE}")).to_be_visible()
        context.close()
    assert troubles == []
