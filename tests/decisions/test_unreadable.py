"""One account whose rows no program of ours has written: it is left alone by name, at every stage of a wave (09 W5)."""

import pytest

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.decisions import claims, waves
from clash_pipeline.decisions.runs import Ended
from clash_pipeline.prop import accounts, funding, marks
from clash_pipeline.prop.accounts import AccountUnreadable
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.venue import PaperVenue
from tests.fakes.answers import answer, decided
from tests.fakes.world import RISING, World

BROKEN, SOUND = 2, (1, 3)
BREAKS = {
    "a policy that is no JSON": "UPDATE prop_accounts SET policy = 'no json' WHERE id = :id",
    "a policy without its fields": "UPDATE prop_accounts SET policy = '{}' WHERE id = :id",
    "words for numbers": """
        UPDATE prop_accounts SET policy = json_set(policy, '$.min_cadence_sec', 'soon', '$.fill_delay_ms', 'later')
        WHERE id = :id
    """,
    "a changed policy": "UPDATE prop_accounts SET policy = json_set(policy, '$.max_leverage', 9) WHERE id = :id",
    "a hash of something else": "UPDATE prop_accounts SET policy_hash = printf('%064d', 1) WHERE id = :id",
    "hours before its time": "UPDATE prop_accounts SET funded_through = -100000000000000000 WHERE id = :id",
    "a symbol that is no text": "UPDATE prop_positions SET symbol = CAST(x'ff' AS TEXT) WHERE account_id = :id",
    "a kind that is none": "UPDATE prop_positions SET kind = 'bond' WHERE account_id = :id",
}
"""What happens to the row behind our back."""
every_break = pytest.mark.parametrize("statement", BREAKS.values(), ids=BREAKS)


def spoil(world: World, statement: str) -> None:
    """A file that was written by somebody else: no trigger, no check, no key stops it."""
    with world.clash.write() as connection:
        connection.execute("PRAGMA defer_foreign_keys=ON")
        for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {row['name']}")
    with world.clash.write() as connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        assert connection.execute(statement, {"id": BROKEN}).rowcount == 1


@pytest.fixture
def trio(world: World) -> World:
    """Three clones, each long in BTC since a minute, and due again."""
    for number in range(3):
        world.clone("BTC", name=f"Clone {number}")
    world.clock.advance(10 * MINUTE_MS)
    quote(world)
    assert {run.reason for run in waves.apply(world, decided(world, waves.due(world), answer("open_long")))} == {
        "filled"
    }
    world.clock.advance(5 * MINUTE_MS)
    quote(world)
    return world


def quote(world: World) -> None:
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)


def left(world: World) -> tuple[str, str]:
    """State and reason of the newest run of the broken account."""
    with world.clash.read() as connection:
        row = connection.execute(
            "SELECT state, reason FROM decision_runs WHERE account_id = ? ORDER BY id DESC", (BROKEN,)
        ).fetchone()
    return row["state"], row["reason"]


def sound(ended: list[Ended]) -> bool:
    """Whether exactly the sound accounts were filled."""
    return [(run.account_id, run.reason) for run in ended] == [(account_id, "filled") for account_id in SOUND]


@every_break
def test_the_look_finds_everybody_else_due(trio: World, statement: str) -> None:
    spoil(trio, statement)
    assert {due.account_id for due in waves.due(trio)} >= set(SOUND)
    assert sum(waiting.runs for waiting in waves.waiting(trio)) >= len(SOUND)


@every_break
def test_a_wave_goes_on_without_it(trio: World, statement: str) -> None:
    """From the look to the ledger; what can be read as far as a packet is refused by the gates."""
    spoil(trio, statement)
    prepared, over = waves.prepare(trio, waves.due(trio), worker="w")
    assert over == []
    assert {item.claim.account_id for item in prepared} == set(SOUND)
    state, reason = left(trio)
    assert state == "queued"
    assert reason.partition(" (")[0] in ("account_unreadable", "branch_unusable", "packet_unusable")


