"""Accounts: one sandbox a clone, legal moves only, terms that never change, each move a ledger group with its actor."""

import pytest

from clash_pipeline.clones import clones
from clash_pipeline.prop import accounts, policy
from clash_pipeline.prop.accounts import StateConflict
from clash_pipeline.prop.audit import audit
from clash_pipeline.storage.sqlite import IntegrityError
from clash_pipeline.units import USD
from tests.fakes.desk import Desk


def test_a_clone_has_one_running_sandbox(desk: Desk) -> None:
    clone_id = clones.create(desk.clash, "Bob", engine="hold", now_ms=1)
    terms = policy.sandbox(desk.settings)
    opened = [
        accounts.open_sandbox(desk.clash, clone_id, terms, start_balance_usd=50_000, now_ms=number) for number in (5, 6)
    ]
    assert opened[0] == opened[1]
    with desk.clash.read() as connection:
        account = accounts.get(connection, opened[0])
    assert (account.state, account.balance, account.policy_hash) == ("active", 50_000 * USD, terms.digest)


def test_moves_are_ledger_groups_with_actor_and_reason(desk: Desk) -> None:
    for state in ("paused", "active", "locked", "paused"):
        accounts.move(desk.clash, desk.account_id, state, now_ms=7, actor="ann", reason="look")  # type: ignore[arg-type]
    accounts.move(desk.clash, desk.account_id, "paused", now_ms=8, actor="ann", reason="again")
    groups = list(reversed(desk.view()["ledger"]))
    assert [group["ref_type"] for group in groups] == [
        "pending>active", "active>paused", "paused>active", "active>locked", "locked>paused",
    ]  # fmt: skip
    assert {(group["actor"], group["reason"]) for group in groups[1:]} == {("ann", "look")}
    assert audit(desk.clash).is_clean


@pytest.mark.parametrize("state", ["pending", "completed", "liquidated"])
def test_moves_that_do_not_exist_by_hand_are_conflicts(desk: Desk, state: str) -> None:
    with pytest.raises(StateConflict, match=f"account 1 is active and cannot become {state}"):
        accounts.move(desk.clash, 1, state, now_ms=7, actor="ann", reason="x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE prop_accounts SET state = 'pending'", "cannot move to that state"),
        ("UPDATE prop_accounts SET start_balance = 1", "terms of an account never change"),
        ("UPDATE prop_accounts SET policy_hash = printf('%064d', 1)", "terms of an account never change"),
        ("DELETE FROM prop_accounts", "an account never leaves"),
        ("UPDATE prop_accounts SET balance = 200000000000000000", "CHECK"),
    ],
)
def test_the_schema_itself_refuses(desk: Desk, statement: str, message: str) -> None:
    with pytest.raises(IntegrityError, match=message), desk.clash.write() as connection:
        connection.execute(statement)
