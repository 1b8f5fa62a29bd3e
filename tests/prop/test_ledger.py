"""The ledger of an account: each group as it is hashed and stored, and a seal over every row that it books."""

import hashlib
import json
from typing import Any

from clash_pipeline.canonical import ZERO_HASH
from clash_pipeline.prop import ledger
from clash_pipeline.prop.ledger import EMPTY, Entry, Head, Line
from clash_pipeline.storage.sqlite import Connection
from tests.fakes.desk import Desk

LINES = (Line("fee", "BTC", -5), Line("realized", "BTC", 7))
ENTRY = Entry("fill", "fill", 3, "engine", "why", "ab" * 32)


def hashed(previous: str, content: Any) -> str:
    """The page of 09 I8 again."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((previous + text).encode()).hexdigest()


def content(seq: int, known_at: int) -> dict[str, Any]:
    entry = {"kind": "fill", "ref_type": "fill", "ref_id": 3, "actor": "engine", "reason": "why", "ref_hash": "ab" * 32}
    lines = [["fee", "BTC", -5], ["realized", "BTC", 7]]
    return {"account_id": 1, "seq": seq, **entry, "known_at": known_at, "lines": lines}


def test_a_group_follows_its_head_and_is_stored_as_it_is_hashed(desk: Desk) -> None:
    with desk.clash.write() as connection:
        row = connection.execute(
            "SELECT seq, hash FROM prop_ledger_groups WHERE account_id = 1 ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        head = EMPTY if row is None else Head(*row)
        first = ledger.append(connection, 1, head, ENTRY, LINES, now_ms=11)
        second = ledger.append(connection, 1, first, ENTRY, LINES, now_ms=12)
        groups = [dict(each) for each in connection.execute(
            "SELECT * FROM prop_ledger_groups WHERE account_id = 1 AND seq > ? ORDER BY seq", (head.seq,))]  # fmt: skip
        lines = [tuple(each) for each in connection.execute(
            "SELECT * FROM prop_ledger WHERE account_id = 1 AND seq > ? ORDER BY seq, line", (head.seq,))]  # fmt: skip
    assert (first.seq, second.seq) == (head.seq + 1, head.seq + 2)
    assert first.hash == hashed(head.hash, content(first.seq, 11))
    assert second.hash == hashed(first.hash, content(second.seq, 12))
    told = {name: value for name, value in content(first.seq, 11).items() if name != "lines"}
    assert groups[0] == {**told, "prev_hash": head.hash, "hash": first.hash}
    assert groups[1]["prev_hash"] == first.hash
    assert lines == [(1, seq, number, *line) for seq in (first.seq, second.seq) for number, line in enumerate(LINES)]


def test_an_account_begins_at_nothing() -> None:
    assert Head(0, ZERO_HASH) == EMPTY
    assert Entry("state", "account", 1, "a", "r").ref_hash == ZERO_HASH


def test_a_seal_is_of_every_column_of_the_fill_its_order_and_its_action(desk: Desk) -> None:
    desk.order("open_long", size_pct="10", leverage=2)
    desk.order("close")
    with desk.clash.read() as connection:
        fills = [row["id"] for row in connection.execute("SELECT id FROM prop_fills ORDER BY id")]
        seals = [ledger.seal(connection, fill_id) for fill_id in fills]
        assert seals == [hashed("", list(rows(connection, fill_id).values())) for fill_id in fills]
    assert len(set(seals)) == 2


def rows(connection: Connection, fill_id: int) -> dict[str, list[dict[str, Any]]]:
    """The rows that a fill rests on, one after the other."""
    made: dict[str, list[dict[str, Any]]] = {}
    wanted = fill_id
    for table, following in (("prop_fills", "order_id"), ("prop_orders", "action_id"), ("prop_decision_actions", "id")):
        made[table] = [dict(row) for row in connection.execute(f"SELECT * FROM {table} WHERE id = ?", (wanted,))]
        wanted = made[table][0][following]
    return made
