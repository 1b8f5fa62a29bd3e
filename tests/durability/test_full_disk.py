"""A full disk at every page and byte: no half groups, one line that says so, reads served, no restart (S3)."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.api.refusals import problem_of
from clash_pipeline.storage import sqlite as storage
from clash_pipeline.storage.errors import StorageFull
from clash_pipeline.storage.sqlite import Database, one
from tests.fakes import acts
from tests.fakes.acts import BY_NAME, Stage
from tests.fakes.forking import ROOT
from tests.fakes.lives import wrong

KINDS = ("trade", "stop", "mark", "complete", "grant", "create", "hold")
"""Those that may be repeated under their number."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which acts can be done."""
    made = tmp_path_factory.mktemp("full") / "template"
    acts.build(made)
    return made


@pytest.fixture
def stage(template: Path, tmp_path: Path) -> Iterator[Stage]:
    """A copy of it, open."""
    with acts.stage_of(Path(shutil.copytree(template, tmp_path / "home"))) as made:
        yield made


def allow(database: Database, pages: int) -> None:
    """Let the file have so many pages more than it has now."""
    with database.write() as connection:
        most = one(connection, "PRAGMA page_count") + pages
        connection.execute(f"PRAGMA max_page_count={most:d}")


def sweep(stage: Stage, pages: int, seed: int) -> int:
    """One stream of acts, each refused with no page more, with one, with two, until it fits; how many were done."""
    chance, done, number, refused, more = random.Random(seed), set[tuple[str, int]](), 1, 0, 0
    name = "trade"
    allow(stage.clash, 0)
    while refused < pages:
        try:
            BY_NAME[name].do(stage, number)
        except StorageFull as error:
            if str(error) != "no space is left for the database; nothing was written":
                raise
            refused, more = refused + 1, more + 1
            assert list(wrong(stage, done)) == []  # this also reads everything
            allow(stage.clash, more)
        else:
            done.add((name, number))
            name, number, more = chance.choice(KINDS), number + 1, 0
            allow(stage.clash, more)
    allow(stage.clash, 1_000_000)
    BY_NAME[name].do(stage, number)
    assert list(wrong(stage, done | {(name, number)})) == []
    return len(done)


def test_a_file_that_is_full_after_so_many_pages_holds_no_half_group(stage: Stage) -> None:
    assert sweep(stage, 50, seed=1) > 10


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_every_page_budget_of_four_hundred(stage: Stage, seed: int) -> None:
    assert sweep(stage, 400, seed) > 80


def test_a_full_file_system_says_so_and_goes_on_when_there_is_room(template: Path, tmp_path: Path) -> None:
    """On a file system of its own where one may be mounted; a file size limit is the same to the writer, but for the
    word of COMMIT: above a limit the outcome has to be looked up, and is found to be nothing."""
    for disk in ("limit", *(["tmpfs"] if may_mount() else [])):
        report = filled(template, tmp_path / disk, disk, budgets=20)
        assert report["problems"] == []
        assert (report["recovered"], report["there"]) == (20, 0)
        assert report["full"] + report["unknown"] >= 15
        assert disk == "limit" or report["unknown"] == 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_two_hundred_full_disks(template: Path, tmp_path: Path, seed: int) -> None:
    for disk in ("limit", *(["tmpfs"] if may_mount() else [])):
        report = filled(template, tmp_path / disk, disk, budgets=200, seed=seed)
        assert (report["problems"], report["there"], report["recovered"]) == ([], 0, 200)


def may_mount() -> bool:
    """Whether this user may mount a file system of its own."""
    probe = "mount -t tmpfs -o size=1m tmpfs /mnt"
    return shutil.which("unshare") is not None and subprocess.run(
        ["unshare", "-rm", "sh", "-c", probe], capture_output=True
    ).returncode == 0  # fmt: skip


def filled(template: Path, folder: Path, disk: str, *, budgets: int, seed: int = 1) -> dict[str, Any]:
    """The report of money on a small disk."""
    folder.mkdir()
    work = [sys.executable, "-m", "tests.fakes.small_disk", str(template), str(folder / "disk"), disk]
    mounted = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        'mkdir "$0" && mount -t tmpfs -o size=16m tmpfs "$0" && shift 0 && exec "$@"',
    ]
    prefix = [*mounted, str(folder / "disk")] if disk == "tmpfs" else []
    done = subprocess.run([*prefix, *work, str(seed), str(budgets)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_full_disk_is_a_503_with_a_time_to_come_back() -> None:
    answer = problem_of(StorageFull("no space is left for the database; nothing was written"))
    assert (answer.status, answer.code) == (503, "storage_full")


def test_control_statements_of_their_own_leave_half_groups(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one transaction around them, a full disk falls between the rows of a fill, and the harness sees it."""
    monkeypatch.setattr(storage, "_begin_immediate", lambda connection: None)
    monkeypatch.setattr(storage, "_commit", lambda connection: None)
    problems: list[str] = []
    for budget in range(12):
        allow(stage.clash, budget)
        try:
            for number in range(budget * 100, budget * 100 + 60):
                BY_NAME["trade"].do(stage, number)
        except StorageFull:
            problems += list(wrong(stage, set()))
        except Exception as error:  # what is half there may also stop the next act
            problems.append(str(error))
        allow(stage.clash, 1_000_000)
        if problems:
            break
    assert problems != []
