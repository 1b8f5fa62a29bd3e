"""M8: where real money is computed, at least 95 of 100 changes of the code are noticed by a test; doc/mutation.md
explains those that are not."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fakes.forking import ROOT
from tests.fakes.mutants import is_case_of_sql, score


class Mutated(NamedTuple):
    """A module, the few quick tests that have to notice its mutants, and pytest's -k over them."""

    module: str
    tests: tuple[str, ...]
    only: str = "not soak"


MODULES = {
    "units": Mutated("clash_pipeline/units.py", ("tests/test_units.py",)),
    "ledger of wei": Mutated("clash_pipeline/economy/ledger.py", ("tests/economy/test_ledger.py",)),
    "ledger of accounts": Mutated("clash_pipeline/prop/ledger.py", ("tests/prop/test_ledger.py",)),
    "settlement": Mutated(
        "clash_pipeline/economy/settlement.py", ("tests/economy/test_settlement.py",), "not two_hundred_thousand"
    ),
    "purchases": Mutated(
        "clash_pipeline/economy/purchases.py", ("tests/economy/test_purchases.py", "tests/economy/test_deposits.py")
    ),
    "verifier": Mutated("clash_pipeline/economy/chain/verification.py", ("tests/economy/chain/test_verification.py",)),
}


def test_every_module_that_is_mutated_and_its_tests_are_there_and_have_a_row() -> None:
    for name, (module, tests, _) in MODULES.items():
        assert [path for path in (module, *tests) if not (ROOT / path).is_file()] == []
        assert f"| {name} |" in (ROOT / "doc" / "mutation.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("changed", "is_equal"),
    [
        ('-    row = one("SELECT id FROM races")\n+    row = one("select id from races")', True),
        ('-    return row["id"]\n+    return row["ID"]', True),
        ("-    raise Gone(f\"{row['id']}\")\n+    raise Gone(f\"{row['ID']}\")", True),
        ("-    one(\"SELECT 1 WHERE a = 'x'\")\n+    one(\"SELECT 1 WHERE a = 'X'\")", False),
        ('-    one("SELECT id FROM races")\n+    one("XXSELECT id FROM racesXX")', False),
        ('-    return {"id": 1}\n+    return {"ID": 1}', False),
    ],
)
def test_only_the_case_of_sql_is_not_counted(changed: str, is_equal: bool) -> None:
    assert is_case_of_sql(changed) is is_equal


@pytest.mark.soak
@pytest.mark.parametrize("name", MODULES)
def test_95_of_100_mutants_are_noticed(tmp_path: Path, migrated_home: Path, name: str) -> None:
    found = score(tmp_path, migrated_home, *MODULES[name])
    print(f"{name}: {found.mutants - len(found.survivors)} of {found.mutants}", *found.survivors, sep="\n")
    assert found.noticed_of_1000 >= 950


@pytest.mark.soak
def test_control_tests_that_look_at_little_let_mutants_live(tmp_path: Path, migrated_home: Path) -> None:
    module, tests, _ = MODULES["ledger of wei"]
    assert score(tmp_path, migrated_home, module, tests, "beyond_64_bits").noticed_of_1000 < 700
