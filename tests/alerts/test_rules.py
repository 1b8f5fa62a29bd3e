"""Every alert fires, names value and limit, and is silent one step before its limit (09 G3)."""

import ast
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.alerts import rules
from clash_pipeline.alerts.alert import Finding
from clash_pipeline.alerts.rules import Rule
from clash_pipeline.arena import incidents
from clash_pipeline.clock import SettableClock, iso
from clash_pipeline.economy import incidents as economy_incidents
from clash_pipeline.market import ingestion
from clash_pipeline.settings import Settings
from clash_pipeline.storage import heartbeats
from clash_pipeline.storage.sqlite import Database
from tests.alerts.conftest import cycle
from tests.fakes.circuit import Circuit
from tests.fakes.world import World


def found(world: Any, name: str) -> list[Finding]:
    (rule,) = [rule for rule in rules.RULES if rule.name == name]
    return list(rule.find(world))


def runs(world: World, count: int, state: str = "completed", reason: str = "hold", engine: str = "rules") -> None:
    """Decisions that ended just now."""
    with world.clash.write() as connection:
        version = connection.execute("SELECT id FROM clone_versions WHERE clone_id = 1").fetchone()[0]
        first = connection.execute("SELECT count(*) FROM decision_runs").fetchone()[0]
        connection.executemany(
            """
            INSERT INTO decision_runs
              (account_id, clone_id, version_id, branch, symbol, tick, kind, cadence_sec, engine, state, reason,
               effective, attempts, claimed_by, claim_token, claimed_until, created_at, finished_at)
            VALUES (1, 1, ?, 'p', 'BTC', ?, 'due', 300, ?, ?, ?, 'hold', 1, 'w', 1, 0, 0, ?)
            """,
            [(version, first + number, engine, state, reason, world.clock.now_ms()) for number in range(count)],
        )


def audited(world: World, *differences: tuple[str, str, str], is_full: bool = False) -> None:
    with world.clash.write() as connection:
        connection.execute(
            "INSERT INTO book_audits (is_full, accounts, differences, audited_at, took_ms) VALUES (?, 1, ?, 1, 1)",
            (int(is_full), json.dumps(differences)),
        )


def beat(world: World, *, ago_sec: int, error: str | None = None) -> None:
    heartbeats.beat(
        world.clash, "marks", instance="one", now_ms=world.clock.now_ms() - ago_sec * 1000, expected_interval_sec=10,
        version="1", error=error,
    )  # fmt: skip


def test_nothing_is_found_where_all_is_well(well: World) -> None:
    assert [finding for rule in rules.RULES for finding in rule.find(well)] == []


def test_a_channel_is_stale_one_second_after_its_limit(well: World) -> None:
    well.clock.advance(120_000)
    assert found(well, "stale_channel") == []
    well.clock.advance(1_000)
    assert {finding.subject for finding in found(well, "stale_channel")} == {
        "hyperliquid.candles_1m", "hyperliquid.indicators", "hyperliquid.mids",
    }  # fmt: skip
    (finding,) = [one for one in found(well, "stale_channel") if one.subject == "hyperliquid.mids"]
    assert "121 s" in finding.message
    assert "120 s" in finding.message


def test_a_failed_channel_says_why(well: World) -> None:
    cycle(well, channel="defillama.capital_base", error="HTTP 503")
    (finding,) = found(well, "stale_channel")
    assert finding.subject == "defillama.capital_base"
    assert "HTTP 503" in finding.message


def test_a_source_that_is_silent_as_a_whole_is_one_alert(world: World) -> None:
    assert [finding.subject for finding in found(world, "stale_channel")] == ["hyperliquid", "polymarket", "defillama"]


def test_a_clock_that_is_off(well: World) -> None:
    said = "our clock is 30.0 s behind the venue's, the limit is 2 s"
    at = well.clock.now_ms()
    with well.market.write() as connection:
        ingestion.record(
            connection, "hyperliquid", "clock", ingestion.Cycle(), started_at=at, finished_at=at, error=said
        )
    assert found(well, "clock_skew") == [Finding("machine", "critical", said)]
    assert found(well, "stale_channel") == []


@pytest.mark.parametrize(("ago_sec", "severity"), [(20, None), (21, "warning"), (50, "warning"), (51, "critical")])
def test_a_late_worker(well: World, ago_sec: int, severity: str | None) -> None:
    beat(well, ago_sec=ago_sec)
    assert [finding.severity for finding in found(well, "late_worker")] == ([severity] if severity else [])


