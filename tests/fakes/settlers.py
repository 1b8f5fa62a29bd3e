"""Processes that all settle the same races at once (M2).

`python -m tests.fakes.settlers` reads one JSON order (home, processes, races as {race: order of finish}, seed, faults)
and prints, as JSON, every result hash that any process was given and how many processes died. It opens no database
itself. There is one round for each fault, such as `economy.settlement_booked@2:kill`: every process dies there, in the
middle of what the others wait for, and says nothing more. An empty fault kills nobody.
"""

import json
import logging
import os
import random
import sys
from collections.abc import Iterator
from typing import Any

import structlog

from clash_pipeline import faults
from clash_pipeline.economy import pools, settling
from clash_pipeline.settings import load
from clash_pipeline.storage.errors import StorageBusy
from clash_pipeline.storage.files import open_clash
from tests.fakes.till import CLOSES


def settled(order: dict[str, Any], process: int, fault: str) -> Iterator[tuple[int, str]]:
    """What one process is told of each race, in an order of its own."""
    clash = open_clash(load({"CLASH_HOME": order["home"], "CLASH_BUSY_TIMEOUT_MS": "10000"}))
    races = [(int(race), starters) for race, starters in order["races"].items()]
    random.Random(order["seed"] + process).shuffle(races)
    if fault:
        faults.arm(fault)
    for race_id, starters in races:
        while True:
            try:
                with clash.write() as connection:
                    pools.close_pool(connection, race_id, now_ms=CLOSES + 1)
                    made = settling.settle_race(
                        connection, race_id, starters, is_cancelled=False, now_ms=CLOSES + process
                    )
                break
            except StorageBusy:
                continue
        yield race_id, made.result_hash


def run(order: dict[str, Any], fault: str) -> tuple[list[list[str]], int]:
    """One round; what was answered, and how many were killed."""
    reading, writing = os.pipe()
    waiting, starting = os.pipe()
    children = []
    for process in range(order["processes"]):
        if (pid := os.fork()) == 0:
            try:
                os.close(starting)
                os.read(waiting, 1)  # until the parent has started them all
                for race_id, found in settled(order, process, fault):
                    os.write(writing, f"{race_id} {found}\n".encode())
            finally:
                os._exit(0)
        children.append(pid)
    for end in (writing, waiting, starting):
        os.close(end)
    with os.fdopen(reading) as answers:
        lines = [line.split() for line in answers]
    return lines, sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 for pid in children)


def main() -> None:
    """All rounds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    order = json.load(sys.stdin)
    rounds = [run(order, fault) for fault in order["faults"]]
    answers = [[int(race), found] for lines, _ in rounds for race, found in lines]
    print(json.dumps({"answers": answers, "killed": sum(killed for _, killed in rounds)}))


if __name__ == "__main__":
    main()
