"""Auditions: who may submit, what a submission makes, how it is judged, retried and voided, each step once."""

from collections.abc import Callable

import pytest

from clash_pipeline.arena import admin, auditions, product_states, queue
from clash_pipeline.arena.refusals import ArenaConflict, ArenaUnknown, GateClosed
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.clones import clones, entitlements, holds, moderation
from clash_pipeline.clones.refusals import CloneHeld
from clash_pipeline.prop import accounts, results
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.storage.sqlite import IntegrityError, one
from tests.fakes.steady_venue import SteadyVenue
from tests.fakes.troupe import ADMIN, FAILED, PASSED, Troupe


def state_of(troupe: Troupe, clone_id: int) -> str:
    with troupe.clash.read() as connection:
        return product_states.of(connection, clone_id)


def count(troupe: Troupe, statement: str) -> int:
    with troupe.clash.read() as connection:
        return int(one(connection, statement))


# submission


def test_a_submission_is_row_credit_account_and_hold_in_one(troupe: Troupe) -> None:
    clone_id = troupe.clone()
    assert state_of(troupe, clone_id) == "configured"
    made = troupe.submit(clone_id)
    assert (made.state, made.retry_of, made.rules_hash) == ("running", None, made.rules.digest)
    assert (made.starts_at, made.ends_at - made.starts_at) == (troupe.now + 40_000, DAY_MS)  # the next whole minute
    with troupe.clash.read() as connection:
        account = accounts.get(connection, made.account_id or 0)
        assert (account.kind, account.parent_id, account.starts_at, account.ends_at) == (
            "audition", made.id, made.starts_at, made.ends_at,
        )  # fmt: skip
        assert account.policy.drawdown_basis == "trailing"
        assert account.policy.max_drawdown == 4_000_000
        assert [(hold.reason, hold.ref) for hold in holds.of(connection, clone_id)] == [("audition", str(made.id))]
        assert one(connection, "SELECT used_by FROM audition_credits WHERE clone_id = ?", (clone_id,)) == made.id
    assert state_of(troupe, clone_id) == "audition_running"


def test_a_second_submission_is_the_same_audition(troupe: Troupe) -> None:
    clone_id = troupe.clone()
    made = troupe.submit(clone_id)
    troupe.clock.advance(HOUR_MS)
    assert troupe.submit(clone_id) == made
    assert count(troupe, "SELECT count(*) FROM prop_accounts") == 1


def test_a_running_audition_freezes_its_clone(troupe: Troupe) -> None:
    clone_id = troupe.clone()
    troupe.submit(clone_id)
    with pytest.raises(CloneHeld):
        clones.set_trading(troupe.clash, clone_id, True, now_ms=troupe.now)
    with pytest.raises(CloneHeld):
        troupe.publish(clone_id, 900)


def retired(troupe: Troupe) -> int:
    clone_id = troupe.clone()
    with troupe.clash.write() as connection:
        moderation.retire(connection, clone_id, actor=ADMIN, reason="enough", now_ms=troupe.now)
    return clone_id


def debug_granted(troupe: Troupe) -> int:
    clone_id = troupe.clone(is_paid=False)
    with troupe.clash.write() as connection:
        entitlements.grant(connection, clone_id, "pro", 3, source="debug", ref="1", now_ms=troupe.now)
    return clone_id


def used(troupe: Troupe) -> int:
    clone_id = troupe.clone()
    troupe.cut_short(troupe.submit(clone_id))
    troupe.judge(FAILED)
    return clone_id


def unpublished(troupe: Troupe) -> int:
    person = troupe.till.person(1)
    clone_id = troupe.till.clone("Empty", person)
    troupe.show(clone_id, "Empty")
    troupe.pay(clone_id, person)
    return clone_id


def beyond(troupe: Troupe) -> int:
    """A model of a tier that was granted for debugging, until the grant ended."""
    clone_id = troupe.clone()
    with troupe.clash.write() as connection:
        connection.execute("UPDATE clones SET engine = 'model', model_tier = 3 WHERE id = ?", (clone_id,))
    return clone_id


def waiting_to_be_retired(troupe: Troupe) -> int:
    clone_id = troupe.clone()
    with troupe.clash.write() as connection:
        holds.place(connection, clone_id, "race", "9", now_ms=troupe.now)
    admin.retire(troupe.clash, clone_id, actor=ADMIN, reason="enough", now_ms=troupe.now)
    return clone_id


REFUSED: dict[str, Callable[[Troupe], int]] = {
    "retired": retired,
    "retiring": waiting_to_be_retired,
    "already_competing": lambda troupe: troupe.passed(),
    "entitlement_is_mock": debug_granted,
    "audition_used": used,
    "no_active_version": unpublished,
    "entitlement_exceeded": beyond,
    "no_profile": lambda troupe: troupe.clone(face="none"),
}


