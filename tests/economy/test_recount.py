"""M9: the public report of a settlement, computed again by a script that stands alone and shares no code."""

import copy
import json
import random
import runpy
import subprocess
import sys
from typing import Any

import pytest

from clash_pipeline.economy import settling
from clash_pipeline.economy.settlement import CREATOR_BP, RAKE_BP, RULE_SET, WEIGHTS, WHOLE_BP, places_of
from tests.fakes.forking import ROOT
from tests.fakes.till import RACE, Till

SCRIPT = ROOT / "doc" / "examples" / "recount_settlement.py"
OURS = runpy.run_path(str(SCRIPT))


def inputs_of(chance: random.Random, race_id: int) -> dict[str, Any]:
    """A race as it could have been frozen: any field, ties of holders and creators, absent and cancelled ones."""
    starters, people = chance.randint(0, 20), [f"user:{number}" for number in range(1, chance.randint(2, 12))]
    places = places_of(starters)
    return {
        "raceId": race_id,
        "ruleSet": RULE_SET,
        "priceWei": str(chance.choice([1, 3, 19, 10**16, chance.randint(1, 10**19)])),
        "isCancelled": chance.random() < 0.05,
        "shares": {"rakeBp": RAKE_BP, "creatorBp": CREATOR_BP, "wholeBp": WHOLE_BP},
        "places": places,
        "weights": list(WEIGHTS[:places]),
        "starters": [
            {"cloneId": number, "creator": chance.choice([*people, settling.HOUSE]), "rank": number}
            for number in range(1, starters + 1)
        ],
        "tickets": [
            {
                "ticketNo": number,
                "cloneId": chance.randint(1, max(1, starters + chance.randint(-17, 1))),
                "holder": chance.choice(people),
                "purchaseId": number,
            }
            for number in range(1, chance.choice([0, 1, 2, 5, 40]) + 1)
        ],
    }


def differences(races: int, seed: int) -> list[int]:
    """The races whose report the script does not agree with."""
    chance = random.Random(seed)
    made = (inputs_of(chance, race_id) for race_id in range(races))
    return [inputs["raceId"] for inputs in made if OURS["stated"](settling.amounts(inputs)) != OURS["recount"](inputs)]


def test_a_thousand_races_come_out_alike() -> None:
    assert differences(1_000, seed=1) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_thousand_races_come_out_alike(seed: int) -> None:
    assert differences(10_000, seed) == []


def test_the_script_shares_nothing_and_is_short() -> None:
    text = SCRIPT.read_text("utf-8")
    assert "clash_pipeline" not in text
    assert len(text.splitlines()) <= 60


def report(till: Till) -> dict[str, Any]:
    user = till.person(1)
    field = till.race([user, till.person(2), None, till.person(3), None])
    for clone, count in zip(field, (3, 2, 0, 0, 5), strict=True):
        if count:
            till.bet(user, clone, count)
    made = settling.report(till.settle(field))
    return json.loads(json.dumps(made))


def run(report: dict[str, Any]) -> int:
    return subprocess.run(
        [sys.executable, str(SCRIPT)], input=json.dumps(report), text=True, capture_output=True
    ).returncode


def test_a_stored_report_is_recounted_on_the_command_line(till: Till) -> None:
    made = report(till)
    assert made["raceId"] == RACE
    assert run(made) == 0
    with till.clash.read() as connection:
        again = settling.settlement_of(connection, RACE)
    assert again is not None
    assert json.loads(json.dumps(settling.report(again))) == made


@pytest.mark.parametrize("path", [("poolWei",), ("rakeWei",), ("payouts", 0, "wei"), ("royalties", 0, "wei")])
def test_control_one_wei_more_is_found(till: Till, path: tuple[Any, ...]) -> None:
    wrong = copy.deepcopy(report(till))
    *way, last = path
    place: Any = wrong
    for step in way:
        place = place[step]
    place[last] = str(int(place[last]) + 1)
    assert OURS["stated"](wrong) != OURS["recount"](wrong["inputs"])
