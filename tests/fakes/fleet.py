"""Workers and sensors in processes of their own that look for due runs at the same moments (W1).

`python -m tests.fakes.fleet` reads one JSON order: home, times, workers, sensors, and whether keys are shared. Every
process steps its clock through the same times and meets the others at each before it looks. It prints the claims made.
"""

import json
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from typing import Any

from clash_pipeline.clock import SettableClock
from clash_pipeline.decisions import claims, runs, waves
from clash_pipeline.decisions.runs import Claim
from clash_pipeline.services import Services
from clash_pipeline.settings import load

TTL_MS = 60_000


def worker(services: Services, name: str, *, shares_keys: bool) -> int:
    """Claim what is due and end it; returns how many runs were claimed."""
    found = waves.due(services)
    if not shares_keys:
        found = [due._replace(symbol=f"{due.symbol}/{name}") for due in found]
    now_ms = services.clock.now_ms()
    with services.clash.write() as connection:
        taken = claims.claim_all(connection, found, worker=name, now_ms=now_ms, ttl_ms=TTL_MS, dagster_run_id=None)
    _end(services, taken, now_ms)
    return len(taken)


def sensor(services: Services, name: str, *, shares_keys: bool) -> int:
    """Look, as the sensor of the waves does; it claims nothing."""
    waves.waiting(services, shards=2)
    return 0


def _end(services: Services, taken: Sequence[Claim], now_ms: int) -> None:
    with services.clash.write() as connection:
        for claim in taken:
            runs.end(connection, claim, "skipped", "looked", effective=None, now_ms=now_ms)


def _step_through(order: dict[str, Any], act: Callable[..., int], name: str, meeting: Any, claimed: Any) -> None:
    clock = SettableClock()
    services = Services(load({"CLASH_HOME": order["home"]}), clock)
    total = 0
    for now_ms in order["times"]:
        clock.set(now_ms)
        meeting.wait()
        total += act(services, name, shares_keys=order["shares_keys"])
        meeting.wait()
    claimed.put(total)
    services.close()


def main() -> None:
    """Carry out one order."""
    order = json.load(sys.stdin)
    context = multiprocessing.get_context("fork")  # nothing was opened yet, and children save the imports
    acts = [worker] * order["workers"] + [sensor] * order["sensors"]
    meeting, claimed = context.Barrier(len(acts)), context.Queue()
    fleet = [
        context.Process(target=_step_through, args=(order, act, f"w{number}", meeting, claimed))
        for number, act in enumerate(acts)
    ]
    for process in fleet:
        process.start()
    print(sum(claimed.get() for _ in fleet))
    for process in fleet:
        process.join()
    sys.exit(max(abs(process.exitcode or 0) for process in fleet))


if __name__ == "__main__":
    main()
