"""Lives: processes that work on one home, are killed, and are followed by the next, which checks what was left (S1).

`python -m tests.fakes.lives` reads one JSON order (home of the acts, a folder to work in, numbers of kills, seed, mode)
and prints a JSON report. It opens no database itself: each life is a fork that opens, audits, looks whether every
acknowledged act is there exactly once, repeats about a third of them, takes up what its predecessor was killed in, and
goes on with new acts until it is killed: at a named fault point, or at a random instant. Acknowledgements go through a
pipe, so that they are out whatever happens to the process afterwards.
"""

import gc
import importlib
import json
import logging
import os
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars  # noqa: F401  (imported before the forks on purpose)
import structlog

from clash_pipeline import faults
from clash_pipeline.clones.refusals import CloneError
from clash_pipeline.decisions.audit import audit
from clash_pipeline.economy.audit import audit as audit_money
from clash_pipeline.economy.refusals import EconomyError
from clash_pipeline.storage import sqlite as storage
from tests.fakes import acts
from tests.fakes.acts import ACTS, BY_NAME, Stage
from tests.fakes.forking import without_pandas

KILLS_A_HOME = 15
"""Then a fresh copy, for the audit grows with the tables."""
ACTS_A_LIFE = 8
LONGEST_SEC = 0.025
SLOW = {"archive": 0.1, "restore": 0.1, "migrate": 0.1, "decide": 1.0}
"""How often these are chosen; every other act 2.0."""
UNDECIDED = "has no decision run"
"""Submissions of the acts that no run asked for; the audit is right to say so."""
TOTALS = (
    "SELECT (SELECT count(*) FROM prop_fills) + (SELECT count(*) FROM prop_ledger) + (SELECT count(*) FROM clones) + "
)
TOTALS += "(SELECT count(*) FROM wei_ledger_lines) + (SELECT count(*) FROM payables) + (SELECT count(*) FROM tickets)"

Numbered = tuple[str, int]


@dataclass
class Home:
    """One copy of the home, and what is known of it."""

    path: Path
    acknowledged: set[Numbered] = field(default_factory=set)
    unfinished: Numbered | None = None
    next_number: int = 1
    kills: int = 0


