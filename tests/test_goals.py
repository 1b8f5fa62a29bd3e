"""The table of goals and the tests that exist say the same, both ways."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("prop", "decisions", "durability", "orchestration", "api", "identity", "clones", "alerts", "economy", "arena",
         "contracts")  # fmt: skip
"""Rooms whose goals the table lists; each test of theirs that only the soak runs is in it."""
NUMBERS = {
    "S": (1, 2, 3, 4, 8), "L": range(1, 8), "W": range(1, 7), "D": (4, 8), "X": range(1, 9),
    "M": range(1, 11), "A": range(1, 14),
    "G": range(1, 6),
}  # fmt: skip
WANTED = [f"{family}{number}" for family, numbers in NUMBERS.items() for number in numbers]


def table() -> list[list[str]]:
    """The cells of each row: goal, test, size, soak, size, control."""
    lines = (ROOT / "doc" / "goals.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return rows[2:]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+\.py::[^`]+)`", cell)


def written() -> Iterator[tuple[str, bool]]:
    """Every test of these rooms, and whether only the soak runs it."""
    for room in (*ROOMS, "test_secrets.py", "test_reproduction.py"):
        found = ROOT / "tests" / room
        for path in sorted(found.rglob("test_*.py")) if found.is_dir() else [found]:
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
                    yield f"{path.relative_to(ROOT / 'tests').as_posix()}::{node.name}", "mark.soak" in marks


TESTS = dict(written())


def test_every_goal_has_a_row() -> None:
    assert [row[0].split()[0] for row in table()] == WANTED


@pytest.mark.parametrize("row", table(), ids=lambda row: row[0].split()[0])
def test_a_goal_has_its_test_its_sizes_and_its_control(row: list[str]) -> None:
    _, quick, size, soak, full, control = row
    assert named(quick)
    assert size
    assert full
    assert [test for test in named(quick) if TESTS[test]] == []
    assert [test for test in named(soak) if not TESTS[test]] == []
    assert named(soak) or soak == "–"
    assert named(control)
    assert all("control" in test.partition("::")[2] for test in named(control))
    assert named(control) == [test for test in named(control) if test in TESTS]


def test_every_soak_is_listed() -> None:
    listed = {test for row in table() for test in named(row[3] + row[5])}
    assert {test for test, is_soak in TESTS.items() if is_soak} - listed == set()


def test_control_a_test_that_is_not_there_is_found() -> None:
    row = [
        "X1 hostile",
        "`prop/test_adversary.py::test_nothing`",
        "1",
        "–",
        "1",
        "`prop/test_adversary.py::test_control_x`",
    ]
    with pytest.raises(KeyError):
        test_a_goal_has_its_test_its_sizes_and_its_control(row)
