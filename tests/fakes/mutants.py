"""Mutation of one module (M8): mutmut over a copy of the tree, with the few tests that have to notice each change."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.forking import ROOT

MUTMUT = Path(sys.executable).with_name("mutmut")
COPIED = ("clash_pipeline", "tests", "assets", "jobs", "sensors", "resources", "doc")
ALIVE = (0, None, 33)
"""Exit codes of a mutant that was not noticed: its tests passed, it was not tried, or no test reaches it."""
CONFIGURATION = """
[tool.mutmut]
source_paths = ["clash_pipeline"]
only_mutate = [{module}]
also_copy = ["assets", "jobs", "sensors", "resources", "doc"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-k", {only}]
use_git_change_detection = false
"""


SHOW = "import sys; from mutmut.__main__ import show; [(show.callback(name), print('\\0')) for name in sys.argv[1:]]"
ROW_OR_SQL = re.compile(r"""\b(row|deposit)\["|"(SELECT|INSERT|UPDATE|DELETE) """)
COLUMN = re.compile(r"\b(row|deposit)\['(\w+)'\]")
"""How a column is named inside of a text."""


@dataclass(frozen=True)
class Score:
    """How many mutants there were, and what those changed that no test noticed, as differences of lines.

    Those that only write SQL or the column of a row in another case are not counted: SQLite does not tell them apart.
    """

    mutants: int
    survivors: tuple[str, ...]

    @property
    def noticed_of_1000(self) -> int:
        return 1_000 * (self.mutants - len(self.survivors)) // self.mutants


def score(folder: Path, migrated: Path, module: str, tests: Sequence[str], only: str) -> Score:
    """Mutate a module of the package; each mutant meets those of the tests that reach it, `only` as pytest's -k."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    told = CONFIGURATION.format(module=json.dumps(module), tests=json.dumps(list(tests)), only=json.dumps(only))
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8") + told, "utf-8")
    ran = _mutmut(folder, migrated, "run")
    assert "mutations/second" in ran, ran[-2_000:]
    lived = [line.split(":")[0].strip() for line in _mutmut(folder, migrated, "results").splitlines()]
    made = json.loads((folder / "mutants" / f"{module}.meta").read_text("utf-8"))["exit_code_by_key"]
    shown = _shown(folder, [name for name in lived if made[name] in ALIVE])
    survivors = [one for one in map(_changed, shown) if not is_case_of_sql(one)]
    return Score(len(made) - (len(shown) - len(survivors)), tuple(survivors))


def is_case_of_sql(changed: str) -> bool:
    """Whether a mutant differs by the case of keywords, tables and columns alone; quoted values have their own case."""
    plain = COLUMN.sub(r'\1["\2"]', changed)
    removed, added = ([line[1:] for line in plain.splitlines() if line.startswith(mark)] for mark in "-+")
    is_alike = [line.casefold() for line in removed] == [line.casefold() for line in added]
    return is_alike and all(ROW_OR_SQL.search(line) and "'" not in line for line in removed)


def _shown(folder: Path, names: Sequence[str]) -> list[str]:
    """The differences of some mutants: all by one process, because reading the package takes each a second."""
    done = subprocess.run([sys.executable, "-c", SHOW, *names], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def _mutmut(folder: Path, migrated: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "CLASH_SOAK"}
    environment["CLASH_MIGRATED_HOME"] = str(migrated)
    done = subprocess.run([MUTMUT, *words], cwd=folder, env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr


def _changed(shown: str) -> str:
    """The lines of a difference, without the names of its files."""
    lines = shown.splitlines()
    return "\n".join(line for line in lines if line.startswith(("# ", "-", "+")) and line[:3] not in {"---", "+++"})