@dataclass
class Harness:
    """Starts lives and ends them."""

    template: Path
    folder: Path
    chance: random.Random
    mode: str = "honest"
    homes: int = 0
    report: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("kills", "acknowledged", "repeated", "taken_up", "survived"), 0)
    )
    problems: list[str] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)

    def fresh(self) -> Home:
        """Another copy."""
        self.homes += 1
        return Home(Path(shutil.copytree(self.template, self.folder / f"home-{self.homes}")))

    def follow(self, home: Home, name: str | None, fault: str) -> bool:
        """One life, until it is killed; whether it was."""
        reading, writing = os.pipe()
        number = home.next_number
        home.next_number += ACTS_A_LIFE + 1
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _live(Life(home, name, fault, number, self.mode, random.Random(self.chance.random())), writing)
        os.close(writing)
        deadline = None if fault else self.chance.uniform(0, LONGEST_SEC)
        said = list(_heard(reading, pid, deadline))
        os.close(reading)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        was_killed = status == -signal.SIGKILL
        self._learn(home, said, status, was_killed)
        return was_killed

    def _learn(self, home: Home, said: list[str], status: int, was_killed: bool) -> None:
        started = None
        for line in said:
            kind, _, rest = line.partition(" ")
            if kind == "problem":
                self.problems.append(rest)
            elif kind in {"began", "done"}:
                name, number = rest.split()
                started = (name, int(number)) if kind == "began" else None
                if kind == "done":
                    home.acknowledged.add((name, int(number)))
                    self.report["acknowledged"] += 1
            else:
                self.report[kind] += int(rest)
        home.unfinished = started
        home.kills += was_killed
        self.report["kills" if was_killed else "survived"] += 1
        if status not in (0, -signal.SIGKILL):
            self.problems.append(f"a life ended with {status} after {said[-1:]}")

    def at_points(self, points: dict[str, list[str]], times: int) -> None:
        """Every point so many times, the third time at its second hit where there is one."""
        home = self.fresh()
        for point, names in points.items():
            for turn in range(times):
                if home.kills >= KILLS_A_HOME:
                    home = self.fresh()
                self.reached[point] = self.reached.get(point, 0) + self._killed_at(home, point, names, turn)
        self._last_look(home)

    def _killed_at(self, home: Home, point: str, names: list[str], turn: int) -> bool:
        """Acts of that kind, one after the other, until one is killed there: a first one may only lead up to it."""
        hits = "@2" if turn == 2 else ""
        for attempt in range(2 * len(names) + 2):
            name = names[(turn + attempt // 2) % len(names)]
            if self.follow(home, name, f"{point}{'' if attempt else hits}:kill"):
                return True
        return False

    def at_random(self, kills: int) -> None:
        """At random instants."""
        home, wanted = self.fresh(), self.report["kills"] + kills
        while self.report["kills"] < wanted and not self.problems:
            if home.kills >= KILLS_A_HOME:
                self._last_look(home)
                home = self.fresh()
            self.follow(home, None, "")
        self._last_look(home)

    def _last_look(self, home: Home) -> None:
        """What the last kill left is looked at too; a copy that is done with is removed."""
        self.follow(home, "", "nothing")
        if home.kills >= KILLS_A_HOME:
            shutil.rmtree(home.path)

    def calibrate(self) -> dict[str, list[str]]:
        """Which acts reach each registered point; the quickest first."""
        home = self.fresh()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            before = set(sys.modules)
            points = _reached(home.path)
            with os.fdopen(writing, "w") as answer:
                json.dump({"points": points, "modules": sorted(set(sys.modules) - before)}, answer)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            found = json.loads(answer.read())
        os.waitpid(pid, 0)
        points: dict[str, list[str]] = found["points"]
        for module in found["modules"]:  # what is imported on first use is imported before the forks from here on
            with suppress(ImportError):
                importlib.import_module(module)
        gc.freeze()
        gc.disable()  # a life is short, and looking for garbage would copy every page of its parent
        return points


@dataclass
class Life:
    """What one process does."""

    home: Home
    name: str | None
    """The act to be killed in; None takes any, and an empty name none."""
    fault: str
    number: int
    mode: str
    chance: random.Random


def _heard(reading: int, pid: int, deadline_sec: float | None) -> Iterator[str]:
    """What a life says; it is killed some time after its checks, and the pipe is read to its end."""
    buffer, ends_at = b"", None
    while True:
        wait = None if ends_at is None else max(ends_at - time.monotonic(), 0)
        if not select.select([reading], [], [], wait)[0]:
            os.kill(pid, signal.SIGKILL)
            ends_at = None
            continue
        chunk = os.read(reading, 65_536)
        if not chunk:
            break
        buffer += chunk
        if deadline_sec is not None and b"checked" in buffer:
            ends_at, deadline_sec = time.monotonic() + deadline_sec, None
    yield from (line for line in buffer.decode().splitlines() if not line.startswith("checked"))


def _live(life: Life, writing: int) -> None:
    def say(line: str) -> None:
        os.write(writing, f"{line}\n".encode())

    status = 1
    try:
        with acts.stage_of(life.home.path) as stage:
            for problem in wrong(stage, life.home.acknowledged):
                say(f"problem {problem}")
            say(f"repeated {_repeat(stage, life)}")
            if life.home.unfinished:
                _take_up(stage, life.home.unfinished, say)
            if life.mode == "autocommit":
                _tear()
            say("checked")
            if life.name != "":
                _work(stage, life, say)
        status = 0
    except BaseException as error:
        say(f"problem {type(error).__name__}: {error}")
        raise
    finally:
        os._exit(status)


def wrong(stage: Stage, acknowledged: set[Numbered]) -> Iterator[str]:
    """What is not as it was promised."""
    with stage.clash.read() as connection:
        if (found := storage.one(connection, "PRAGMA quick_check")) != "ok":
            yield f"clash.db: {found}"
    yield from (
        f"{one.invariant} {one.row}: {one.message}"
        for one in (*audit(stage.clash).differences, *audit_money(stage.clash).differences)
        if one.message != UNDECIDED
    )
    for act in ACTS:
        mine = sorted(number for name, number in acknowledged if name == act.name)
        found = acts.counts(stage, act, mine) if mine or act.counts else {}
        yield from (f"lost: {act.name} {number}" for number in mine if found.get(number, 0) < 1)
        yield from (f"doubled: {act.name} {number}" for number, effects in found.items() if effects and effects > 1)


def _repeat(stage: Stage, life: Life) -> int:
    """About a third of the acknowledged acts again: nothing may come of it."""
    known = [one for one in sorted(life.home.acknowledged) if BY_NAME[one[0]].is_forever]
    again = [one for one in known[-9:] if life.chance.random() < 1 / 3]
    with stage.clash.read() as connection:
        before = storage.one(connection, TOTALS)
    for name, number in again:
        do = acts.trade_again if life.mode == "new keys" and name == "trade" else BY_NAME[name].do
        do(stage, number)
    with stage.clash.read() as connection:
        if (after := storage.one(connection, TOTALS)) != before:
            raise AssertionError(f"doubled: {after - before} rows came of repeating {again}")
    return len(again)


def _take_up(stage: Stage, unfinished: Numbered, say: Any) -> None:
    """The act that the predecessor was killed in, where its number may be repeated: it ends at after."""
    name, number = unfinished
    if BY_NAME[name].is_forever:
        say(f"began {name} {number}")
        BY_NAME[name].do(stage, number)
        say(f"done {name} {number}")
        say("taken_up 1")


def _work(stage: Stage, life: Life, say: Any) -> None:
    weights = [SLOW.get(act.name, 2.0) for act in ACTS]
    if life.fault:
        faults.arm(life.fault)
    for number in range(life.number, life.number + (1 if life.name else ACTS_A_LIFE)):
        act = BY_NAME[life.name] if life.name else life.chance.choices(ACTS, weights)[0]
        say(f"began {act.name} {number}")
        if life.mode == "acknowledged first":
            say(f"done {act.name} {number}")
        with suppress((CloneError, EconomyError) if life.mode == "autocommit" else ()):
            act.do(stage, number)
        say(f"done {act.name} {number}")


def _tear() -> None:
    """For the control: every statement is a transaction of its own."""
    storage._begin_immediate = lambda connection: None
    storage._commit = lambda connection: None


def _reached(home: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with acts.stage_of(home) as stage:
        for number, act in enumerate((*ACTS, *ACTS), start=1):
            seen: set[str] = set()
            faults._observers[:] = [seen.add]
            act.do(stage, number)
            for point in sorted(seen):
                names = found.setdefault(point, [])
                names += [act.name] if act.name not in names else []
    return found


def main() -> None:
    """Carry out one order."""
    without_pandas()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    order = json.load(sys.stdin)
    template = Path(order["folder"]) / "template"
    if (pid := os.fork()) == 0:
        try:
            acts.build(template)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    harness = Harness(template, Path(order["folder"]), random.Random(order["seed"]), order["mode"])
    points = harness.calibrate()
    if order["times"]:
        harness.at_points(points, order["times"])
    harness.at_random(order["kills"])
    print(json.dumps({
        **harness.report, "problems": harness.problems[:20], "points": points, "reached": harness.reached,
        "registered": sorted(faults.REGISTERED),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
