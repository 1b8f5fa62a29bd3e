"""The wei ledger: groups balance or are refused, accounts stay on their side, one chain has no hole (I1, I2, I8)."""

import hashlib
import json

import pytest

from clash_pipeline import faults
from clash_pipeline.canonical import ZERO_HASH
from clash_pipeline.economy import ledger
from clash_pipeline.economy.audit import audit
from clash_pipeline.economy.ledger import FEES, SUSPENSE, VAULT, Entry, Line
from clash_pipeline.economy.refusals import EconomyConflict, EconomyUnknown, LedgerBroken
from clash_pipeline.storage.sqlite import IntegrityError
from tests.fakes.till import TERMS, Till

DEPOSIT = Entry("deposit", TERMS.chain_id, TERMS.asset, "deposit", 1, "test", "")


def post(till: Till, *lines: Line, entry: Entry = DEPOSIT) -> int:
    with till.clash.write() as connection:
        return ledger.post(connection, entry, lines, now_ms=1)


def balance(till: Till, account: str, asset: str = TERMS.asset) -> int:
    with till.clash.read() as connection:
        return ledger.balance(connection, account, TERMS.chain_id, asset)


def test_a_group_moves_the_balances_of_its_accounts(till: Till) -> None:
    assert post(till, Line(VAULT, "D", 7), Line(FEES, "C", 5), Line(ledger.RAKE, "C", 2)) == 1
    assert [balance(till, account) for account in (VAULT, FEES, ledger.RAKE)] == [7, 5, 2]
    assert balance(till, VAULT, "0x" + "aa" * 20) == 0, "each asset by itself"


def test_accounts_have_names_and_grow_on_their_side() -> None:
    assert ledger.held(5) == "purchase:5:held"
    assert ledger.claimable(5, "0xab") == "user:5:claimable"
    assert ledger.claimable(None, "0xab") == "wallet:0xab:claimable"
    assert ledger.pool(7) == "race:7:pool"
    assert ledger.royalty(3) == "creator:3:royalty"
    assert (ledger.normal_side("chain:vault"), ledger.normal_side("suspense")) == ("D", "C")
    assert (ledger.FEES, ledger.RAKE) == ("platform:fees", "platform:rake")
    assert ledger.wei_sum(["5", str(2**80)]) == 2**80 + 5
    assert ledger.wei_sum([]) == 0


def test_the_lines_of_one_account_are_moved_together(till: Till) -> None:
    post(till, Line(VAULT, "D", 7), Line(FEES, "C", 3), Line(FEES, "C", 4))
    post(till, Line(FEES, "D", 9), Line(FEES, "C", 8), Line(ledger.RAKE, "C", 1))
    assert [balance(till, account) for account in (VAULT, FEES, ledger.RAKE)] == [7, 6, 1]
    post(till, Line(FEES, "D", 6), Line(VAULT, "C", 6))
    assert [balance(till, account) for account in (VAULT, FEES)] == [1, 0]
    with till.clash.read() as connection:
        rows = connection.execute("SELECT * FROM wei_balances WHERE account = ?", (FEES,)).fetchall()
        assert [tuple(row) for row in rows] == [(FEES, TERMS.chain_id, TERMS.asset, "C", "0", 3)]
        assert ledger.balance(connection, FEES, 1, TERMS.asset) == 0


def test_a_group_is_stored_as_it_is_hashed(till: Till) -> None:
    """Every column, and the hash made again from the page of 09 §4.3."""
    with till.clash.write() as connection:
        assert ledger.move(connection, DEPOSIT, VAULT, FEES, 5, now_ms=11) == 1
        entry = Entry("refund", TERMS.chain_id, TERMS.asset, "purchase", 9, "actor", "why")
        assert ledger.move(connection, entry, FEES, "suspense", 2, now_ms=12) == 2
        assert ledger.reverse(connection, 2, actor="operator", reason="wrong", now_ms=13) == 3
        groups = [dict(row) for row in connection.execute("SELECT * FROM wei_ledger_groups ORDER BY seq")]
        assert ledger.lines_of(connection, 2) == [Line(FEES, "D", 2), Line(SUSPENSE, "C", 2)]
        assert ledger.lines_of(connection, 3) == [Line(FEES, "C", 2), Line(SUSPENSE, "D", 2)]
        lines = connection.execute("SELECT seq, line, account, side, amount_wei FROM wei_ledger_lines ORDER BY 1, 2")
        stored = [tuple(row) for row in lines]
        assert ledger.head(connection) == (3, groups[2]["hash"])
    assert stored == [
        (1, 0, VAULT, "D", "5"), (1, 1, FEES, "C", "5"), (2, 0, FEES, "D", "2"), (2, 1, SUSPENSE, "C", "2"),
        (3, 0, FEES, "C", "2"), (3, 1, SUSPENSE, "D", "2"),
    ]  # fmt: skip
    said = [tuple(group[name] for name in ("kind", "ref_type", "ref_id", "actor", "reason", "reverses", "known_at"))
            for group in groups]  # fmt: skip
    assert said == [
        ("deposit", "deposit", 1, "test", "", None, 11), ("refund", "purchase", 9, "actor", "why", None, 12),
        ("correction", "purchase", 9, "operator", "wrong", 2, 13),
    ]  # fmt: skip
    before = ZERO_HASH
    for group in groups:
        own = [[account, side, amount] for seq, _, account, side, amount in stored if seq == group["seq"]]
        content = {name: value for name, value in group.items() if name not in {"prev_hash", "hash"}} | {"lines": own}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        assert group["prev_hash"] == before
        before = hashlib.sha256((before + text).encode()).hexdigest()
        assert group["hash"] == before


