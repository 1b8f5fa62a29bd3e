"""Acts: one numbered piece of work for each kind of effect, and the query that counts what became of each number.

The harnesses of durability (kills, power cuts, full disks, many processes) do these against the product's own code.
An act's number decides everything about it, its time too. `counts` answers {number: effects}; an act that was
acknowledged counts exactly 1, one that was not counts 0 or 1.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec

from clash_pipeline import clone_desk
from clash_pipeline.archive import partitions, retention
from clash_pipeline.archive.file_store import FileStore
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, SettableClock, minute_of
from clash_pipeline.clones import entitlements, holds, moderation, public_profiles, reports
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.refusals import NameTaken
from clash_pipeline.decisions import budgets
from clash_pipeline.economy import payables, pools, purchases
from clash_pipeline.economy.chain import watcher
from clash_pipeline.economy.chain.confirming import Parts
from clash_pipeline.economy.chain.endpoints import Chain as Watched
from clash_pipeline.economy.chain.rpc import Endpoint
from clash_pipeline.economy.deposits import Recorded
from clash_pipeline.economy.payouts import Limits, authorise, of_payable
from clash_pipeline.economy.pools import PoolClone
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.reconciliation import reconcile
from clash_pipeline.economy.refusals import EconomyConflict
from clash_pipeline.prop import accounts, admin, intake, policy
from clash_pipeline.prop.marks import mark_all
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.replay.chain import Chain
from clash_pipeline.replay.chain_vault import ModelVault
from clash_pipeline.replay.chain_vault import vault as model_vault
from clash_pipeline.replay.chain_views import ChainView
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.files import migrate_all, open_clash, open_market
from clash_pipeline.storage.sqlite import Database
from clash_pipeline.units import USD
from tests.fakes import market_rows
from tests.fakes.answers import answer, wave
from tests.fakes.chained import WalletSigner
from tests.fakes.market_days import fill_any
from tests.fakes.spending import MODEL, answered, wanting
from tests.fakes.steady_venue import SteadyVenue
from tests.fakes.till import TICKET, Till
from tests.fakes.world import RISING, World

START = 1_753_100_000_000
STEP_MS = 25 * MINUTE_MS
TRADER, STOPPED, MARKED = 1, 2, 3
"""Accounts that trade, are stopped out, are marked; each belongs to the clone of its number."""
RUNS = 1_000_000
"""Runs of submissions that nobody decided: above the ids of those that were."""
OWNERS = ("trader", "stopped", "marked", "granted", "shown", "published", "decider", "spender", "ended")
CLONE = {name: number for number, name in enumerate(OWNERS, start=1)}
TABLE = "polymarket_quotes"
ADMIN = "operator"
CHAINS = 40_000
"""Every act that pays has a chain with an id of its own."""


@dataclass(frozen=True)
class Stage:
    """The parts that acts work with."""

    settings: Settings
    clash: Database
    market: Database

    def world(self, now_ms: int) -> World:
        """The same as the stages of decisions ask for it."""
        store = FileStore(self.settings.file_store)
        return World(self.settings, SettableClock(now_ms), self.clash, self.market, store)


@dataclass(frozen=True)
class Act:
    """One kind of effect. `is_forever` says that its number may be repeated at any later time."""

    name: str
    do: Callable[[Stage, int], object]
    counts: str
    is_forever: bool = False


def time_of(number: int) -> int:
    """When an act happens."""
    return START + number * STEP_MS


@contextmanager
def stage_of(home: Path) -> Iterator[Stage]:
    """The stage of a home, opened in this process."""
    settings = load({**MODEL, "CLASH_HOME": str(home), "CLASH_DISK_FLOOR_MIB": "0", "CLASH_DISK_RESERVE_MIB": "0"})
    made = Stage(settings, open_clash(settings), open_market(settings))
    try:
        yield made
    finally:
        made.clash.close()
        made.market.close()


def build(home: Path) -> None:
    """A home in which every act can be done, closed."""
    migrate_all(load({"CLASH_HOME": str(home)}))
    with stage_of(home) as stage:
        for symbol in ("BTC", "ETH"):
            market_rows.list_asset(stage.market, symbol, sz_decimals=3, max_leverage=40)
        world = stage.world(START - MINUTE_MS)
        for name in OWNERS:
            clone_id, _ = world.clone("BTC", name=name)
            assert clone_id == CLONE[name]


# what is done


def trade(stage: Stage, number: int) -> object:
    """A position that turns round: opened, then flipped by two orders each time."""
    side = "open_long" if number % 2 else "open_short"
    asked = [Proposal("BTC", side, "2", 2), Proposal("ETH", side, "1", 1)][: 1 + number % 3 // 2]
    return submit(stage, TRADER, number, asked, SteadyVenue("100"))


def trade_again(stage: Stage, number: int) -> object:
    """For the control: the same, by a caller who has forgotten the key."""
    asked = [Proposal("BTC", "open_long", "1", 2)]
    now_ms = time_of(number)
    return intake.submit(stage.clash, TRADER, 2 * RUNS + number, asked, SteadyVenue("100"), now_ms=now_ms)


def submit(stage: Stage, account_id: int, number: int, asked: Sequence[Proposal], venue: SteadyVenue) -> object:
    return intake.submit(stage.clash, account_id, RUNS + number, asked, venue, now_ms=time_of(number))


def stop(stage: Stage, number: int) -> object:
    """A position that a mark of the next minute stops out."""
    submit(stage, STOPPED, number, [Proposal("BTC", "open_long", "0.1", 1, "5")], SteadyVenue("100"))
    return mark_all(stage.clash, SteadyVenue("93"), [STOPPED], time_of(number) + MINUTE_MS)


def mark(stage: Stage, number: int) -> object:
    """A small position and a mark."""
    submit(stage, MARKED, number, [Proposal("BTC", "open_long", "0.02", 1)], SteadyVenue("100"))
    tick = mark_all(stage.clash, SteadyVenue("101"), [MARKED], time_of(number))
    assert not tick.left, tick.left
    return tick


def complete(stage: Stage, number: int) -> object:
    """An account of its own that trades and is ended."""
    account_id = season(stage, number, "race")
    submit(stage, account_id, number, [Proposal("BTC", "open_long", "10", 2)], SteadyVenue("100"))
    return admin.complete(
        stage.clash, SteadyVenue("102"), account_id, actor=ADMIN, reason=f"act {number}", now_ms=time_of(number)
    )


def liquidate(stage: Stage, number: int) -> object:
    """An account of its own that loses more than it may."""
    account_id = season(stage, number, "audition")
    submit(stage, account_id, number, [Proposal("BTC", "open_long", "90", 2)], SteadyVenue("100"))
    return mark_all(stage.clash, SteadyVenue("80"), [account_id], time_of(number) + MINUTE_MS)


def season(stage: Stage, number: int, kind: str) -> int:
    """The account of a number: opened, or found."""
    terms = msgspec.structs.replace(policy.sandbox(stage.settings), max_position_pct=100)
    with stage.clash.write() as connection:
        found = connection.execute(
            "SELECT id FROM prop_accounts WHERE kind = ? AND parent_id = ?", (kind, number)
        ).fetchone()
        return found["id"] if found else accounts.open_account(
            connection, CLONE["ended"], kind, terms, start_balance=100_000 * USD, now_ms=time_of(number) - 1,  # type: ignore[arg-type]
            actor=ADMIN, parent_id=number,
        )  # fmt: skip


def halt(stage: Stage, number: int) -> object:
    """A kill switch thrown and taken back; one that a kill left thrown is thrown already."""
    times = {"actor": ADMIN, "now_ms": time_of(number), "account_id": 4}
    admin.halt(stage.clash, reason=f"act {number}", **times)  # type: ignore[arg-type]
    return admin.release(stage.clash, reason="over", **times)  # type: ignore[arg-type]


def grant(stage: Stage, number: int) -> object:
    """What an operator gives."""
    with stage.clash.write() as connection:
        return entitlements.grant(
            connection, CLONE["granted"], "pro", 2, source="debug", ref=f"{number}", now_ms=time_of(number)
        )


def buy(stage: Stage, number: int) -> object:
    """Tickets of a race of its own: quoted, paid, granted, and the race settled."""
    till = Till(stage.clash)
    field = [CLONE[name] for name in OWNERS[:4]]
    with stage.clash.write() as connection:
        pools.open_pool(
            connection, number, [PoolClone(clone_id, None) for clone_id in field], price_wei=TICKET,
            opens_at=0, closes_at=2**60, hidden_from=2**60, now_ms=time_of(number),
        )  # fmt: skip
    wanted = Wanted(till.person(1), "ticket", field[0], race_id=number, count=2)
    paid_for(till, 2 * number, wanted)
    return till.settle(field, race_id=number)


def refund(stage: Stage, number: int) -> object:
    """A deposit that is a wei short: owed, authorised, taken."""
    till = Till(stage.clash)
    user = till.person(1)
    with stage.clash.write() as connection:
        clone_id = connection.execute("SELECT id FROM clones WHERE owner = ?", (f"user:{user}",)).fetchone()
    own = clone_id["id"] if clone_id else till.clone("Paid back", user)
    made = paid_for(till, 2 * number + 1, Wanted(user, "audition", own), short=1)
    with stage.clash.write() as connection:
        owed = connection.execute("SELECT id FROM payables WHERE purchase_id = ?", (made.purchase_id,)).fetchone()
        payables.authorise(connection, owed["id"], actor=ADMIN, now_ms=time_of(number))
        return payables.claim(connection, owed["id"], reason="withdrawn", now_ms=time_of(number))


def paid_for(till: Till, nonce: int, wanted: Wanted, *, short: int = 0) -> Recorded:
    """The purchase of a nonce: quoted, or found, and its one deposit."""
    with till.clash.write() as connection:
        asked = purchases.of_nonce(connection, nonce)
        if asked is None:
            till.nonces = count(nonce)
            asked = till.quote_in(connection, wanted)
    till.numbers = count(nonce)
    return till.record(till.deposit(asked, amount_wei=asked.amount_wei - short))


def hold(stage: Stage, number: int) -> object:
    """What a race places on a clone."""
    with stage.clash.write() as connection:
        return holds.place(connection, CLONE["granted"], "race", f"{number}", now_ms=time_of(number))


def show(stage: Stage, number: int) -> object:
    """A public profile that replaces the one before; the next act takes it down by a report."""
    clone_id, now = CLONE["shown"], time_of(number)
    with stage.clash.write() as connection:
        made = public_profiles.submit(connection, clone_id, f"Shown {number}", actor="ada", now_ms=now)
    with stage.clash.write() as connection:
        return moderation.approve(connection, made.id, actor=ADMIN, now_ms=now)


def moderate(stage: Stage, number: int) -> object:
    """A report that is upheld, a retirement that ends; one that a kill left open is ended first."""
    clone_id, now = CLONE["shown"], time_of(number)
    with stage.clash.write() as connection:
        moderation.reinstate(connection, clone_id, actor=ADMIN, now_ms=now)
    show(stage, number)
    with stage.clash.write() as connection:
        made = reports.report(connection, clone_id, category="offensive", text="", reporter=f"m{number}", now_ms=now)
    with stage.clash.write() as connection:
        reports.uphold(connection, made.id, actor=ADMIN, reason="it is", now_ms=now)
    with stage.clash.write() as connection:
        moderation.retire(connection, clone_id, actor=ADMIN, reason=f"act {number}", now_ms=now)
    with stage.clash.write() as connection:
        return moderation.reinstate(connection, clone_id, actor=ADMIN, now_ms=now)


def create(stage: Stage, number: int) -> object:
    """A clone with version and account in one transaction."""
    try:
        return clone_desk.create(stage.world(time_of(number)), f"Made {number}", simple_graph(("BTC",)).wire())
    except NameTaken:
        return None


def publish(stage: Stage, number: int) -> object:
    """A version of its own, known by its cadence."""
    world = stage.world(time_of(number))
    clone_id, graph = CLONE["published"], simple_graph(("BTC",), cadence_sec=cadence_of(number))
    clone_desk.save_draft(world, clone_id, graph.wire())
    return clone_desk.publish(world, clone_id)


def cadence_of(number: int) -> int:
    """Every act another one, all of them allowed, none of them the first version's."""
    return 60 * (6 + number % 1_400)


