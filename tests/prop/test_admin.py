"""What an operator may do: legal moves, kept with actor and reason, once however often it is asked (04 Admin)."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from clash_pipeline.cli import prop as command
from clash_pipeline.clock import HOUR_MS, hour_of
from clash_pipeline.prop import accounts, admin, results
from clash_pipeline.prop.accounts import AccountUnknown, StateConflict
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.marks import mark
from clash_pipeline.storage.sqlite import IntegrityError
from tests.fakes.desk import Desk

WHO = {"actor": "ann", "reason": "look"}
MOVE = {"pause": admin.pause, "resume": admin.resume, "lock": admin.lock, "unlock": admin.unlock}


def state(desk: Desk) -> str:
    with desk.clash.read() as connection:
        return accounts.get(connection, desk.account_id).state


def done(desk: Desk) -> list[tuple[Any, ...]]:
    with desk.clash.read() as connection:
        return [(one["act"], one["outcome"], one["detail"]) for one in reversed(admin.acts(connection))]


def ended(desk: Desk, act: str) -> results.Result:
    end = {"complete": admin.complete, "liquidate": admin.liquidate}[act]
    return end(desk.clash, desk.venue, desk.account_id, now_ms=desk.clock.now_ms(), **WHO)


@pytest.mark.parametrize(
    ("acts", "left_in"),
    [
        (("pause",), "paused"),
        (("pause", "resume"), "active"),
        (("lock", "resume"), "active"),
        (("lock", "unlock"), "active"),
        (("pause", "lock", "unlock"), "paused"),
        (("lock", "pause"), "paused"),
        (("unlock",), "active"),
        (("pause", "unlock"), "paused"),
    ],
)
def test_every_legal_move(desk: Desk, acts: tuple[str, ...], left_in: str) -> None:
    for act in acts:
        for _ in range(2):
            MOVE[act](desk.clash, desk.account_id, now_ms=7, **WHO)
    assert state(desk) == left_in
    assert [outcome for _, outcome, _ in done(desk)][1::2] == ["unchanged"] * len(acts)
    assert audit(desk.clash).is_clean


@pytest.mark.parametrize("act", ["complete", "liquidate"])
def test_an_ending_closes_at_the_mark_with_cost_and_freezes(desk: Desk, act: str) -> None:
    desk.order("open_long", size_pct="20", leverage=2)
    desk.order("open_long", "PURR/USDC", size_pct="5")
    desk.price("BTC", "101")
    first, again = ended(desk, act), ended(desk, act)
    assert first == again
    assert first.state == {"complete": "completed", "liquidate": "liquidated"}[act]
    assert first.reason == "admin: look"
    closing = desk.view()["fills"][:2]
    assert {fill["origin"] for fill in closing} == {{"complete": "admin", "liquidate": "liquidation"}[act]}
    assert all(float(fill["fee"]) > 0 for fill in closing)
    assert [one[:2] for one in done(desk)] == [(act, "done"), (act, "unchanged")]
    assert audit(desk.clash).is_clean


@pytest.mark.parametrize("act", [*MOVE, "complete", "liquidate"])
def test_an_ended_account_refuses_every_act_and_says_so(desk: Desk, act: str) -> None:
    ended(desk, "liquidate" if act == "complete" else "complete")
    with pytest.raises(StateConflict, match=r"account 1 is (completed|liquidated) and cannot become"):
        MOVE[act](desk.clash, 1, now_ms=7, **WHO) if act in MOVE else ended(desk, act)
    assert done(desk)[-1][:2] == (act, "refused")
    assert audit(desk.clash).is_clean


def test_an_account_whose_window_is_over_is_ended_by_its_fixing(desk: Desk) -> None:
    ends_at = hour_of(desk.clock.now_ms()) + HOUR_MS
    desk.open(kind="race", ends_at=ends_at)
    desk.clock.set(ends_at)
    with pytest.raises(StateConflict, match="its fixing ends it"):
        ended(desk, "complete")
    assert done(desk) == [("complete", "refused", f"the window of account 2 ended at {ends_at}; its fixing ends it")]


def test_an_ending_before_the_end_of_the_window_is_of_now(desk: Desk) -> None:
    desk.open(kind="race", ends_at=desk.clock.now_ms() + HOUR_MS)
    desk.order("open_long")
    mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms())
    assert ended(desk, "complete").ended_at == desk.clock.now_ms()
    assert audit(desk.clash).is_clean


def test_switches_are_thrown_and_taken_back_once(desk: Desk) -> None:
    for account_id in (None, 1):
        halt = {"account_id": account_id, "now_ms": 7}
        assert [admin.halt(desk.clash, **halt, **WHO) for _ in range(2)] == [True, False]
    assert desk.order("open_long").reject_code == "trading_halted"
    assert admin.release(desk.clash, now_ms=8, **WHO)
    assert desk.order("open_long").reject_code == "trading_halted", "its own switch is still thrown"
    assert [admin.release(desk.clash, now_ms=8, account_id=1, **WHO) for _ in range(2)] == [True, False]
    assert desk.order("open_long").status == "filled"
    assert [one[1] for one in done(desk)] == ["done", "unchanged", "done", "unchanged", "done", "done", "unchanged"]


def test_who_is_not_there_and_acts_without_a_reason(desk: Desk) -> None:
    with pytest.raises(AccountUnknown, match="there is no prop account 9"):
        admin.pause(desk.clash, 9, now_ms=7, **WHO)
    with pytest.raises(AccountUnknown, match="there is no prop account 9"):
        admin.release(desk.clash, now_ms=7, account_id=9, **WHO)
    with pytest.raises(ValueError, match="halt needs an actor and a reason"):
        admin.halt(desk.clash, actor="ann", reason=" ", now_ms=7)
    assert done(desk) == []


def test_acts_are_append_only(desk: Desk) -> None:
    admin.halt(desk.clash, now_ms=7, **WHO)
    for statement in ("UPDATE prop_admin_acts SET actor = 'bob'", "DELETE FROM prop_admin_acts"):
        with pytest.raises(IntegrityError, match="append-only"), desk.clash.write() as connection:
            connection.execute(statement)


def test_the_commands(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each act from the command line, its refusal in one line, the result and the acts as tables and as JSON."""
    monkeypatch.setenv("CLASH_HOME", str(desk.settings.home))

    def run(*words: str, code: int = 0) -> str:
        answer = CliRunner().invoke(command.app, list(words))
        assert answer.exit_code == code, answer.output
        return answer.output

    assert run("pause", "1", "--reason", "look", "--actor", "ann") == "account 1 is paused\n"
    assert run("lock", "1", "--reason", "look") == "account 1 is locked\n"
    assert run("unlock", "1", "--reason", "look") == "account 1 is paused\n"
    assert "account 1 is paused and has no result yet" in run("result", "1", code=2)
    assert run("complete", "1", "--reason", "enough") == "account 1 is completed with 100000 USD\n"
    assert "account 1 is completed and cannot become active" in run("resume", "1", "--reason", "x", code=2)
    assert json.loads(run("result", "1", "--json"))["final_equity"] == 100_000 * 10**8
    assert "completed: admin: enough" in run("result", "1")
    assert json.loads(run("acts", "--json"))[-1]["actor"] == "ann"
    assert "refused" in run("acts")
    assert run("thin") == "0 days archived, 0 minute snapshots thinned\n"
    assert run("mark", "1") == "account 1: has ended\n"