@pytest.mark.parametrize("code", REFUSED)
def test_control_each_gate_refuses_and_nothing_is_written(troupe: Troupe, code: str) -> None:
    clone_id = REFUSED[code](troupe)
    before = count(troupe, "SELECT count(*) FROM auditions")
    with pytest.raises(GateClosed) as refused:
        troupe.submit(clone_id)
    assert refused.value.code == code
    assert count(troupe, "SELECT count(*) FROM auditions") == before


def test_a_profile_that_waits_for_moderation_is_enough(troupe: Troupe) -> None:
    assert troupe.submit(troupe.clone(face="submitted")).state == "running"


def test_a_clone_that_a_race_holds_is_refused(troupe: Troupe) -> None:
    clone_id = troupe.clone()
    with troupe.clash.write() as connection:
        holds.place(connection, clone_id, "race", "9", now_ms=troupe.now)
    with pytest.raises(CloneHeld, match=f"clone {clone_id} is held by race 9"):
        troupe.submit(clone_id)


# judgement by the rules of 11


def test_a_day_of_profit_in_four_hours_passes_and_queues(troupe: Troupe) -> None:
    clone_id = troupe.clone()
    made = troupe.submit(clone_id)
    troupe.busy_day(made)
    (judged,) = troupe.judge()
    assert (judged.state, judged.cause) == ("passed", None), judged.reason
    assert [finding.criterion for finding in judged.findings if not finding.is_met] == []
    with troupe.clash.read() as connection:
        result = results.get(connection, made.account_id or 0)
        assert result is not None
        assert judged.result_hash == result.hash
        place = queue.of(connection, clone_id)
        assert place is not None
        assert (place.passed_at, place.audition_id) == (troupe.now, made.id)
        assert holds.of(connection, clone_id) == []
    assert state_of(troupe, clone_id) == "competition_eligible"


@pytest.mark.parametrize(
    ("hours", "pct", "gain", "cause"),
    [
        ((0, 1, 2, 3), "20", 1, "profit_target"),  # 0.8 %
        ((0, 1, 2), "30", 4, "active_hours"),
        ((0, 1), "60", 4, "fills"),  # four
        ((0, 1, 2, 3), "4.9", 30, "fills"),  # of less than 5 %
    ],
)
def test_control_a_day_that_misses_one_criterion_fails_with_it(
    troupe: Troupe, hours: tuple[int, ...], pct: str, gain: int, cause: str
) -> None:
    clone_id = troupe.clone()
    made = troupe.submit(clone_id)
    troupe.busy_day(made, hours=hours, pct=pct, gain=gain)
    (judged,) = troupe.judge()
    assert (judged.state, judged.cause) == ("failed", cause), judged.reason
    assert state_of(troupe, clone_id) == "audition_failed"
    with troupe.clash.read() as connection:
        assert queue.of(connection, clone_id) is None
        assert holds.of(connection, clone_id) == []


def test_control_one_lucky_hour_fails(troupe: Troupe) -> None:
    made = troupe.submit(troupe.clone())
    troupe.clock.set(made.starts_at + MINUTE_MS)
    troupe.trade(made, Proposal("BTC", "open_long", "20", 1))
    troupe.mark(made, "100")
    troupe.clock.advance(10 * MINUTE_MS)
    troupe.trade(made, Proposal("BTC", "close"), price="115")
    troupe.mark(made, "115")
    troupe.busy_day(made, hours=(1, 2, 3), pct="10", gain=1)
    (judged,) = troupe.judge()
    assert judged.cause == "best_hour", judged.reason


def test_a_breach_fails_at_once_and_says_the_drawdown(troupe: Troupe) -> None:
    made = troupe.submit(troupe.clone())
    troupe.clock.set(made.starts_at + MINUTE_MS)
    troupe.trade(made, Proposal("BTC", "open_long", "100", 2))
    troupe.mark(made, "100")
    troupe.clock.advance(MINUTE_MS)
    assert troupe.judge() == []
    troupe.mark(made, "95.5")
    (judged,) = troupe.judge()
    assert (judged.state, judged.cause) == ("failed", "max_loss")
    assert troupe.now < made.ends_at
    assert "the bound is 4 %" in (judged.reason or "")
    assert [finding.criterion for finding in judged.findings[:2] if not finding.is_met] == ["max_loss", "survival"]


def test_nothing_is_judged_before_its_account_has_a_result(troupe: Troupe) -> None:
    made = troupe.submit(troupe.clone())
    troupe.clock.set(made.ends_at + HOUR_MS)
    assert troupe.judge() == []
    assert troupe.get(made.id).state == "running"


def test_judging_again_changes_nothing(troupe: Troupe) -> None:
    made = troupe.submit(troupe.clone())
    troupe.end(made)
    (first,) = troupe.judge(FAILED)
    assert troupe.judge(PASSED) == []
    assert troupe.get(made.id) == first


def test_an_account_that_was_ended_early_does_not_pass(troupe: Troupe) -> None:
    made = troupe.submit(troupe.clone())
    troupe.cut_short(made)
    (judged,) = troupe.judge()
    assert judged.cause == "survival"