def decide(stage: Stage, number: int) -> object:
    """A forced run from packet to fill."""
    now = time_of(number)
    world = stage.world(now)
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    choose = answer("open_long" if number % 2 else "open_short", "5")
    return wave(world, choose, clone_id=CLONE["decider"], force=True)


def spend(stage: Stage, number: int) -> object:
    """A model's call that is reserved and settled."""
    world = stage.world(time_of(number))
    clone_id = CLONE["spender"]
    (item,) = budgets.reserve(world, wanting(stage.clash, clone_id, clone_id, [number]))
    return budgets.settle(world, [answered(item, 100, 10, at=time_of(number))])


def archive(stage: Stage, number: int) -> object:
    """A day of rows that is archived and pruned."""
    day = day_of_act(number)
    fill_any(stage.market, TABLE, day, rows=20, seed=number)
    return retention.run(stage.market, FileStore(stage.settings.file_store), stage.settings, day + 9 * DAY_MS)


def restore(stage: Stage, number: int) -> object:
    """The same day brought back."""
    archive(stage, number)
    day, store = day_of_act(number), FileStore(stage.settings.file_store)
    return partitions.restore_day(stage.market, store, TABLE, day, day + 9 * DAY_MS)


def day_of_act(number: int) -> int:
    """Each act a day of its own, later than those before."""
    return START - START % DAY_MS + number * DAY_MS