def test_a_worker_whose_cycle_failed(well: World) -> None:
    beat(well, ago_sec=1, error="ValueError: no")
    assert found(well, "failing_worker") == [Finding("marks", "warning", "marks failed: ValueError: no")]
    beat(well, ago_sec=0)
    assert found(well, "failing_worker") == []


@pytest.mark.parametrize(("free_mib", "severity"), [(512, None), (511, "warning"), (256, "warning"), (255, "critical")])
def test_a_disk_that_fills(well: World, free_mib: int, severity: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    free: Callable[[Path], int] = lambda folder: free_mib * 2**20  # noqa: E731
    monkeypatch.setattr(rules, "free_bytes", free)
    findings = found(well, "low_disk")
    assert [finding.severity for finding in findings] == ([severity] if severity else [])
    assert all(f"{free_mib} MiB" in finding.message and "256 MiB" in finding.message for finding in findings)


def test_a_budget_that_is_spent(well: World) -> None:
    well.clone("BTC")
    runs(well, 3, "failed", "budget_exhausted: tokens of clone/1 in a day, 20000000")
    (finding,) = found(well, "budget_exhausted")
    assert finding.message == "3 runs in an hour were refused: tokens of clone/1 in a day, 20000000"
    well.clock.advance(3_600_000)
    assert found(well, "budget_exhausted") == []


def test_an_engine_that_fails_too_often(well: World) -> None:
    well.clone("BTC")
    runs(well, 80)
    runs(well, 20, "failed", "timeout")
    runs(well, 50, "failed", "budget_exhausted: x")
    assert found(well, "error_rate") == []
    runs(well, 18, "failed", "timeout", engine="model")  # too few to say anything
    runs(well, 20, "failed", "timeout")
    (finding,) = found(well, "error_rate")
    assert (finding.subject, finding.severity) == ("rules", "critical")
    assert finding.message.startswith("40 of 170 decisions by rules failed in an hour, limit 20 %")


def test_books_that_do_not_close_until_a_full_audit_is_clean(well: World) -> None:
    audited(well, is_full=True)
    audited(well, ("I6", "prop_accounts(1)", "balance is 1, the ledger says 2"))
    audited(well)
    (finding,) = found(well, "audit_difference")
    assert finding.message == "I6 prop_accounts(1): balance is 1, the ledger says 2"
    audited(well, is_full=True)
    assert found(well, "audit_difference") == []


def test_a_race_that_does_not_go_on_until_it_does(
    settings: Settings, clock: SettableClock, clash: Database, market: Database
) -> None:
    circuit = Circuit.of(settings, clock, clash, market)
    circuit.enter(houses=4)
    circuit.advance()
    at, race_id = circuit.now, circuit.race().id
    with clash.write() as connection:
        incidents.raise_one(connection, race_id, "result_missing", "account 3 has no result", now_ms=at)
    (finding,) = found(circuit, "race_stuck")
    assert (finding.subject, finding.severity) == (f"race {race_id} result_missing", "critical")
    assert finding.message == f"race {race_id} does not go on since {iso(at)}: account 3 has no result"
    with clash.write() as connection:
        incidents.clear(connection, race_id, now_ms=at)
    assert found(circuit, "race_stuck") == []


def test_an_incident_of_the_economy_until_somebody_closes_it(well: World) -> None:
    at = well.clock.now_ms()
    with well.clash.write() as connection:
        economy_incidents.raise_incident(connection, "deposit_gone", "0x1:0", "not on the chain any more", now_ms=at)
    (finding,) = found(well, "economy_incident")
    assert (finding.subject, finding.severity) == ("deposit_gone 0x1:0", "critical")
    assert finding.message == f"deposit_gone since {iso(at)}: not on the chain any more"
    with well.clash.write() as connection:
        economy_incidents.close(connection, "deposit_gone", "0x1:0", actor="root", now_ms=at)
    assert found(well, "economy_incident") == []


def untested(rules: Iterable[Rule]) -> set[str]:
    """The rules that no test here makes fire."""
    calls = [node for node in ast.walk(ast.parse(Path(__file__).read_text("utf-8"))) if isinstance(node, ast.Call)]
    asked = {ast.literal_eval(call.args[1]) for call in calls if ast.unparse(call.func) == "found"}
    return {rule.name for rule in rules} - asked


def test_every_rule_has_its_test() -> None:
    assert untested(rules.RULES) == set()


def test_control_a_rule_without_a_test_is_found() -> None:
    assert untested([*rules.RULES, Rule("moon_full", lambda _: [])]) == {"moon_full"}
