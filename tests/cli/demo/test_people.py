"""The demo's people: what they do over HTTP and on the chain is what anybody may do, with what they are told there."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import typer
from pydantic import AnyHttpUrl, SecretStr

from clash_pipeline.cli.demo import people
from clash_pipeline.cli.demo.people import Person
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SettableClock
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.economy.minding import mind
from clash_pipeline.replay.chain import CHAIN_ID, Chain
from clash_pipeline.replay.chain_server import environment, hosted_chain, views_of
from clash_pipeline.replay.chain_vault import ModelVault, vault
from clash_pipeline.settings import Settings, load
from tests.fakes.api_client import T0
from tests.fakes.api_server import served
from tests.fakes.chained import RESOLVER
from tests.fakes.stocked_api import StockedApi

GRAPH = simple_graph(("BTC",)).wire()


@dataclass
class Town:
    """A served system with a chain beside it, and the settings of those who use it."""

    house: StockedApi
    chain: Chain
    settings: Settings

    def settle(self) -> None:
        """Blocks come, and the watcher looks until they are final."""
        for _ in range(4):
            self.pass_by(5 * MINUTE_MS)
            with self.house.services.chain() as parts:
                mind(self.house.services.clash, self.house.services.settings, parts, self.house.clock.now_ms())

    def pass_by(self, milliseconds: int) -> None:
        """Time passes everywhere."""
        self.house.clock.advance(milliseconds)


@pytest.fixture
def town(settings: Settings) -> Iterator[Town]:
    with ExitStack() as opened:
        chain = Chain(ModelVault(), SettableClock(T0))
        url = opened.enter_context(hosted_chain(views_of(chain)))
        pinned = environment(url, vault(CHAIN_ID, RESOLVER.address))
        asked = load({"CLASH_HOME": str(settings.home), **pinned})
        house = StockedApi(asked.model_copy(update={"payout_key": SecretStr(f"0x{RESOLVER.key.hex()}")}))
        opened.callback(house.services.close)
        opened.callback(people.disconnect)
        chain.clock = house.clock
        host, port = opened.enter_context(served(house.api))
        address = AnyHttpUrl(f"http://{host}:{port}")
        yield Town(house, chain, house.services.settings.model_copy(update={"api_url": address}))


@pytest.fixture
def ada(town: Town) -> Person:
    return people.sign_in(town.settings, "Ada")


def test_a_person_makes_a_clone_and_pays_for_its_audition(town: Town, ada: Person) -> None:
    clone_id, face = people.create(ada, "Riptide", "rules", GRAPH, "Made by Ada.")
    bought = people.buy_audition(ada, clone_id)
    town.settle()
    assert ada.get(f"purchases/{bought['id']}")["state"] == "granted"
    clone = ada.get(f"clones/{clone_id}")
    assert (clone["version"], clone["isTrading"]) == (1, True)
    assert ada.get(f"clones/{clone_id}/profile")["waiting"]["id"] == face


def test_a_person_takes_a_refund_with_nothing_but_what_the_api_says(town: Town, ada: Person) -> None:
    clone_id, _ = people.create(ada, "Riptide", "rules", GRAPH, "Made by Ada.")
    quoted = ada.post(f"clones/{clone_id}/quotes", {"purpose": "audition"})
    town.pass_by(3 * HOUR_MS)
    town.settle()
    people.pay(ada, quoted)
    town.settle()
    wei = int(quoted["payment"]["amountWei"])
    assert people.claim(ada, None) == [wei]
    town.settle()
    assert [one["state"] for one in ada.get("payables")["items"]] == ["claimed"]
    assert town.chain.head.state.paid == {ada.wallet.address: wei}


def test_a_refusal_ends_the_demo_with_what_the_api_says(ada: Person, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        people.buy_audition(ada, 1)
    assert "the API refused POST clones/1/quotes" in capsys.readouterr().err