def repay(stage: Stage, number: int) -> object:
    """A chain of its own: a stray deposit that is seen, authorised and taken, another that the chain loses."""
    parts, chain = chain_of(stage, number)
    payer, loser = (f"0x{2 * number + party:040x}" for party in (10**6, 10**6 + 1))
    resolver, now = parts.chain.vault.resolver, time_of(number)
    chain.deposit(payer, resolver, number, 10**18)
    chain.mine(3)
    if not _is_gone(stage, loser):  # what a chain has lost it does not find again
        chain.deposit(loser, resolver, number, 10**17)
    chain.mine(5)
    watcher.step(parts, now)
    with stage.clash.read() as connection:
        paid = connection.execute("SELECT id FROM payables WHERE recipient = ?", (payer,)).fetchone()["id"]
    with suppress(EconomyConflict):
        given = authorise(parts, WalletSigner(), Limits(10**24, 10**24, DAY_MS), paid, actor=ADMIN, now_ms=now)
    with stage.clash.read() as connection:
        given = of_payable(connection, parts.chain.vault, paid) or given
    chain.withdraw(resolver, given.allowed, bytes.fromhex(given.signature[2:]))
    chain.mine(5)
    watcher.step(parts, now + MINUTE_MS)
    reconcile(stage.clash, parts, "full", now + MINUTE_MS)
    chain.reorganise(10, lambda tx: tx.sender != loser)
    chain.mine(2)
    watcher.step(parts, now + 2 * MINUTE_MS)
    return watcher.step(parts, now + 2 * HOUR_MS)


