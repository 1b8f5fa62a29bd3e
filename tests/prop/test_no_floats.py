"""No float in the money packages: no float name, no true division, no round, no float literal (09 L7).

Exempt are the statistics of a result: they decide nothing, and the frozen hash covers integers only. What reaches the
store is looked at while it runs, too.
"""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import clash_pipeline.prop
from clash_pipeline.prop import intake
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.storage.sqlite import Connection
from tests.fakes.desk import Desk

STATISTICS = frozenset({"metrics.py", "results.py"})
ROOM = Path(clash_pipeline.prop.__file__).parent
MONEY = [
    *(path for path in ROOM.glob("*.py") if path.name not in STATISTICS),
    Path(clash_pipeline.__file__).parent / "units.py",
    *(Path(clash_pipeline.__file__).parent / "arena").glob("*.py"),
]


def floats(source: str) -> list[str]:
    """Where a float could come from."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in {"float", "round"}:
            found.append(f"{node.lineno}: {node.id}")
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"{node.lineno}: /")
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"{node.lineno}: {node.value}")
    return found


@pytest.mark.parametrize("path", sorted(MONEY), ids=lambda path: path.stem)
def test_money_code_has_no_float(path: Path) -> None:
    assert floats(path.read_text("utf-8")) == []


def test_the_check_finds_each_kind() -> None:
    """The control: code with floats does not pass."""
    assert len(floats("a = 1 / 2\nb = float('1')\nc = round(a)\nd = 0.5\na /= 2")) == 5


def test_the_exempt_files_exist_and_nothing_but_statistics_is_exempt() -> None:
    assert {path.name for path in ROOM.glob("*.py")} >= STATISTICS


class Watched:
    """A connection that keeps the values that were bound to its statements."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.bound: list[Any] = []

    def execute(self, statement: str, values: Any = ()) -> Any:
        self.bound += values.values() if isinstance(values, dict) else values
        return self.connection.execute(statement, values)

    def executemany(self, statement: str, rows: Sequence[Any]) -> Any:
        self.bound += [value for row in rows for value in row]
        return self.connection.executemany(statement, rows)


def bound_by(desk: Desk, *proposals: Proposal) -> list[Any]:
    """Every value that a submission hands to the store."""
    quotes = desk.venue.quotes(["BTC", "PURR/USDC"], desk.clock.now_ms())
    with desk.clash.write() as connection:
        watched: Any = Watched(connection)
        intake.submit_within(watched, desk.account_id, 1, proposals, quotes, now_ms=desk.clock.now_ms())
    return list(watched.bound)


def is_exact(value: Any) -> bool:
    return value is None or type(value) in (int, str)


def test_what_reaches_the_store_is_whole_numbers_and_text(desk: Desk) -> None:
    bound = bound_by(
        desk,
        Proposal("BTC", "open_long", "10.5", 2, "5", "8"),
        Proposal("PURR/USDC", "open_long", "3.3"),
        Proposal("BTC", "open_short", "7.7"),
        Proposal("BTC", "reduce", "33.3"),
        Proposal("PURR/USDC", "close"),
    )
    assert len(bound) > 200
    assert [value for value in bound if not is_exact(value)] == []


def test_control_a_float_on_its_way_to_the_store_is_seen(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a STRICT column would take 5.0 without a word, so the values must be looked at before."""
    monkeypatch.setattr("clash_pipeline.prop.fees.fee", lambda notional, rate: float(10**8))
    bound = bound_by(desk, Proposal("BTC", "open_long", "10"))
    assert any(not is_exact(value) for value in bound)
