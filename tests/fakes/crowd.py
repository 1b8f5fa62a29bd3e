"""Many processes that submit to the same accounts, each key by two of them (L5).

`python -m tests.fakes.crowd` reads one JSON order (home, processes, keys, accounts, seed, forgetful) and prints, as
JSON, every answer that any process was given: key, account, whether it was a repeat, and the fills. It opens no
database itself.
"""

import json
import logging
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import structlog

from clash_pipeline.prop import accounts, intake, policy
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.storage.errors import StorageBusy
from clash_pipeline.units import USD
from tests.fakes import acts
from tests.fakes.steady_venue import SteadyVenue

FIRST_PARENT = 1_000
PRICES = ("99", "100", "101.5", "97.25")


def open_accounts(home: Path, many: int) -> list[int]:
    """Accounts that may trade as often as they like."""
    with acts.stage_of(home) as stage, stage.clash.write() as connection:
        terms = msgspec.structs.replace(policy.sandbox(stage.settings), max_orders_per_hour=10**9, max_position_pct=300)
        return [
            accounts.open_account(
                connection, acts.CLONE["ended"], "race", terms, start_balance=100_000 * USD, now_ms=acts.START,
                actor="test", parent_id=FIRST_PARENT + number,
            )
            for number in range(many)
        ]  # fmt: skip


def asked(key: int) -> tuple[Proposal, SteadyVenue]:
    """What a key stands for, whoever submits it."""
    chance = random.Random(key)
    action = chance.choice(("open_long", "open_short", "close", "reduce", "open_long"))
    return Proposal(chance.choice(("BTC", "ETH")), action, "1", 1), SteadyVenue(chance.choice(PRICES))


def submitted(order: dict[str, Any], keys: list[int], process: int) -> Iterator[dict[str, Any]]:
    """The answers of one process."""
    with acts.stage_of(Path(order["home"])) as stage:
        for key in keys:
            account_id = order["accounts"][key % len(order["accounts"])]
            proposal, venue = asked(key)
            run_id = key + 10**6 * process * order["forgetful"]
            while True:
                try:
                    (answer,) = intake.submit(stage.clash, account_id, run_id, [proposal], venue, now_ms=acts.START)
                    break
                except StorageBusy:
                    continue
            fills = [msgspec.to_builtins(fill) for fill in answer.fills]
            yield {
                "key": key,
                "account": account_id,
                "repeat": answer.is_repeat,
                "status": answer.status,
                "fills": fills,
            }


def main() -> None:
    """Let them all go."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    order = json.load(sys.stdin)
    chance = random.Random(order["seed"])
    twice = [key for key in range(1, order["keys"] + 1) for _ in range(2)]
    chance.shuffle(twice)
    children = []
    for process in range(order["processes"]):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with os.fdopen(writing, "w") as out:
                    answers = submitted(order, twice[process :: order["processes"]], process)
                    json.dump(list(answers), out)
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        children.append((pid, reading))
    found = []
    for pid, reading in children:
        with os.fdopen(reading) as answers:
            found += json.loads(answers.read() or "[]")
        assert os.waitpid(pid, 0)[1] == 0
    print(json.dumps(found))


if __name__ == "__main__":
    main()
