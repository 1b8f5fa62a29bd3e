"""`clash economy …` and `clash settlement show` as a person meets them: readers only, exit codes, JSON that adds up."""

import json
import runpy
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clash_pipeline.cli.main import app
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.settings import Settings
from tests.fakes.till import RACE, Till, wallet

RECOUNT = Path(__file__).resolve().parents[2] / "doc" / "examples" / "recount_settlement.py"


@pytest.fixture
def till(clash, settings: Settings) -> Till:
    """A race that was bet on, an audition, a deposit that is short."""
    till = Till(clash)
    with clash.together():
        users = [till.person(number) for number in range(1, 4)]
        clone = till.clone("Ada", users[0])
        till.pay(Wanted(users[0], "audition", clone))
        short = till.quote(Wanted(users[0], "upgrade", clone, model_tier=2))
        till.record(till.deposit(short, amount_wei=5))
        till.quote(Wanted(users[0], "upgrade", clone, model_tier=3))
        field = till.race([*users, None, None])
        till.bet(users[2], field[0], 3)
        till.bet(users[2], field[1], 2)
        till.bet(users[2], field[4], 5)
    till.settle(field)
    return till


def run(till: Till, *words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"CLASH_HOME": str(till.clash.path.parent)})


def test_readers_answer_in_words_and_in_json(till: Till) -> None:
    quotes = json.loads(run(till, "economy", "quotes", "--json").stdout)
    assert [item["state"] for item in quotes["quotes"]] == ["quoted"]
    assert quotes["ticket_wei"] == "10000000000000000"
    assert len(quotes["fees"]) == 9
    due = json.loads(run(till, "economy", "purchases", "--state", "refund_due", "--json").stdout)
    assert [(item["id"], item["reason"], item["amount_wei"]) for item in due] == [
        (2, "amount_mismatch", "10000000000000000")
    ]
    owed = json.loads(run(till, "economy", "payables", "--race-id", str(RACE), "--json").stdout)
    assert {item["kind"] for item in owed} == {"payout", "royalty"}
    ledger = json.loads(run(till, "economy", "ledger", "--last", "1", "--json").stdout)
    assert {line["kind"] for line in ledger["lines"]} == {"settlement"}
    for words in (("quotes",), ("purchases",), ("payables",), ("ledger",), ("purchase", "2")):
        said = run(till, "economy", *words)
        assert said.exit_code == 0, said.output


def test_one_purchase_tells_its_whole_story(till: Till) -> None:
    told = json.loads(run(till, "economy", "purchase", "2", "--json").stdout)
    assert [move["to_state"] for move in told["moves"]] == ["quoted", "pending", "refund_due"]
    assert told["deposit"]["amount_wei"] == "5"
    assert (told["held_wei"], len(told["groups"])) == ("0", 2)
    said = run(till, "economy", "purchase", "99")
    assert (said.exit_code, said.output) == (2, "clash: there is no purchase 99\n")


def test_the_audit_is_exit_0_and_exit_1_with_the_row(till: Till) -> None:
    said = run(till, "economy", "audit")
    assert (said.exit_code, said.stdout.startswith("clean: 6 purchases, 5 deposits, ")) == (0, True)
    with till.clash.write() as connection:
        connection.execute("DROP TRIGGER tickets_append_only")
        connection.execute("UPDATE tickets SET wallet = ? WHERE id = 1", (wallet(9),))
    for words in (("economy", "audit"), ("audit",)):
        said = run(till, *words)
        assert said.exit_code == 1
        assert "tickets(1)" in said.stdout


def test_a_settlement_can_be_added_up_again_by_hand_and_by_script(till: Till) -> None:
    said = run(till, "settlement", "show", str(RACE)).stdout
    for line in (
        "pool = 10 tickets on starters x 10000000000000000 = 100000000000000000 wei",
        "sum of weights = 50 x 3 + 30 x 2 = 210",
        "share x 50 / 210 = 21428571428571428",
        "dust = what rounding left = 2; rake with dust = 5000000000000002",
        "= 100000000000000000 wei; paid in 100000000000000000 wei",
    ):
        assert line in said
    report = json.loads(run(till, "settlement", "show", str(RACE), "--json").stdout)
    script = runpy.run_path(str(RECOUNT))
    assert script["stated"](report) == script["recount"](report["inputs"])
    missing = run(till, "settlement", "show", "99")
    assert (missing.exit_code, missing.output) == (2, "clash: race 99 is not settled\n")


def test_nothing_here_buys_or_pays(till: Till) -> None:
    """Every command of the family reads; the file is the same afterwards."""
    before = _dump(till)
    for words in (("quotes",), ("purchases",), ("payables",), ("ledger",), ("purchase", "1"), ("audit",)):
        run(till, "economy", *words)
    assert _dump(till) == before


def _dump(till: Till) -> list[tuple[object, ...]]:
    with till.clash.read() as connection:
        names = ("purchases", "payables", "wei_ledger_lines", "tickets", "clone_entitlements", "audition_credits")
        return [tuple(row) for name in names for row in connection.execute(f"SELECT * FROM {name}")]