@every_break
def test_it_is_parked_with_the_reason_after_five_attempts(trio: World, statement: str) -> None:
    due = waves.due(trio)
    spoil(trio, statement)
    ended: list[Ended] = []
    for _ in range(5):
        _, over = waves.prepare(trio, [run for run in due if run.account_id == BROKEN], worker="w")
        ended += over
        trio.clock.advance(claims.LONGEST_BACK_OFF_MS // 2)
        quote(trio)
    assert [(run.account_id, run.state) for run in ended] == [(BROKEN, "failed")]
    assert ended[0].reason.startswith("gave_up_after_5_attempts: ")


@every_break
def test_what_is_decided_is_applied_to_the_others(trio: World, statement: str) -> None:
    made = decided(trio, waves.due(trio), answer("increase", "1"))
    spoil(trio, statement)
    assert sound(waves.apply(trio, made))
    state, reason = left(trio)
    assert state == "running"
    assert reason.startswith(("account_unreadable (", "apply_failed: "))


@every_break
def test_what_was_left_undelivered_is_applied_to_the_others(trio: World, statement: str) -> None:
    """As `fill_prop_orders` does it."""
    decided(trio, waves.due(trio), answer("increase", "1"))
    spoil(trio, statement)
    trio.clock.advance(trio.settings.lease_ttl_sec * 1_000 + 1)
    quote(trio)
    assert len(waves.deliverable(trio)) == 3
    assert sound(waves.apply(trio, waves.undelivered(trio, worker="fill")))
    assert left(trio)[0] == "running"


@every_break
def test_the_others_are_marked_and_it_is_named(trio: World, statement: str) -> None:
    spoil(trio, statement)
    tick = marks.mark_all(trio.clash, PaperVenue(trio.market), [1, 2, 3], trio.clock.now_ms())
    assert [snapshot.account_id for snapshot in tick.snapshots] == list(SOUND)
    assert list(tick.left) == [BROKEN]


@every_break
def test_the_audit_names_it_and_nobody_else(trio: World, statement: str) -> None:
    spoil(trio, statement)
    found = {difference.row for difference in audit(trio.clash).differences}
    assert found
    assert {row.partition("(")[2][:1] for row in found if row.startswith(("prop_accounts", "prop_positions"))} == {"2"}


def test_control_an_account_that_is_only_shown_may_differ_from_its_hash(trio: World) -> None:
    """A person who looks for the fault sees the account; nothing acts for it."""
    spoil(trio, BREAKS["a hash of something else"])
    with trio.clash.read() as connection:
        assert accounts.get(connection, BROKEN).state == "active"
        with pytest.raises(AccountUnreadable, match="account 2: the policy does not hash to 000000000000"):
            accounts.acting(connection, BROKEN)


def test_control_without_the_partition_everybody_is_lost(trio: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = decided(trio, waves.due(trio), answer("increase", "1"))
    spoil(trio, BREAKS["a policy without its fields"])

    def together(*_: object) -> dict[int, Exception]:
        with trio.clash.read() as connection:
            for account_id in (1, 2, 3):
                accounts.acting(connection, account_id)
        return {}

    monkeypatch.setattr(funding, "settle", together)
    with pytest.raises(AccountUnreadable):
        waves.apply(trio, made)


@pytest.mark.parametrize("stage", ["prepare", "apply"])
def test_a_market_row_that_cannot_be_read_is_the_trouble_of_its_asset(world: World, stage: str) -> None:
    """Quotes are shared by all: a price that is none keeps only those waiting who trade the asset."""
    for symbol in ("BTC", "ETH"):
        world.clone(symbol, name=symbol)
    world.clock.advance(10 * MINUTE_MS)
    for symbol in ("BTC", "ETH"):
        world.minute(symbol, "100", **RISING)
    due = waves.due(world)
    made = decided(world, due, answer("open_long")) if stage == "apply" else []
    with world.market.write() as connection:
        connection.execute("UPDATE hyperliquid_asset_ctxs SET mark_px = 'none' WHERE symbol = 'ETH'")
    if stage == "prepare":
        made = decided(world, due, answer("open_long"))
    assert [(run.account_id, run.reason) for run in waves.apply(world, made)] == [(1, "filled")]
