"""The wei ledger: groups balance or are refused, accounts stay on their side, one chain has no hole (I1, I2, I8)."""

import pytest

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


def test_amounts_beyond_64_bits_stay_exact(till: Till) -> None:
    large = 2**200 + 1
    post(till, Line(VAULT, "D", large), Line(FEES, "C", large))
    post(till, Line(VAULT, "D", 1), Line(FEES, "C", 1))
    assert balance(till, FEES) == large + 1


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((), "at least 2"),
        ((Line(VAULT, "D", 1),), "at least 2"),
        ((Line(VAULT, "D", 1), Line(FEES, "C", 2)), "debits 1 wei and credits 2"),
        ((Line(VAULT, "D", 0), Line(FEES, "C", 0)), "positive"),
        ((Line(VAULT, "D", -1), Line(FEES, "C", -1)), "positive"),
        ((Line(FEES, "D", 1), Line(ledger.RAKE, "C", 1)), "would stand at -1"),
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
    assert any("suspense" in found.message for found in audit(till.clash).differences)


def test_a_mistake_is_reversed_once(till: Till) -> None:
    seq = post(till, Line(VAULT, "D", 5), Line(FEES, "C", 5))
    with till.clash.write() as connection:
        assert ledger.reverse(connection, seq, actor="operator", reason="twice", now_ms=2) == seq + 1
        with pytest.raises(EconomyConflict, match="reversed before"):
            ledger.reverse(connection, seq, actor="operator", reason="again", now_ms=3)
        with pytest.raises(EconomyUnknown):
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
