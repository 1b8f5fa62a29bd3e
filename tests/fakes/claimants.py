"""Threads of several processes that all claim the same deposits at once (M4).

`python -m tests.fakes.claimants` reads one JSON order (home, processes, threads, turns: each the claims of one deposit)
and prints, as JSON, what each thread was told of each turn. It opens no database itself.
"""

import json
import logging
import os
import sys
import threading
from typing import Any

import structlog

from clash_pipeline.economy import deposits
from clash_pipeline.economy.deposits import VerifiedDeposit
from clash_pipeline.economy.refusals import DepositUsed
from clash_pipeline.settings import load
from clash_pipeline.storage.errors import StorageBusy
from clash_pipeline.storage.files import open_clash
from clash_pipeline.storage.sqlite import Database
from tests.fakes.till import START


def told(clash: Database, claim: VerifiedDeposit) -> str:
    """What a claimant hears, however often the file is busy."""
    while True:
        try:
            with clash.write() as connection:
                made = deposits.record(connection, claim, now_ms=START + 60_000)
        except StorageBusy:
            continue
        except DepositUsed:
            return "used"
        return made.outcome if made.is_new else "again"


def claim_all(order: dict[str, Any], process: int, start: int, answers: int) -> None:
    """One process: each of its threads takes one of the claims of every turn, in the order of the turns."""
    clash = open_clash(load({"CLASH_HOME": order["home"], "CLASH_BUSY_TIMEOUT_MS": "10000"}))
    turns = [[VerifiedDeposit(**claim) for claim in turn] for turn in order["turns"]]

    def run(thread: int) -> None:
        os.read(start, 1)  # until the parent has started them all
        for turn, claims in enumerate(turns):
            claim = claims[(process * order["threads"] + thread) % len(claims)]
            os.write(answers, f"{turn} {told(clash, claim)}\n".encode())

    threads = [threading.Thread(target=run, args=(number,)) for number in range(order["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """Fork the processes, let them go, and collect."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    order = json.load(sys.stdin)
    reading, writing = os.pipe()
    waiting, starting = os.pipe()
    for process in range(order["processes"]):
        if os.fork() == 0:
            try:
                os.close(starting)
                claim_all(order, process, waiting, writing)
            finally:
                os._exit(0)
    for end in (writing, waiting, starting):
        os.close(end)
    with os.fdopen(reading) as answers:
        print(json.dumps([line.split() for line in answers]))


if __name__ == "__main__":
    main()
