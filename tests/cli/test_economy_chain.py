"""`clash economy watch|reconcile|authorise|signing|incidents`, `clash worker economy` over a chain that is served."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from clash_pipeline.cli.main import app
from clash_pipeline.clock import SystemClock
from clash_pipeline.replay.chain import CHAIN_ID, Chain
from clash_pipeline.replay.chain_server import environment, hosted_chain
from clash_pipeline.replay.chain_vault import ModelVault, vault
from clash_pipeline.replay.chain_views import ChainView
from tests.fakes.chained import ETH, RESOLVER
from tests.fakes.till import wallet

KEY = {"CLASH_PAYOUT_KEY": "0x" + RESOLVER.key.hex()}


class Shell:
    """Commands in a home of their own, with the settings of a served chain."""

    def __init__(self, home: Path, url: str) -> None:
        self.environment = {"CLASH_HOME": str(home), **environment(url, vault(CHAIN_ID, RESOLVER.address))}

    def run(self, *words: str, **more: str) -> Result:
        return CliRunner().invoke(app, list(words), env={**self.environment, **more})


@pytest.fixture
def chain() -> Chain:
    return Chain(ModelVault(), SystemClock())


@pytest.fixture
def shell(tmp_path: Path, migrated_home: Path, chain: Chain) -> Iterator[Shell]:
    for name in ("clash.db", "market.db"):
        (tmp_path / name).write_bytes((migrated_home / name).read_bytes())
    views = {name: ChainView(chain, name) for name in "ab"}
    with hosted_chain(views) as url:
        yield Shell(tmp_path, url)


def test_from_a_stray_deposit_to_its_refund(shell: Shell, chain: Chain) -> None:
    payer = wallet(5)
    chain.deposit(payer, RESOLVER.address, 77, ETH)
    chain.mine(5)
    assert "1 deposits" in shell.run("economy", "watch", "--once").stdout
    assert json.loads(shell.run("economy", "watch", "--once", "--json").stdout)["recorded"] == 0

    stopped = shell.run("economy", "signing", "--stop", "--reason", "a drill")
    assert "signing is stopped: a drill" in stopped.stdout
    paused = shell.run("economy", "authorise", "1", **KEY)
    assert (paused.exit_code, "a drill" in paused.stderr) == (4, True)
    assert shell.run("economy", "incidents").exit_code == 1
    assert "payouts are signed" in shell.run("economy", "signing", "--release", "--reason", "over").stdout

    made = json.loads(shell.run("economy", "authorise", "1", "--json", **KEY).stdout)
    assert (made["recipient"], made["amountWei"]) == (payer, str(ETH))
    assert shell.run("economy", "authorise", "1", "--json", **KEY).stdout == json.dumps(made, indent=2) + "\n"
    assert KEY["CLASH_PAYOUT_KEY"][2:] not in json.dumps(made)

    report = shell.run("economy", "reconcile", "--once", "--full", "--json")
    assert (report.exit_code, json.loads(report.stdout)["isClean"]) == (0, True)
    cycle = shell.run("worker", "economy", "--once")
    assert "full reconciliation" not in cycle.stdout, "it was done just now"
    assert cycle.exit_code == 0


def test_what_is_missing_or_wrong_is_one_line(shell: Shell, tmp_path: Path) -> None:
    for words, more, code, told in (
        (("economy", "watch", "--once"), {"CLASH_CHAIN_URLS": ""}, 3, "CLASH_CHAIN_URLS is empty"),
        (("economy", "authorise", "1"), {}, 3, "CLASH_PAYOUT_KEY"),
        (("economy", "authorise", "1"), {"CLASH_PAYOUT_KEY": "0x" + "11" * 32}, 3, "CLASH_PAYOUT_KEY signs for"),
        (("economy", "authorise", "99"), KEY, 2, "there is no payable 99"),
        (("economy", "signing", "--stop"), {}, 2, "--reason"),
        (("economy", "watch", "--once"), {"CLASH_CHAIN_ID": "1"}, 3, "CLASH_CHAIN_ID 1 is not allowed"),
        (("economy", "watch", "--once"), {"CLASH_CHAIN_CONTRACT": ""}, 3, "CLASH_CHAIN_CONTRACT is needed"),
        (("economy", "watch", "--once"), {"CLASH_CHAIN_URLS": "http://x.example"}, 3, "two endpoints or more"),
        (
            ("economy", "watch", "--once"),
            {"CLASH_CHAIN_URLS": "http://a.x.example,http://b.x.example", "CLASH_DEV_CHAIN": "", "CLASH_CHAIN_ID": ""},
            3,
            "names one operator twice",
        ),
        (("economy", "watch", "--once"), {"CLASH_PAYOUT_DAY_MOST_WEI": "1"}, 3, "CLASH_PAYOUT_DAY_MOST_WEI"),
        (("economy", "watch", "--once"), {"CLASH_CHAIN_RESOLVER": "0x12"}, 3, "CLASH_CHAIN_RESOLVER"),
        (("chain", "serve", "--resolver", "0x12"), {}, 2, "--resolver"),
    ):  # fmt: skip
        said = shell.run(*words, **more)
        assert (said.exit_code, told in said.stderr) == (code, True), (words, said.stderr)
        assert said.stderr.count("\n") == 1, said.stderr


def test_without_a_chain_the_worker_still_ends_quotes_and_compares(tmp_path: Path, migrated_home: Path) -> None:
    for name in ("clash.db", "market.db"):
        (tmp_path / name).write_bytes((migrated_home / name).read_bytes())
    said = CliRunner().invoke(app, ["worker", "economy", "--once"], env={"CLASH_HOME": str(tmp_path)})
    assert said.exit_code == 0
    assert "no chain is set (CLASH_CHAIN_URLS), 0 expired; full reconciliation without a chain: clean" in said.stdout


def test_an_endpoint_that_is_gone_is_unavailable(shell: Shell) -> None:
    gone = shell.environment["CLASH_CHAIN_URLS"].replace("/b", "/c")
    said = shell.run("economy", "watch", "--once", CLASH_CHAIN_URLS=gone)
    assert said.exit_code == 4
    assert "1 of 2 endpoints answer" in said.stdout
