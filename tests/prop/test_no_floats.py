"""No float in the money packages: no float name, no true division, no round, no float literal (09 L7)."""

import ast
from pathlib import Path

import pytest

import clash_pipeline.prop

MONEY = [*Path(clash_pipeline.prop.__file__).parent.glob("*.py"), Path(clash_pipeline.__file__).parent / "units.py"]


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