def _is_gone(stage: Stage, depositor: str) -> bool:
    """Whether a life before this one saw the chain lose the deposit."""
    with stage.clash.read() as connection:
        found = connection.execute(
            "SELECT 1 FROM frozen_deposits f JOIN chain_deposits d ON d.id = f.deposit_id WHERE d.depositor = ?",
            (depositor,),
        )
        return found.fetchone() is not None


def chain_of(stage: Stage, number: int) -> tuple[Parts, Chain]:
    """The chain of a number, always the same, with a third endpoint that belongs to another."""
    chain = Chain(ModelVault(), SettableClock(START), seed=number, chain_id=CHAINS + number)
    views = [ChainView(chain, f"{name}{number}") for name in "abc"]
    views[2].lies = {"chain id"}
    watched = Watched(model_vault(chain.chain_id, WalletSigner().address), tuple(Endpoint(view) for view in views))
    return Parts(stage.clash, FileStore(stage.settings.file_store), watched), chain


def migrate(stage: Stage, number: int) -> object:
    """A home of its own, from nothing."""
    return migrate_all(replace_home(stage, number))


def replace_home(stage: Stage, number: int) -> Settings:
    """The settings of the home that `migrate` makes."""
    return load({"CLASH_HOME": str(stage.settings.home / f"made-{number}")})


