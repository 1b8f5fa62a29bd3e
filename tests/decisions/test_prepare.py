"""Prepare: one look an account, few transactions, trouble kept to its runs, claims kept alive, one as_of a tick."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from clash_pipeline.archive.stores import MemoryStore, Put, StoreRefused
from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.clones import clones
from clash_pipeline.decisions import artifacts, branches, claims, looking, packet, prepare, prompt, waves
from clash_pipeline.decisions.runs import Claim, Due
from clash_pipeline.market import retrieval
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.storage.sqlite import one
from tests.fakes import market_rows
from tests.fakes.world import RISING, World


def rows(world: World) -> dict[tuple[int, str], Any]:
    with world.clash.read() as connection:
        found = connection.execute("SELECT * FROM decision_runs ORDER BY id").fetchall()
    return {(row["clone_id"], row["symbol"]): row for row in found}


def traded(world: World, clones_of: int, *symbols: str) -> list[Due]:
    """So many hold clones that trade these symbols, all forced now."""
    for symbol in symbols:
        world.minute(symbol, "100", hist=0.5, hist_before=0.3, **RISING)
    made = [world.clone(*symbols, engine="hold", name=f"Clone {number}")[0] for number in range(clones_of)]
    return [due for clone_id in made for due in waves.due(world, clone_id=clone_id, force=True)]


def test_packet_and_prompt_are_stored_and_belong_together(world: World) -> None:
    (item,), _ = waves.prepare(world, traded(world, 1, "BTC"), worker="w")
    with world.clash.read() as connection:
        stored = waves.runs.artifacts_of(connection, item.claim.run_id)
    assert set(stored) == {"packet", "prompt"}
    made = packet.decode(artifacts.get(world.store, stored["packet"]))
    told = prompt.decode(artifacts.get(world.store, stored["prompt"]))
    assert told == prompt.assemble(made)
    assert told.packet_hash == item.packet.sha256
    assert told.estimated_tokens == made.budget.estimated_tokens["total"]
    assert all(one.key.startswith(made.artifact_prefix + "/") for one in stored.values())


class Counted:
    """Counts calls by name, and what they were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        for owner, name in (
            (PaperVenue, "quotes"), (retrieval, "retrieve_branches"), (looking.intake, "look"), (clones, "version"),
        ):  # fmt: skip
            self._count(monkeypatch, owner, name)

    def _count(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)