# retries


def test_a_retry_takes_a_fresh_purchase_and_the_edited_version(troupe: Troupe) -> None:
    clone_id = used(troupe)
    first = auditions_of(troupe, clone_id)[0]
    with pytest.raises(GateClosed) as refused:
        troupe.retry(first)
    assert refused.value.code == "audition_used"
    troupe.publish(clone_id, 1_200)
    bought = troupe.pay(clone_id, troupe.owner_of(clone_id), "retry")
    again = troupe.retry(first)
    assert (again.state, again.purchase_id, again.retry_of) == ("running", bought, first)
    assert again.compiled_hash != troupe.get(first).compiled_hash
    assert troupe.retry(first) == again


def auditions_of(troupe: Troupe, clone_id: int) -> list[int]:
    with troupe.clash.read() as connection:
        return [found.id for found in auditions.every(connection, clone_id=clone_id)]


@pytest.mark.parametrize("state", ["running", "passed"])
def test_control_only_a_failed_or_voided_audition_is_retried(troupe: Troupe, state: str) -> None:
    clone_id = troupe.clone()
    made = troupe.submit(clone_id)
    if state == "passed":
        troupe.cut_short(made)
        troupe.judge(PASSED)
    with pytest.raises(ArenaConflict, match=f"audition {made.id} is {state}"):
        troupe.retry(made.id)


def test_an_audition_that_is_not_there(troupe: Troupe) -> None:
    with pytest.raises(ArenaUnknown, match="there is no audition 77"):
        troupe.retry(77)


# voids


def void(troupe: Troupe, audition_id: int, reason: str = "the venue was down") -> auditions.Audition:
    return admin.void(troupe.clash, SteadyVenue(), audition_id, actor=ADMIN, reason=reason, now_ms=troupe.now)


def test_a_void_ends_the_account_lets_go_and_refunds(troupe: Troupe) -> None:
    clone_id = troupe.clone()
    made = troupe.submit(clone_id)
    troupe.clock.set(made.starts_at + MINUTE_MS)
    troupe.trade(made, Proposal("BTC", "open_long", "20", 1))
    voided = void(troupe, made.id)
    assert (voided.state, voided.ended_by, voided.reason) == ("voided", ADMIN, "the venue was down")
    with troupe.clash.read() as connection:
        account = accounts.get(connection, made.account_id or 0)
        assert account.state == "completed"
        assert holds.of(connection, clone_id) == []
        owed = connection.execute("SELECT kind, amount_wei, state FROM payables").fetchall()
    price = troupe.till.get(made.purchase_id).amount_wei
    assert [tuple(row) for row in owed] == [("refund", str(price), "claimable")]
    assert troupe.till.get(made.purchase_id).state == "granted"
    assert state_of(troupe, clone_id) == "configured"
    assert void(troupe, made.id) == voided
    assert count(troupe, "SELECT count(*) FROM payables") == 1


def test_a_voided_audition_is_retried_with_a_fresh_purchase(troupe: Troupe) -> None:
    clone_id = troupe.clone()
    made = troupe.submit(clone_id)
    void(troupe, made.id)
    troupe.pay(clone_id, troupe.owner_of(clone_id), "retry")
    assert troupe.retry(made.id).retry_of == made.id


@pytest.mark.parametrize("judge", [PASSED, FAILED])
def test_control_what_was_judged_is_not_voided_and_the_refusal_is_kept(troupe: Troupe, judge: auditions.Judge) -> None:
    made = troupe.submit(troupe.clone())
    troupe.end(made)
    (judged,) = troupe.judge(judge)
    with pytest.raises(ArenaConflict, match=f"audition {made.id} is {judged.state} and cannot be voided"):
        void(troupe, made.id)
    assert count(troupe, "SELECT count(*) FROM payables") == 0
    assert count(troupe, "SELECT count(*) FROM arena_acts WHERE act = 'void' AND outcome = 'refused'") == 1


def test_control_a_void_needs_a_reason(troupe: Troupe) -> None:
    made = troupe.submit(troupe.clone())
    with pytest.raises(ArenaConflict, match="needs an actor and a reason"):
        void(troupe, made.id, " ")


# the table itself


def test_control_the_table_refuses_what_the_code_never_does(troupe: Troupe) -> None:
    ended = troupe.submit(troupe.clone())
    troupe.cut_short(ended)
    troupe.judge(FAILED)
    troupe.submit(troupe.clone())
    for statement, said in (
        ("UPDATE auditions SET state = 'passed', cause = NULL WHERE id = 1", "cannot move to that state"),
        ("UPDATE auditions SET rules = '{}', state = 'voided' WHERE id = 2", "terms of an audition never change"),
        ("DELETE FROM auditions WHERE id = 2", "never leaves"),
    ):
        with pytest.raises(IntegrityError, match=said), troupe.clash.write() as connection:
            connection.execute(statement)
