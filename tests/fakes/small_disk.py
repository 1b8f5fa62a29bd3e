"""Money on a disk that is full: `python -m tests.fakes.small_disk TEMPLATE FOLDER limit|tmpfs SEED BUDGETS`.

`FOLDER` is a small file system that a ballast fills up but for so many bytes, or any folder, where a file size limit
(RLIMIT_FSIZE) stands in for it. Either is moved on between writes, so that the log, the database file and the shared
index each meet it; the process is never started again. Prints a JSON report: what was refused, and what was wrong.
"""

import json
import logging
import os
import random
import resource
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from clash_pipeline.storage.errors import OutcomeUnknown, StorageFull
from tests.fakes import acts
from tests.fakes.acts import BY_NAME, Stage
from tests.fakes.lives import wrong

KINDS = ("trade", "stop", "complete", "grant", "create", "hold")
ACTS_A_BUDGET = 12
MOST_BYTES = 200_000


@dataclass
class SmallDisk:
    """What fills up, and what became of it."""

    folder: Path
    is_mounted: bool
    full: int = 0
    unknown: int = 0
    there: int = 0
    recovered: int = 0
    done: set[tuple[str, int]] = field(default_factory=set)

    def leave(self, more: int) -> None:
        """Let the files grow by so many bytes."""
        if not self.is_mounted:
            largest = max(file.stat().st_size for file in self.folder.glob("home/clash.db*"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest + more, resource.RLIM_INFINITY))
            return
        with (self.folder / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, max(shutil.disk_usage(self.folder).free - more, 1))

    def loosen(self) -> None:
        """There is space again."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        (self.folder / "ballast").unlink(missing_ok=True)

    def fill(self, stage: Stage, first: int, chance: random.Random) -> tuple[str, int] | None:
        """Acts on what is left of the disk; the one that was refused."""
        self.leave(chance.randrange(0, MOST_BYTES, 512))
        try:
            for number in range(first, first + ACTS_A_BUDGET):
                name = chance.choice(KINDS)
                try:
                    BY_NAME[name].do(stage, number)
                except (StorageFull, OutcomeUnknown) as error:
                    self._refused(stage, name, number, error)
                    return name, number
                self.done.add((name, number))
        finally:
            self.loosen()
        return None

    def _refused(self, stage: Stage, name: str, number: int, error: Exception) -> None:
        self.full += isinstance(error, StorageFull)
        self.unknown += isinstance(error, OutcomeUnknown)
        self.there += acts.counts(stage, BY_NAME[name], [number]).get(number, 0)  # and reads are served


def main() -> None:
    """One budget after the other."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    template, folder, kind, seed, budgets = sys.argv[1:]
    disk, chance, problems = SmallDisk(Path(folder), kind == "tmpfs"), random.Random(int(seed)), []
    home = shutil.copytree(template, disk.folder / "home")
    with acts.stage_of(home) as stage:
        for turn in range(int(budgets)):
            first = 1 + turn * (ACTS_A_BUDGET + 1)
            again = disk.fill(stage, first, chance) or ("trade", first + ACTS_A_BUDGET)
            BY_NAME[again[0]].do(stage, again[1])
            disk.done.add(again)
            disk.recovered += 1
            if turn % 10 == 9:
                problems += list(wrong(stage, disk.done))
    found = {name: getattr(disk, name) for name in ("full", "unknown", "there", "recovered")}
    print(json.dumps({**found, "acknowledged": len(disk.done), "problems": problems[:20]}))


if __name__ == "__main__":
    main()