def test_a_wave_looks_once_at_each_account_and_once_at_the_market(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five accounts with two assets: five looks, one pass for all quotes, one for all branches."""
    due = traded(world, 5, "BTC", "ETH")
    counted = Counted(monkeypatch)
    prepared, _ = waves.prepare(world, due, worker="w")
    assert len(prepared) == 10
    assert counted.calls == {"look": 5, "version": 5, "quotes": 1, "retrieve_branches": 1}


def test_a_wave_needs_two_transactions_a_group(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One to claim everything, one for what became of a group of whole accounts."""
    due = traded(world, 6, "BTC", "ETH")
    monkeypatch.setattr(prepare, "RUNS_AT_ONCE", 4)
    writes = 0
    real = world.clash.write

    @contextmanager
    def counting() -> Iterator[Any]:
        nonlocal writes
        writes += 1
        with real() as connection:
            yield connection

    monkeypatch.setattr(world.clash, "write", counting)
    prepared, _ = waves.prepare(world, due, worker="w")
    assert (len(prepared), writes) == (12, 1 + 3)


def test_groups_are_whole_accounts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "RUNS_AT_ONCE", 3)
    held = [Claim(n, 1, n // 2, 1, 1, "b", str(n), 0, "due", 300, "hold") for n in range(10)]
    found = list(prepare._groups(held))
    assert [[claim.run_id for claim in group] for _, group in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [start for start, _ in found] == [0, 4, 8]


def test_a_packet_is_the_same_alone_and_in_a_wave(world: World) -> None:
    """Sharing reads between the packets of a group changes no byte."""
    due = traded(world, 3, "BTC", "ETH")
    prepared, _ = waves.prepare(world, due, worker="w")
    with world.clash.read() as connection, world.market.read() as market:
        for item in prepared:
            made = packet.decode(artifacts.get(world.store, item.packet))
            version = clones.version(connection, item.claim.version_id)
            plans = {asset.symbol: asset.plan for asset in version.compiled.branches[0].assets}
            found = retrieval.retrieve(market, [plans[item.claim.symbol]], made.identity.as_of)
            seen = looking.look(connection, item.claim.account_id, item.claim.clone_id, made.identity.as_of)
            run = branches.Run(
                item.claim, seen.clone, version, version.compiled.branches[0],
                next(a for a in version.compiled.branches[0].assets if a.symbol == item.claim.symbol), (),
            )  # fmt: skip
            quotes = looking.quotes(world, plans, made.identity.as_of)
            alone = packet.assemble(run, found[item.claim.symbol], looking.facts(seen, quotes, made.identity.as_of))
            assert (alone.own, alone.polymarket, alone.account) == (made.own, made.polymarket, made.account)


# trouble stays where it is (09 W5)


def test_a_broken_quote_is_the_trouble_of_its_asset_alone(world: World) -> None:
    due = traded(world, 2, "BTC", "ETH")
    market_rows.mid(world.market, "ETH", "no price", world.clock.now_ms())
    prepared, ended = waves.prepare(world, due, worker="w")
    assert {item.claim.symbol for item in prepared} == {"BTC"}
    assert {(run.symbol, run.state, run.reason) for run in ended} == {("ETH", "skipped", "quote_unreadable")}


def broken_market(world: World, symbol: str) -> None:
    """A stored choice of a market whose outcomes are no JSON."""
    with world.market.write() as connection:
        connection.execute(
            """
            INSERT INTO polymarket_immediate_markets VALUES (?, ?, 'm1', 'Up?', 'no json', '[]', 0, 1.0, ?)
            """,
            (symbol, world.clock.now_ms() - world.clock.now_ms() % MINUTE_MS, world.clock.now_ms()),
        )


def test_a_run_in_trouble_is_put_back_and_the_others_go_on(world: World) -> None:
    due = traded(world, 2, "BTC", "ETH")
    broken_market(world, "ETH")
    prepared, ended = waves.prepare(world, due, worker="w")
    assert ({item.claim.symbol for item in prepared}, ended) == ({"BTC"}, [])
    row = rows(world)[1, "ETH"]
    assert (row["state"], row["reason"], row["attempts"]) == ("queued", "packet_unusable (JSONDecodeError)", 1)
    assert 0 < row["claimed_until"] - world.clock.now_ms() <= claims.FIRST_BACK_OFF_MS


def test_a_run_that_stays_in_trouble_is_parked_after_five_attempts_with_its_reason(world: World) -> None:
    """Nobody else misses a tick meanwhile."""
    world.minute("BTC", "100", **RISING)
    world.minute("ETH", "100", **RISING)
    clone_id, _ = world.clone("BTC", "ETH", engine="hold", cadence_sec=3_600)
    due = waves.due(world, clone_id=clone_id, force=True)
    broken_market(world, "ETH")
    ended = []
    for _ in range(5):
        _, more = waves.prepare(world, due, worker="w")
        ended += more
        due = [run for run in due if run.symbol == "ETH"]
        world.clock.advance(claims.LONGEST_BACK_OFF_MS)
        world.minute("ETH", "100", **RISING)
    assert [(run.symbol, run.state, run.reason) for run in ended] == [
        ("ETH", "failed", "gave_up_after_5_attempts: packet_unusable (JSONDecodeError)")
    ]
    assert rows(world)[clone_id, "ETH"]["effective"] == "hold"


@pytest.mark.parametrize(
    ("owner", "name", "reason"),
    [
        (clones, "version", "version_unreadable (ValueError)"),
        (looking.intake, "look", "account_unreadable (ValueError)"),
        (looking, "facts", "branch_unusable (ValueError)"),
    ],
)
def test_a_poisoned_clone_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, reason: str
) -> None:
    """Of three clones the second is broken, in one place after the other."""
    due = traded(world, 3, "BTC")
    real, calls = getattr(owner, name), iter(range(100))

    def poisoned(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == 1:
            raise ValueError("a private text")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, poisoned)
    prepared, ended = waves.prepare(world, due, worker="w")
    assert (len(prepared), ended) == (2, [])
    assert sorted(row["reason"] for row in rows(world).values()) == sorted(["prepared", "prepared", reason])


def test_control_without_isolation_one_poisoned_clone_stops_the_wave(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = traded(world, 3, "BTC")
    monkeypatch.setattr(branches, "attempted", lambda code, work, subject: work())
    monkeypatch.setattr(looking, "facts", lambda *_: (_ for _ in ()).throw(ValueError("broken")))
    with pytest.raises(ValueError, match="broken"):
        waves.prepare(world, due, worker="w")


class Refusing(MemoryStore):
    """A store that refuses what belongs to one run."""

    def put(self, key: str, body: bytes, *, if_absent: bool = True) -> Put:
        if "/run-2/" in key:
            raise StoreRefused("no room for this one")
        return super().put(key, body, if_absent=if_absent)


def test_a_packet_that_the_store_refuses_is_the_trouble_of_its_run_alone(world: World) -> None:
    world.store = Refusing()
    prepared, ended = waves.prepare(world, traded(world, 3, "BTC"), worker="w")
    assert (len(prepared), ended) == (2, [])
    assert [row["reason"] for row in rows(world).values()] == [
        "prepared",
        "packet_not_stored (StoreRefused)",
        "prepared",
    ]


# claims of a long wave


class Slow(MemoryStore):
    """A store that takes half a minute for each object, and may do something meanwhile."""

    def __init__(self, world: World, meanwhile: Any = lambda: None) -> None:
        super().__init__()
        self.world, self.meanwhile = world, meanwhile

    def put(self, key: str, body: bytes, *, if_absent: bool = True) -> Put:
        self.world.clock.advance(15_000)
        self.meanwhile()
        return super().put(key, body, if_absent=if_absent)


def test_a_long_wave_keeps_its_claims(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five accounts, half a minute each, against claims of a minute: another worker finds nothing to take."""
    monkeypatch.setattr(prepare, "RUNS_AT_ONCE", 1)
    due = traded(world, 5, "BTC")
    taken: list[Claim] = []

    def other_worker() -> None:
        with world.clash.write() as connection:
            now_ms = world.clock.now_ms()
            taken.extend(
                claims.claim_all(connection, due, worker="b", now_ms=now_ms, ttl_ms=60_000, dagster_run_id=None)
            )

    world.store = Slow(world, other_worker)
    prepared, _ = waves.prepare(world, due, worker="a")
    assert (len(prepared), taken) == (5, [])
    assert all(row["claimed_until"] > world.clock.now_ms() + 40_000 for row in rows(world).values())


def test_control_without_renewal_a_long_wave_loses_its_claims(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "RUNS_AT_ONCE", 1)
    monkeypatch.setattr(prepare._Wave, "keep", lambda self, held: None)
    due = traded(world, 5, "BTC")
    world.store = Slow(world)
    waves.prepare(world, due, worker="a")
    assert any(row["claimed_until"] < world.clock.now_ms() for row in rows(world).values())


def test_runs_that_passed_on_during_the_wave_are_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker took the last run over: this wave neither prepares nor ends it."""
    monkeypatch.setattr(prepare, "RUNS_AT_ONCE", 1)
    due = traded(world, 4, "BTC")

    def taken_over() -> None:
        with world.clash.write() as connection:
            connection.execute("UPDATE decision_runs SET claim_token = 9, claimed_by = 'b' WHERE id = 4")

    world.store = Slow(world, taken_over)
    prepared, ended = waves.prepare(world, due, worker="a")
    assert ([item.claim.run_id for item in prepared], ended) == ([1, 2, 3], [])
    assert rows(world)[4, "BTC"]["claimed_by"] == "b"


# one moment for all (11, 1)


def test_all_who_are_filled_at_one_instant_know_what_was_known_at_the_tick(world: World) -> None:
    """Prepared forty seconds apart, two race accounts read the same; what came after their tick is not in it."""
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    tick = world.clock.now_ms()
    runs = [
        Due(world.race(clone_id), clone_id, 1, "prompt-1", "BTC", tick, "due", 300, "hold", fill_at=tick + MINUTE_MS)
        for clone_id in (world.clone("BTC", engine="hold", name=name)[0] for name in ("Ada", "Bob"))
    ]
    runs[1] = runs[1]._replace(version_id=2)
    (first,), _ = waves.prepare(world, runs[:1], worker="w")
    world.clock.advance(40_000)
    world.minute("BTC", "200", hist=9.0, hist_before=0.5, **RISING)
    (second,), _ = waves.prepare(world, runs[1:], worker="w")
    one_packet, other = (packet.decode(artifacts.get(world.store, item.packet)) for item in (first, second))
    assert one_packet.identity.as_of == other.identity.as_of == tick
    assert (one_packet.own, one_packet.asset) == (other.own, other.asset)
    assert one_packet.newest_datum_at is not None
    assert one_packet.newest_datum_at <= tick


def test_a_sandbox_knows_what_is_known_now() -> None:
    claim = Claim(1, 1, 1, 1, 1, "b", "BTC", 1_000, "due", 300, "hold")
    assert branches.as_of(claim, 5_000) == 5_000


def test_a_large_wave_is_prepared_whole(world: World) -> None:
    """Sixty accounts in several groups; every run has one packet of its own."""
    due = traded(world, 60, "BTC", "ETH")
    random.Random(5).shuffle(due)
    prepared, ended = waves.prepare(world, due, worker="w")
    assert (len(prepared), ended) == (120, [])
    assert len({item.packet.sha256 for item in prepared}) == 120
    with world.clash.read() as connection:
        assert one(connection, "SELECT count(*) FROM decision_artifacts") == 240
