"""`clash audit` and `clash prop audit`: exit 0 on honest books, 1 with the row that is not."""

import json

from tests.cli.trading import Run, run, world
from tests.fakes.world import World

__all__ = ["run", "world"]


def test_clean_books_are_exit_0(run: Run) -> None:
    run("clones", "create", "Ada", "--engine", "rules", "--symbols", "BTC")
    run("decisions", "run-once", "--clone-id", "1", "--force")
    done = run("audit")
    assert (done.exit_code, done.stdout) == (0, "clean: 1 accounts, 1 fills, 2 ledger groups\n")
    assert json.loads(run("prop", "audit", "--json").stdout)["differences"] == []


def test_a_changed_balance_is_exit_1_and_named(run: Run, world: World) -> None:
    run("clones", "create", "Ada")
    with world.clash.write() as connection:
        connection.execute("UPDATE prop_accounts SET balance = balance + 1")
    for words in (("audit",), ("prop", "audit")):
        done = run(*words)
        assert done.exit_code == 1
        assert "prop_accounts(1)" in done.stdout
    (difference,) = json.loads(run("audit", "--json").stdout)["differences"]
    assert (difference["invariant"], difference["row"]) == ("I6", "prop_accounts(1)")
