"""The audit of the wei ledger: groups in balance, accounts on their side, the vault, one hash chain."""

from collections.abc import Iterator

from clash_pipeline import canonical
from clash_pipeline.economy import ledger
from clash_pipeline.economy.ledger import Entry, Head, Line
from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.sqlite import Connection, Row

Money = tuple[str, int, str]
"""An account with its chain and its asset."""


def groups_balance(connection: Connection) -> Iterator[Difference]:
    """I1: two lines or more, amounts above zero, debits equal credits; no line without a group or out of number."""
    found = _lines(connection)
    groups = {row["seq"]: row for row in _groups(connection)}
    for seq in sorted(found.keys() - groups.keys()):
        yield Difference("I1", f"wei_ledger_lines({seq})", "has no group")
    for seq, row in groups.items():
        where, lines = f"wei_ledger_groups({seq})", found.get(seq, [])
        debits = sum(line.amount for line in lines if line.side == "D")
        credited = sum(line.amount for line in lines if line.side == "C")
        if len(lines) < 2 or any(line.amount <= 0 for line in lines):
            yield Difference("I1", where, f"its {len(lines)} lines are not two or more above zero")
        if debits != credited:
            yield Difference("I1", where, f"the {row['kind']} debits {debits} wei and credits {credited}")


def lines_are_numbered(connection: Connection) -> Iterator[Difference]:
    """I8: the lines of a group are numbered from 0 without a hole."""
    rows = connection.execute(
        "SELECT seq, line, row_number() OVER (PARTITION BY seq ORDER BY line) - 1 AS expected FROM wei_ledger_lines"
    )
    for row in rows:
        if row["line"] != row["expected"]:
            where = f"wei_ledger_lines({row['seq']}, {row['line']})"
            yield Difference("I8", where, f"should be line {row['expected']} of its group")


def hash_chain(connection: Connection) -> Iterator[Difference]:
    """I8: the sequence has no hole, and every hash is that of the one before and of its content."""
    head, found = Head(0, canonical.ZERO_HASH), _lines(connection)
    for row in _groups(connection):
        where = f"wei_ledger_groups({row['seq']})"
        if row["seq"] != head.seq + 1:
            yield Difference("I8", where, f"sequence jumps from {head.seq} to {row['seq']}")
        if row["prev_hash"] != head.hash:
            yield Difference("I8", where, f"does not point back to the hash of group {head.seq}")
        expected = ledger.next_hash(
            row["prev_hash"], row["seq"], _entry(row), row["known_at"], found.get(row["seq"], [])
        )
        if row["hash"] != expected:
            yield Difference("I8", where, f"hash {row['hash'][:12]} is not that of its content, {expected[:12]}")
        head = Head(row["seq"], row["hash"])


def balances_are_sums(connection: Connection) -> Iterator[Difference]:
    """I2: every balance is the sum of its lines, moved last by the newest of them, and none is below zero."""
    sums, newest = _sums(connection)
    stored: dict[Money, tuple[int, int | None]] = {}
    for row in connection.execute("SELECT * FROM wei_balances ORDER BY account, chain_id, asset"):
        key = (row["account"], row["chain_id"], row["asset"])
        signed = int(row["balance_wei"]) * (1 if row["side"] == ledger.normal_side(row["account"]) else -1)
        stored[key] = (signed, row["seq"])
        if signed == 0 and row["side"] != ledger.normal_side(row["account"]):
            yield Difference("I2", f"wei_balances({', '.join(map(str, key))})", "nothing stands on its wrong side")
    for key in sorted(sums.keys() | stored.keys()):
        where, expected = f"wei_balances({', '.join(map(str, key))})", (sums.get(key, 0), newest.get(key))
        if stored.get(key) != expected:
            yield Difference("I2", where, f"{stored.get(key)} is not the sum of its lines and their last group")
        if expected[0] < 0 and key[0] != ledger.SUSPENSE:
            yield Difference("I2", where, f"stands at {expected[0]} wei, below zero on its normal side")
        if expected[0] != 0 and key[0] == ledger.SUSPENSE:
            yield Difference("I2", where, f"{expected[0]} wei wait in suspense for an operator")


def vault_is_what_came_and_went(connection: Connection) -> Iterator[Difference]:
    """I4: the vault = deposits less what was taken = everything that we owe and own."""
    sums, _ = _sums(connection)
    for chain_id, asset in sorted({(key[1], key[2]) for key in sums} | _paid_in(connection)):
        vault = sums.get((ledger.VAULT, chain_id, asset), 0)
        deposited = ledger.wei_sum(
            row["amount_wei"]
            for row in connection.execute(
                "SELECT amount_wei FROM chain_deposits WHERE chain_id = ? AND asset = ?", (chain_id, asset)
            )
        )
        taken = _taken(connection, chain_id, asset)
        owed = sum(amount for key, amount in sums.items() if key[1:] == (chain_id, asset) and key[0] != ledger.VAULT)
        where = f"wei_balances({ledger.VAULT}, {chain_id}, {asset})"
        if vault != deposited - taken:
            yield Difference("I4", where, f"{vault} wei are not the {deposited} deposited less the {taken} taken")
        if vault != owed:
            yield Difference("I4", where, f"{vault} wei are not the {owed} that we owe and own")


CHECKS = (groups_balance, lines_are_numbered, hash_chain, balances_are_sums, vault_is_what_came_and_went)


def _paid_in(connection: Connection) -> set[tuple[int, str]]:
    return {(row[0], row[1]) for row in connection.execute("SELECT DISTINCT chain_id, asset FROM chain_deposits")}


def _taken(connection: Connection, chain_id: int, asset: str) -> int:
    """What the ledger says that left the vault: claims and withdrawals, and corrections of either side."""
    rows = connection.execute(
        """
        SELECT l.side, l.amount_wei FROM wei_ledger_lines l JOIN wei_ledger_groups g ON g.seq = l.seq
        WHERE g.chain_id = ? AND g.asset = ? AND g.kind <> 'deposit' AND l.account = ?
        """,
        (chain_id, asset, ledger.VAULT),
    )
    return sum(int(row["amount_wei"]) * (1 if row["side"] == "C" else -1) for row in rows)


def _sums(connection: Connection) -> tuple[dict[Money, int], dict[Money, int]]:
    """What the lines of each account make on its normal side, and its newest group."""
    sums: dict[Money, int] = {}
    newest: dict[Money, int] = {}
    for row in connection.execute(
        """
        SELECT l.seq, l.account, l.side, l.amount_wei, g.chain_id, g.asset
        FROM wei_ledger_lines l JOIN wei_ledger_groups g ON g.seq = l.seq ORDER BY l.seq, l.line
        """
    ):
        key = (row["account"], row["chain_id"], row["asset"])
        signed = int(row["amount_wei"]) * (1 if row["side"] == ledger.normal_side(row["account"]) else -1)
        sums[key] = sums.get(key, 0) + signed
        newest[key] = row["seq"]
    return sums, newest


def _groups(connection: Connection) -> list[Row]:
    return connection.execute("SELECT * FROM wei_ledger_groups ORDER BY seq").fetchall()


def _lines(connection: Connection) -> dict[int, list[Line]]:
    found: dict[int, list[Line]] = {}
    for row in connection.execute("SELECT * FROM wei_ledger_lines ORDER BY seq, line"):
        found.setdefault(row["seq"], []).append(Line(row["account"], row["side"], int(row["amount_wei"])))
    return found


def _entry(row: Row) -> Entry:
    return Entry(*(row[name] for name in Entry._fields))
