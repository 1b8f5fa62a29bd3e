"""Reconciliation (M7): whatever is injected into a copy of the books is found, and clean books differ in nothing."""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from clash_pipeline.clock import DAY_MS, MINUTE_MS
from clash_pipeline.economy import incidents, reconciliation, switches
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.reconciliation import Report, reconcile, wire
from clash_pipeline.settings import Settings
from clash_pipeline.storage.files import open_clash
from clash_pipeline.storage.sqlite import Connection, Database
from tests.fakes.chained import Chained

RACE = 7


@pytest.fixture
def busy(chained: Chained) -> Chained:
    """A copy that a test may change."""
    return stocked(chained)


@pytest.fixture(scope="module")
def stock(migrated_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Chained:
    """One that is only copied from; its database is closed."""
    home = tmp_path_factory.mktemp("stock")
    (home / "clash.db").write_bytes((migrated_home / "clash.db").read_bytes())
    made = stocked(Chained(open_clash(Settings(home=home))))
    made.clash.close()
    return made


def stocked(chained: Chained) -> Chained:
    """Auditions, an upgrade, tickets, a settled race, refunds, payouts authorised and taken, a stray deposit."""
    people = [chained.till.person(number) for number in range(1, 7)]
    field = chained.till.race(people[:4])
    own = [chained.till.clone(f"Own {user}", user) for user in people]
    wanted = [Wanted(user, "audition", clone) for user, clone in zip(people, own, strict=True)]
    wanted += [Wanted(people[4], "ticket", clone, race_id=RACE, count=count) for count, clone in enumerate(field, 1)]
    for purchase in [chained.quote(each) for each in wanted]:
        chained.pay(purchase)
        chained.chain.mine()
    chained.settle_in()
    upgrade = chained.quote(Wanted(people[0], "upgrade", own[0], model_tier=2))
    chained.pay(upgrade)
    wrong = chained.quote(Wanted(people[1], "upgrade", own[1], model_tier=3))
    chained.pay(wrong, amount_wei=wrong.amount_wei - 1)
    chained.chain.deposit("0x" + "5b" * 20, chained.vault.resolver, 4_242, 10**15)
    chained.settle_in()
    chained.till.settle(field)
    owed = [payable.id for payable in chained.owed() if payable.kind != "refund"]
    given = [chained.authorise(payable_id) for payable_id in owed[:2]]
    chained.take(given[0])
    chained.settle_in()
    return chained


def compared(chained: Chained, kind: str = "full") -> Report:
    return reconcile(chained.clash, chained.parts, kind, chained.clock.now_ms())  # type: ignore[arg-type]


def test_clean_books_differ_in_nothing(busy: Chained) -> None:
    for kind in ("incremental", "full"):
        report = compared(busy, kind)
        assert report.differences == ()
        assert report.through == busy.chain.finalized.number
    assert busy.incidents() == []
    states = {payable.state for payable in busy.owed()}
    assert states == {"claimable", "authorised", "claimed"}


@dataclass(frozen=True)
class Injection:
    """A change behind the back of every rule, and the equations that have to see it; no change removes the row."""

    name: str
    table: str
    change: str
    told: str
    where: str = "1"


MORE = "amount_wei = amount_wei || '0'"
GRANTED, BOUGHT, PAYOUT = "state = 'granted'", "source = 'purchase'", "kind = 'payout'"
OWED, POOL = "kind = 'refund' AND state <> 'claimed'", "account = 'race:7:pool'"
CLAIMED = "state = 'claimed', claimed_at = 1, authorised_at = 1"
INJECTIONS = (
    Injection("deposit amount", "chain_deposits", MORE, "E1 E2"),
    Injection("deposit payer", "chain_deposits", "depositor = '0x' || printf('%040d', 9)", "E1"),
    Injection("deposit nonce", "chain_deposits", "nonce = nonce || '7'", "E1"),
    Injection("deposit transaction", "chain_deposits", "tx_hash = '0x' || printf('%064d', 9)", "E1"),
    Injection("deposit removed", "chain_deposits", "", "E1"),
    Injection("purchase ungranted", "purchases", "state = 'quoted'", "E2 E3", GRANTED),
    Injection("purchase granted", "purchases", GRANTED, "E2 E3", "state = 'refund_due'"),
    Injection("purchase amount", "purchases", MORE, "E2 E3", GRANTED),
    Injection("purchase nonce", "purchases", "nonce = '99' || nonce", "E2", GRANTED),
    Injection("audition removed", "audition_credits", "", "E3"),
    Injection("entitlement removed", "clone_entitlements", "", "E3", BOUGHT),
    Injection("entitlement of a higher tier", "clone_entitlements", "model_tier = 3", "E3", BOUGHT),
    Injection("entitlement without purchase", "clone_entitlements", "ref = '999'", "E3", BOUGHT),
    Injection("ticket removed", "tickets", "", "E3 E4"),
    Injection("ticket of somebody else", "tickets", "user_id = 2", "E3"),
    Injection("rake", "rakes", MORE, "E4"),
    Injection("payout amount", "payables", MORE, "E4", PAYOUT),
    Injection("payout removed", "payables", "", "E4", PAYOUT),
    Injection("refund swollen", "payables", "amount_wei = amount_wei || '000'", "E5", OWED),
    Injection("pool swollen", "wei_balances", "balance_wei = '9' || printf('%020d', 0)", "E4 E5", POOL),
    Injection("withdrawal amount", "chain_withdrawals", MORE, "E6"),
    Injection("withdrawal removed", "chain_withdrawals", "", "E6"),
    Injection("claimed without withdrawal", "payables", CLAIMED, "E6", "state = 'authorised'"),
)  # fmt: skip


def inject(connection: Connection, one: Injection, chance: random.Random) -> None:
    """Make the change as somebody would who owns the file: without triggers, checks or keys."""
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {row['name']}")
    key = {"audition_credits": "purchase_id", "rakes": "race_id", "wei_balances": "account"}.get(one.table, "id")
    rows = connection.execute(f"SELECT {key} FROM {one.table} WHERE {one.where} ORDER BY 1").fetchall()
    assert rows, f"nothing to change for {one.name}"
    verb = f"UPDATE {one.table} SET {one.change}" if one.change else f"DELETE FROM {one.table}"
    connection.execute(f"{verb} WHERE {key} = ?", (chance.choice(rows)[0],))


def found_in_a_copy(stock: Chained, folder: Path, one: Injection, seed: int) -> set[str]:
    """The equations that notice one injection in a copy of the books."""
    folder.mkdir()
    copied = Settings(home=folder)
    (folder / "clash.db").write_bytes(stock.clash.path.read_bytes())
    clash = open_clash(copied)
    try:
        connection = clash._connection("writer")
        connection.execute("PRAGMA foreign_keys = OFF")
        inject(connection, one, random.Random(seed))
        report = reconcile(clash, replace(stock.parts, clash=clash), "full", stock.clock.now_ms())
        return {difference.invariant for difference in report.differences}
    finally:
        clash.close()


@pytest.mark.parametrize("one", INJECTIONS, ids=lambda one: one.name)
def test_what_is_injected_is_found(stock: Chained, tmp_path: Path, one: Injection) -> None:
    assert set(one.told.split()) <= found_in_a_copy(stock, tmp_path / "copy", one, 1)


@pytest.mark.soak
def test_a_hundred_injections_are_found(stock: Chained, tmp_path: Path) -> None:
    for number in range(100):
        one = INJECTIONS[number % len(INJECTIONS)]
        assert set(one.told.split()) <= found_in_a_copy(stock, tmp_path / f"copy {number}", one, number), one.name


def test_a_deposit_that_only_the_chain_knows_is_found_and_stops_signing(busy: Chained) -> None:
    hidden = {view: view.lies for view in busy.views.values()}
    for view in hidden:
        view.lies = {"hidden logs"}
    busy.chain.deposit("0x" + "44" * 20, busy.vault.resolver, 31, 10**17)
    busy.settle_in()
    for view in hidden:
        view.lies = set()
    report = compared(busy)
    assert {difference.invariant for difference in report.differences} == {"E1"}
    assert any("100000000000000000 wei with nonce 31" in difference.message for difference in report.differences)
    with busy.clash.read() as connection:
        assert switches.is_thrown(connection) == "E1 do not hold"


def test_control_without_the_equations_nothing_is_found(
    stock: Chained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "INSIDE", {})
    monkeypatch.setattr("clash_pipeline.economy.equations.EQUATIONS", ())
    assert found_in_a_copy(stock, tmp_path / "copy", INJECTIONS[0], 1) == set()


def test_an_incident_ends_with_its_difference_and_the_switch_does_not(busy: Chained) -> None:
    with busy.clash.write() as connection:
        connection.execute("DROP TRIGGER chain_withdrawals_kept")
        row = connection.execute("SELECT * FROM chain_withdrawals ORDER BY id LIMIT 1").fetchone()
        connection.execute("DELETE FROM chain_withdrawals WHERE id = ?", (row["id"],))
    assert not compared(busy).is_clean
    assert {kind for kind, _ in busy.incidents()} == {"reconciliation"}
    with busy.clash.write() as connection:
        marks = ", ".join("?" * len(tuple(row)))
        connection.execute(f"INSERT INTO chain_withdrawals VALUES ({marks})", tuple(row))
    assert compared(busy).is_clean
    assert busy.incidents() == []
    with busy.clash.read() as connection:
        assert switches.is_thrown(connection) == "E1 do not hold", "only a person takes it back"


def test_without_endpoints_it_says_that_it_is_blind(busy: Chained) -> None:
    busy.views["a"].is_down = True
    report = compared(busy)
    assert report.through is None
    assert report.why_blind
    assert busy.incidents() == [("reconciliation_without_chain", "chain")]
    busy.views["a"].is_down = False
    assert compared(busy).why_blind is None
    assert busy.incidents() == []


def test_books_without_a_chain_are_compared_with_themselves(clash: Database) -> None:
    report = reconcile(clash, None, "full", 1)
    assert (report.is_clean, report.through, wire(report)["chain"]) == (True, None, "not set")


def test_every_ten_minutes_and_whole_once_a_day(clash: Database, settings: Settings) -> None:
    made = []
    for now_ms in range(DAY_MS, 2 * DAY_MS + 10 * MINUTE_MS, 5 * MINUTE_MS):
        with clash.read() as connection:
            kind = reconciliation.due(connection, settings, now_ms)
        if kind is not None:
            reconcile(clash, None, kind, now_ms)
            made.append(kind)
    assert made[0] == "full"
    assert made.count("full") == 2
    assert len(made) == 145
    with clash.read() as connection:
        assert incidents.open_ones(connection) == []


def test_old_deposits_are_asked_from_the_vaults_state(busy: Chained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "FULL_BLOCKS", 3)
    assert compared(busy).is_clean