ACTS = (
    Act("trade", trade,
        f"SELECT run_id - {RUNS} AS number, sum(action_index = 0) AS effects FROM prop_decision_actions "
        "WHERE account_id = 1 GROUP BY 1", is_forever=True),
    Act("stop", stop,
        f"SELECT (created_at - {START}) / {STEP_MS} AS number, count(*) AS effects FROM prop_orders "
        "WHERE account_id = 2 AND origin = 'stop' GROUP BY created_at", is_forever=True),
    Act("mark", mark,
        f"SELECT (t - {minute_of(START)} + {MINUTE_MS}) / {STEP_MS} AS number, count(*) AS effects FROM prop_snapshots "
        "WHERE account_id = 3 GROUP BY t"),
    Act("complete", complete,
        "SELECT a.parent_id AS number, count(r.account_id) AS effects FROM prop_accounts a LEFT JOIN prop_results r "
        "ON r.account_id = a.id WHERE a.kind = 'race' GROUP BY a.parent_id", is_forever=True),
    Act("liquidate", liquidate,
        "SELECT a.parent_id AS number, count(r.account_id) AS effects FROM prop_accounts a LEFT JOIN prop_results r "
        "ON r.account_id = a.id AND r.state = 'liquidated' WHERE a.kind = 'audition' GROUP BY a.parent_id"),
    Act("halt", halt,
        "SELECT CAST(substr(reason, 5) AS INTEGER) AS number, count(*) AS effects FROM prop_admin_acts "
        "WHERE act = 'halt' GROUP BY reason"),
    Act("grant", grant,
        "SELECT CAST(ref AS INTEGER) AS number, count(*) AS effects FROM clone_entitlements WHERE source = 'debug' "
        "GROUP BY ref", is_forever=True),
    Act("buy", buy,
        "SELECT s.race_id AS number, count(o.id) / 2 AS effects FROM settlements s LEFT JOIN payables o "
        "ON o.race_id = s.race_id GROUP BY s.race_id", is_forever=True),
    Act("refund", refund,
        "SELECT (CAST(p.nonce AS INTEGER) - 1) / 2 AS number, count(o.id) AS effects FROM purchases p LEFT JOIN "
        "payables o ON o.purchase_id = p.id AND o.state = 'claimed' WHERE p.purpose = 'audition' GROUP BY p.nonce",
        is_forever=True),
    Act("hold", hold,
        "SELECT CAST(ref AS INTEGER) AS number, count(*) AS effects FROM clone_holds GROUP BY ref", is_forever=True),
    Act("moderate", moderate,
        "SELECT CAST(substr(reason, 5) AS INTEGER) AS number, count(*) AS effects FROM clone_retirements "
        "GROUP BY reason"),
    Act("create", create,
        "SELECT CAST(substr(name, 6) AS INTEGER) AS number, count(*) AS effects FROM clones WHERE name LIKE 'Made %' "
        "GROUP BY name", is_forever=True),
    Act("publish", publish,
        f"SELECT (published_at - {START}) / {STEP_MS} AS number, count(*) AS effects FROM clone_versions "
        "WHERE clone_id = 6 AND number > 1 GROUP BY published_at"),
    Act("decide", decide,
        f"SELECT (tick - {START}) / {STEP_MS} AS number, sum(state = 'completed') AS effects FROM decision_runs "
        "WHERE clone_id = 7 GROUP BY tick"),
    Act("spend", spend,
        "SELECT r.tick AS number, sum(c.state = 'settled') AS effects FROM decision_runs r JOIN model_calls c "
        "ON c.run_id = r.id WHERE r.clone_id = 8 GROUP BY r.tick"),
    Act("archive", archive, ""),
    Act("restore", restore, ""),
    Act("repay", repay,
        f"SELECT chain_id - {CHAINS} AS number, count(*) AS effects FROM chain_withdrawals GROUP BY chain_id",
        is_forever=True),
    Act("migrate", migrate, ""),
)  # fmt: skip
DAYS = {
    "archive": "SELECT day FROM archived_partitions WHERE pruned_at IS NOT NULL",
    "restore": "SELECT day FROM archived_partitions WHERE restored_at IS NOT NULL",
}
BY_NAME = {act.name: act for act in ACTS}


def counts(stage: Stage, act: Act, numbers: Sequence[int]) -> dict[int, int]:
    """How many effects each number had."""
    if act.name in DAYS:
        with stage.market.read() as connection:
            days = {row["day"] for row in connection.execute(DAYS[act.name])}
        return {number: int(day_of_act(number) in days) for number in numbers}
    if act.name == "migrate":
        return {number: int(is_migrated(replace_home(stage, number))) for number in numbers}
    with stage.clash.read() as connection:
        return {row["number"]: row["effects"] for row in connection.execute(act.counts)}


def is_migrated(settings: Settings) -> bool:
    """Whether a home opens, that is: both files are at the newest schema."""
    open_clash(settings).close()
    open_market(settings).close()
    return True


if __name__ == "__main__":
    build(Path(sys.argv[1]))
