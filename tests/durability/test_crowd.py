"""Eight processes, every key submitted twice: one effect a key, and the books equal a model of plain integers (L5)."""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.prop import accounts
from clash_pipeline.prop.audit import audit
from clash_pipeline.units import USD
from tests.fakes import acts
from tests.fakes.crowd import open_accounts
from tests.fakes.forking import ROOT

Answers = list[dict[str, Any]]


@dataclass
class Held:
    """One position of the model: signed size and exact cost, in the units of the fills."""

    size: int = 0
    cost: int = 0


def units(text: str, factor: int) -> int:
    return int(Decimal(text) * factor)


def model_of(fills: Answers) -> tuple[int, dict[str, int]]:
    """Balance and sizes that these fills make of 100,000 USD, in the order they were made."""
    balance, held = 100_000 * USD, defaultdict[str, Held](Held)
    for fill in fills:
        position, size, notional = held[fill["symbol"]], units(fill["size"], 1_000), units(fill["notional"], USD)
        signed = size if fill["side"] == "buy" else -size
        balance -= units(fill["fee"], USD)
        if position.size * signed >= 0:
            position.size, position.cost = position.size + signed, position.cost + notional
            continue
        whole = abs(position.size)
        released = position.cost * size // whole if position.size > 0 else -(-position.cost * size // whole)
        balance += (notional - released) * (1 if position.size > 0 else -1)
        position.size, position.cost = position.size + signed, position.cost - released
    return balance, {symbol: position.size for symbol, position in held.items() if position.size}


def crowd(
    home: Path, *, keys: int, processes: int = 8, seed: int = 1, forgetful: bool = False
) -> tuple[list[int], Answers]:
    """The accounts and every answer that was given."""
    acts.build(home)
    opened = open_accounts(home, 4)
    order = {
        "home": str(home), "keys": keys, "processes": processes, "seed": seed, "accounts": opened,
        "forgetful": int(forgetful),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.crowd"], cwd=ROOT, input=json.dumps(order), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    answers: Answers = json.loads(done.stdout)
    return opened, answers


def check(home: Path, keys: int, opened: list[int], answers: Answers) -> None:
    """One effect a key, the same answer to both, and books that equal the model's."""
    assert Counter(answer["key"] for answer in answers) == dict.fromkeys(range(1, keys + 1), 2)
    assert Counter(answer["key"] for answer in answers if not answer["repeat"]) == dict.fromkeys(range(1, keys + 1), 1)
    by_key = defaultdict[int, Answers](list)
    for answer in answers:
        by_key[answer["key"]].append({**answer, "repeat": None})
    assert all(first == second for first, second in by_key.values())
    with acts.stage_of(home) as stage:
        assert audit(stage.clash).is_clean
        for account_id in opened:
            with stage.clash.read() as connection:
                account, held = accounts.get(connection, account_id), accounts.positions(connection, account_id)
                symbols = {
                    row["id"]: row["symbol"]
                    for row in connection.execute(
                        "SELECT id, symbol FROM prop_fills WHERE account_id = ?", (account_id,)
                    )
                }
            mine = [answer for answer in answers if answer["account"] == account_id and not answer["repeat"]]
            fills = sorted((fill for answer in mine for fill in answer["fills"]), key=lambda fill: fill["fill_id"])
            assert sorted(symbols) == [fill["fill_id"] for fill in fills]
            balance, sizes = model_of([{**fill, "symbol": symbols[fill["fill_id"]]} for fill in fills])
            assert account.balance == balance
            assert {symbol: position.size for symbol, position in held.items() if position.size} == sizes


def test_four_thousand_submissions_by_eight_processes(tmp_path: Path) -> None:
    opened, answers = crowd(tmp_path / "home", keys=2_000)
    check(tmp_path / "home", 2_000, opened, answers)
    assert sum(answer["status"] == "filled" for answer in answers) > 2_000


@pytest.mark.soak
def test_eighty_thousand_submissions(tmp_path: Path) -> None:
    opened, answers = crowd(tmp_path / "home", keys=40_000, seed=2)
    check(tmp_path / "home", 40_000, opened, answers)


def test_control_callers_who_forget_the_key_do_it_twice(tmp_path: Path) -> None:
    opened, answers = crowd(tmp_path / "home", keys=40, processes=4, forgetful=True)
    with pytest.raises(AssertionError):
        check(tmp_path / "home", 40, opened, answers)
