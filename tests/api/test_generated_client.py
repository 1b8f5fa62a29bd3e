"""A client that a public generator made of the OpenAPI file goes the creator's way against the running server."""

import importlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from clientele.api.exceptions import APIException

from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.decisions import waves
from clash_pipeline.settings import Settings
from tests.api.test_openapi import FILE
from tests.fakes.api_server import served
from tests.fakes.stocked_api import StockedApi
from tests.fakes.wallet import Wallet

keys = (f"journey-{number:012}" for number in itertools.count())


LEGACY = ("maxAssetsPerRun", "traderType", "analysisTimeframe", "marketMomentumSensitivity")


def graph(*symbols: str) -> dict[str, Any]:
    """A whole graph; the generated models ask for every setting of a prompt, the legacy ones too."""
    made = simple_graph(symbols, prompt="Follow the trend.").wire()
    policy = {"maxCandidates": 10, "minVolume24hUsd": 0, "maxDataAgeSec": 300}
    made["nodes"][2]["config"] |= {"candidatePolicy": policy, **dict.fromkeys(LEGACY)}
    return made


class Client:
    """The generated module, with the headers that a request needs: whose it is, and how it can be repeated."""

    def __init__(self, module: ModuleType, base_url: str) -> None:
        self._module = module
        self._base_url = base_url
        self._token = ""
        self._headers: dict[str, str] = {}

    def signed_in(self, token: str) -> None:
        """Send this access token from now on."""
        self._token = token

    def call(self, operation: str, body: dict[str, Any] | None = None, *, headers: Any = None, **more: Any) -> Any:
        """One operation, by the name the generator gave it."""
        config = importlib.import_module(f"{self._module.__package__}.config")
        sent = {"authorization": f"Bearer {self._token}"} if self._token else {}
        self._module.client.configure(
            config=config.Config(base_url=self._base_url, headers=sent | (headers or {}), timeout=30)
        )
        try:
            function = getattr(self._module, operation)
            return function(**more) if body is None else function(data=body, **more)
        finally:
            self._module.client.close()

    def creating(self, operation: str, body: dict[str, Any] | None = None, **more: Any) -> Any:
        """An operation that creates, under a key of its own."""
        return self.call(operation, body, headers={"idempotency-key": next(keys)}, **more)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The client, generated from the file and imported."""
    folder = tmp_path_factory.mktemp("generated")
    generator = Path(sys.executable).with_name("clientele")
    made = subprocess.run(
        [generator, "start-api", "--file", FILE, "--output", "clash_client/"], cwd=folder, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("clash_client.client")
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "clash_client"]:
            del sys.modules[name]


@pytest.fixture
def house(stocked: Settings) -> StockedApi:
    """The system behind the server."""
    return StockedApi(stocked)


@pytest.fixture
def client(generated: ModuleType, house: StockedApi) -> Iterator[Client]:
    """The client of a server that runs."""
    with served(house.api) as (host, port):
        yield Client(generated, f"http://{host}:{port}")


def test_it_knows_every_operation(generated: ModuleType) -> None:
    from tests.api.test_openapi import operations

    made = {name.replace("_", "").lower() for name in vars(generated)}
    assert [name for name, _ in operations() if name.lower() not in made] == []


def test_the_creators_journey(client: Client, house: StockedApi) -> None:
    """Sign in, read assets, save a graph, see its problems, fix it, publish, dry-run, trade, read decisions."""
    wallet = Wallet(9)
    asked = client.call("challenge", {"address": wallet.address, "chainId": 4326})
    session = client.call("verify", {"message": asked.message, "signature": wallet.sign(asked.message)})
    client.signed_in(session.access_token)
    assert client.call("me").user_id == session.user_id

    assets = {asset.symbol for asset in client.call("list_assets", kind="perp").items}
    assert assets == {"BTC", "ETH"}

    clone = client.creating("create_clone", {"name": "Contrarian", "engine": "rules"})
    assert (clone.product_state, clone.has_draft) == ("setup_required", False)

    wrong = graph("BTC", "NOPE")
    with pytest.raises(APIException) as refused:
        client.call("save_draft", wrong, clone_id=clone.id, headers={"if-match": '"none"'})
    problem = refused.value.response.json()
    assert (problem["status"], problem["code"]) == (422, "graph_invalid")
    (found,) = problem["problems"]
    assert (found["code"], found["pointer"]) == ("symbol_unknown", "/nodes/1/config/explicitlyEnabledSymbols/1")

    draft = client.call("save_draft", graph("BTC", "ETH"), clone_id=clone.id, headers={"if-match": '"none"'})
    assert (draft.problems, draft.can_publish) == ([], True)
    reads = client.call("latest_of_draft", clone_id=clone.id).reads
    assert {read.symbol for read in reads} == assets

    dry = client.creating("dry_run_draft", {}, clone_id=clone.id)
    assert {(run.symbol, run.effective) for run in dry.runs} == {("BTC", "open_long"), ("ETH", "open_long")}

    assert client.creating("publish_draft", clone_id=clone.id).number == 1
    account = client.creating("open_sandbox", clone_id=clone.id)
    assert client.call("change_clone", {"isTrading": True}, clone_id=clone.id).is_trading
    waves.run_once(house.services, clone_id=clone.id, force=True)

    decisions = client.call("list_decisions", clone_id=clone.id).items
    assert [(run.symbol, run.state, run.reason) for run in decisions] == [
        ("ETH", "completed", "filled"),
        ("BTC", "completed", "filled"),
    ]
    decision = client.call("get_decision", clone_id=clone.id, run_id=decisions[-1].id)
    assert decision.answer.action == "open_long"
    assert decision.answer.rationale
    assert decision.actions[0].fills[0].side == "buy"
    fills = client.call("list_fills", account_id=account.id).items
    assert [fill.run_id for fill in fills] == [run.id for run in decisions]
    assert client.call("get_account", account_id=account.id).equity_usd.startswith("999")