def test_a_group_can_be_cut_off_after_it_was_written(till: Till) -> None:
    faults.arm("economy.group_written:raise")
    with pytest.raises(faults.InjectedFault):
        post(till, Line(VAULT, "D", 7), Line(FEES, "C", 7))
    faults.arm("")
    assert balance(till, VAULT) == 0


def test_amounts_beyond_64_bits_stay_exact(till: Till) -> None:
    large = 2**200 + 1
    post(till, Line(VAULT, "D", large), Line(FEES, "C", large))
    post(till, Line(VAULT, "D", 1), Line(FEES, "C", 1))
    assert balance(till, FEES) == large + 1


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((), "the deposit of deposit 1 has 0 lines, at least 2 are needed"),
        ((Line(VAULT, "D", 1),), "the deposit of deposit 1 has 1 lines, at least 2 are needed"),
        ((Line(VAULT, "D", 1), Line(FEES, "C", 2)), "the deposit of deposit 1 debits 1 wei and credits 2"),
        ((Line(VAULT, "D", 0), Line(FEES, "C", 0)), "moves 0 wei on chain:vault, amounts are positive"),
        ((Line(VAULT, "D", -1), Line(FEES, "C", -1)), "moves -1 wei on chain:vault, amounts are positive"),
        ((Line(VAULT, "D", 1), Line(FEES, "C", 2), Line(FEES, "C", -1)), "moves -1 wei on platform:fees"),
        ((Line(FEES, "D", 1), Line(ledger.RAKE, "C", 1)), "platform:fees would stand at -1 wei after the deposit of"),
        ((Line(FEES, "D", 1), Line(VAULT, "C", 1)), "would stand at -1"),
    ],
)
def test_control_a_group_that_breaks_i1_or_i2_is_refused_whole(till: Till, lines: tuple[Line, ...], told: str) -> None:
    with pytest.raises(LedgerBroken, match=told):
        post(till, *lines)
    assert balance(till, VAULT) == 0
    with till.clash.read() as connection:
        assert ledger.head(connection) == (0, ZERO_HASH)


def test_suspense_may_stand_on_its_wrong_side_and_is_told(till: Till) -> None:
    post(till, Line(VAULT, "D", 5), Line(FEES, "C", 5))
    post(till, Line(SUSPENSE, "D", 2), Line(VAULT, "C", 2), entry=DEPOSIT._replace(kind="withdrawal"))
    assert balance(till, SUSPENSE) == -2
    with till.clash.read() as connection:
        row = connection.execute("SELECT side, balance_wei FROM wei_balances WHERE account = 'suspense'").fetchone()
    assert tuple(row) == ("D", "2")
    assert any("suspense" in found.message for found in audit(till.clash).differences)


def test_a_mistake_is_reversed_once(till: Till) -> None:
    seq = post(till, Line(VAULT, "D", 5), Line(FEES, "C", 5))
    with till.clash.write() as connection:
        assert ledger.reverse(connection, seq, actor="operator", reason="twice", now_ms=2) == seq + 1
        with pytest.raises(EconomyConflict, match="reversed before"):
            ledger.reverse(connection, seq, actor="operator", reason="again", now_ms=3)
        with pytest.raises(EconomyUnknown, match="there is no ledger group 99"):
            ledger.reverse(connection, 99, actor="operator", reason="none", now_ms=3)
    assert balance(till, FEES) == balance(till, VAULT) == 0


@pytest.mark.parametrize("statement", [
    "UPDATE wei_ledger_groups SET reason = 'x'", "DELETE FROM wei_ledger_groups",
    "UPDATE wei_ledger_lines SET amount_wei = '6'", "DELETE FROM wei_ledger_lines",
    """
    INSERT INTO wei_ledger_groups
    SELECT seq + 2, kind, chain_id, asset, ref_type, ref_id, reverses, actor, reason, known_at, prev_hash, hash
    FROM wei_ledger_groups
    """,
])  # fmt: skip
def test_the_ledger_only_grows_at_its_end(till: Till, statement: str) -> None:
    post(till, Line(VAULT, "D", 5), Line(FEES, "C", 5))
    with pytest.raises(IntegrityError), till.clash.write() as connection:
        connection.execute(statement)


@pytest.mark.parametrize("bad", ["", "01", "-1", "1.0", "1e3", " 1", "\uff11", "9" * 79])
def test_control_wei_that_is_not_canonical_is_refused_by_the_table(till: Till, bad: str) -> None:
    post(till, Line(VAULT, "D", 5), Line(FEES, "C", 5))
    with pytest.raises(IntegrityError), till.clash.write() as connection:
        connection.execute("INSERT INTO wei_ledger_lines VALUES (1, 9, 'x', 'D', ?)", (bad,))
