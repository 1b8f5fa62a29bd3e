"""The five top-level packages are this repository's, whatever else an environment may hold under their plain names."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("room", ["assets", "clash_pipeline", "jobs", "resources", "sensors"])
def test_each_room_was_imported_from_this_repository(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__file__ is not None, f"{room} has no __init__.py and would merge with a namesake"
    assert Path(module.__file__).resolve() == ROOT / room / "__init__.py"


@pytest.mark.parametrize("room", ["assets", "jobs", "resources", "sensors"])
def test_a_room_is_one_docstring_and_runs_nothing(room: str) -> None:
    text = (ROOT / room / "__init__.py").read_text("utf-8").strip()
    assert text.startswith('"""')
    assert text.endswith('"""')
    assert text.count('"""') == 2


def test_no_folder_of_tests_shadows_a_room() -> None:
    names = {path.name for path in (ROOT / "tests").rglob("*") if path.is_dir()}
    assert not names & {"assets", "jobs", "sensors", "resources", "dagster"}
