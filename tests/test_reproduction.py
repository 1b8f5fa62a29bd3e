"""G4: every random test says with its failure what makes it fail again, and then it does."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers

from tests.fakes.reproduction import AGAIN, ROOT, SHIPPED, commit, unseeded

FAILS = """
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(), st.text())
def test_drawn(number, text):
    assert number < 1_000 or len(text) < 3


@pytest.mark.parametrize("seed", range(2, 4))
def test_sown(seed):
    assert random.Random(seed).random() < 0.5
"""


def failed(folder: Path) -> str:
    """What a run of tests that fail prints, but for the seconds."""
    test = folder / "test_that_fails.py"
    test.write_text(FAILS)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", str(folder), "-c", "/dev/null"]
    asked = subprocess.run([*words, str(test)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert asked.returncode == pytest.ExitCode.TESTS_FAILED, asked.stdout + asked.stderr
    return re.sub(r" in [\d.]+s| at 0x[0-9a-f]+", "", asked.stdout)


def test_a_failure_names_seed_and_commit_and_comes_again(tmp_path: Path) -> None:
    printed = failed(tmp_path)
    assert f"commit {commit()}: {AGAIN}" in printed
    assert "test_sown[2]" in printed
    assert re.search(r"number = 1000, text = '000'", printed)
    assert "@reproduce_failure(" in printed
    assert failed(tmp_path) == printed


def test_no_test_draws_without_a_seed() -> None:
    tests = {path.relative_to(ROOT): path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")}
    assert {path: found for path, text in tests.items() if (found := list(unseeded(text)))} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("random.random()", 1), ("random.Random()", 1), ("Random()", 1), ("np.random.default_rng()", 1),
        ("numpy.random.normal()", 1), ("os.urandom(8)", 1), ("secrets.token_hex()", 1),
        ("random.Random(7)", 0), ("np.random.default_rng(seed)", 0), ("source.random()", 0), ("Random(x=1)", 0),
    ],
)  # fmt: skip
def test_control_an_unseeded_draw_is_found(text: str, found: int) -> None:
    assert len(list(unseeded(text))) == found


def drawn(loaded: ModuleType, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """What the same seed draws before and after another module of a project has been loaded."""

    def draw() -> list[int]:
        numbers: list[int] = []

        @settings(max_examples=300, derandomize=True, database=None)
        @given(st.integers())
        def look(number: int) -> None:
            numbers.append(number)

        look()
        return numbers

    before = draw()
    monkeypatch.setitem(sys.modules, loaded.__name__, loaded)
    return before, draw()


@pytest.fixture
def loaded(tmp_path: Path) -> ModuleType:
    """A module of a project with a constant of its own."""
    made = ModuleType("of_somebody")
    made.__file__ = str(tmp_path.with_name("of_somebody.py"))
    Path(made.__file__).write_text("LIMIT = 987_654_321\n")
    return made


def test_what_is_loaded_changes_no_draw(loaded: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = drawn(loaded, monkeypatch)
    assert before == after


def test_control_hypothesis_left_alone_draws_what_is_loaded(
    loaded: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kept, state in (("_get_local_constants", SHIPPED), ("_seen_modules", set()), ("_sys_modules_len", None)):
        monkeypatch.setattr(providers, kept, state)
    monkeypatch.setattr(providers, "_local_constants", providers._local_constants | providers.Constants())
    before, after = drawn(loaded, monkeypatch)
    assert before != after
