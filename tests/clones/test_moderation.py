"""Moderation: the queue, decisions that are final, reports that change nothing by themselves, retirement."""

import pytest

from clash_pipeline.clones import acts, clones, holds, moderation, public_profiles, reports, retirement
from clash_pipeline.clones.refusals import CloneConflict, CloneHeld, CloneUnknown, NameTaken, ProfileInvalid
from clash_pipeline.storage.sqlite import Connection, Database, IntegrityError


@pytest.fixture
def three(clash: Database) -> Database:
    """Clone 1 shows Tide (profile 1), clone 2 waits with Ebb (2), clone 3 with Flow (3)."""
    for name in ("Ada", "Bob", "Cleo"):
        clones.create(clash, name, engine="rules", now_ms=1)
    with clash.write() as connection:
        for clone_id, name in ((1, "Tide"), (2, "Ebb"), (3, "Flow")):
            public_profiles.submit(connection, clone_id, name, actor="ada", now_ms=10 - clone_id)
        moderation.approve(connection, 1, actor="root", now_ms=20)
    return clash


def state(connection: Connection, profile_id: int) -> str:
    return public_profiles.profile(connection, profile_id).state


def report(connection: Connection, *, reporter: str = "mallory", text: str = "bad", now_ms: int = 30) -> reports.Report:
    return reports.report(connection, 1, category="offensive", text=text, reporter=reporter, now_ms=now_ms)


# decisions


def test_the_queue_is_oldest_first(three: Database) -> None:
    with three.read() as connection:
        assert [item.name for item in moderation.queue(connection)] == ["Flow", "Ebb"]
        assert [item.name for item in moderation.queue(connection, limit=1)] == ["Flow"]


def test_the_same_decision_again_changes_nothing(three: Database) -> None:
    with three.write() as connection:
        first = moderation.reject(connection, 2, actor="root", reason="a brand", now_ms=21)
        assert moderation.reject(connection, 2, actor="eve", reason="other", now_ms=22) == first
        shown = moderation.approve(connection, 1, actor="eve", now_ms=23)
        assert (shown.decided_by, shown.decided_at) == ("root", 20)
        assert [item.act for item in acts.of_clone(connection, 2)] == ["submitted", "rejected"]


def test_a_contradicting_decision_is_a_conflict(three: Database) -> None:
    with three.write() as connection:
        moderation.reject(connection, 2, actor="root", reason="a brand", now_ms=21)
        with pytest.raises(CloneConflict, match="profile 2 is rejected and cannot be approved"):
            moderation.approve(connection, 2, actor="root", now_ms=22)
        with pytest.raises(CloneConflict, match="profile 1 is approved and cannot be rejected"):
            moderation.reject(connection, 1, actor="root", reason="late", now_ms=22)
        with pytest.raises(CloneUnknown, match="no profile 9"):
            moderation.approve(connection, 9, actor="root", now_ms=22)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_refusals_need_a_reason(three: Database, reason: str) -> None:
    with three.write() as connection:
        for act in (
            lambda: moderation.reject(connection, 2, actor="root", reason=reason, now_ms=21),
            lambda: moderation.retire(connection, 1, actor="root", reason=reason, now_ms=21),
            lambda: reports.uphold(connection, report(connection).id, actor="root", reason=reason, now_ms=31),
        ):
            with pytest.raises(ProfileInvalid, match="needs a reason of 1 to 500"):
                act()


# reports


def test_a_report_changes_nothing_until_an_admin_decides(three: Database) -> None:
    with three.write() as connection:
        made = report(connection)
        assert (made.state, made.profile_id, state(connection, 1)) == ("open", 1, "approved")
        assert [item.id for item in reports.waiting(connection)] == [made.id]


def test_one_open_report_for_each_reporter_and_clone(three: Database) -> None:
    with three.write() as connection:
        first = report(connection)
        assert report(connection, now_ms=31) == first
        with pytest.raises(CloneConflict, match="mallory already has the open report 1"):
            report(connection, text="worse")
        assert report(connection, reporter="oscar").id == 2
        reports.dismiss(connection, 1, actor="root", reason="fine", now_ms=32)
        assert report(connection, text="worse", now_ms=33).id == 3


def test_an_upheld_report_takes_down_the_profile_it_is_about(three: Database) -> None:
    with three.write() as connection:
        made = report(connection)
        done = reports.uphold(connection, made.id, actor="root", reason="it is", now_ms=31)
        assert (done.state, done.decided_by, state(connection, 1)) == ("upheld", "root", "removed")
        assert reports.uphold(connection, made.id, actor="eve", reason="again", now_ms=32) == done
        with pytest.raises(CloneConflict, match="was upheld and cannot be dismissed"):
            reports.dismiss(connection, made.id, actor="root", reason="no", now_ms=32)
        assert public_profiles.submit(connection, 2, "Tide", actor="bob", now_ms=33).state == "submitted"
        assert [item.act for item in acts.of_clone(connection, 1)][-3:] == ["reported", "upheld", "removed"]


def test_an_upheld_report_leaves_what_was_approved_since(three: Database) -> None:
    with three.write() as connection:
        made = report(connection)
        better = public_profiles.submit(connection, 1, "Better", actor="ada", now_ms=31)
        moderation.approve(connection, better.id, actor="root", now_ms=32)
        reports.uphold(connection, made.id, actor="root", reason="it was", now_ms=33)
        assert (state(connection, 1), state(connection, better.id)) == ("replaced", "approved")


def test_what_cannot_be_reported(three: Database) -> None:
    with three.write() as connection:
        with pytest.raises(CloneUnknown, match="clone 2 has no public profile"):
            reports.report(connection, 2, category="offensive", text="", reporter="m", now_ms=30)
        with pytest.raises(ProfileInvalid, match="a report is about impersonation"):
            reports.report(connection, 1, category="ugly", text="", reporter="m", now_ms=30)
        with pytest.raises(ProfileInvalid, match="needs a text"):
            reports.report(connection, 1, category="other", text="\u200b", reporter="m", now_ms=30)
        with pytest.raises(ProfileInvalid, match="at most 1000"):
            reports.report(connection, 1, category="other", text="x" * 1_001, reporter="m", now_ms=30)
        with pytest.raises(CloneUnknown, match="no report 9"):
            reports.dismiss(connection, 9, actor="root", reason="no", now_ms=30)
        assert reports.of_clone(connection, 1) == []


# retirement


def test_a_retired_clone_keeps_its_profile_and_frees_its_name(three: Database) -> None:
    with three.write() as connection:
        assert moderation.retire(connection, 1, actor="arena", reason="eight strikes", now_ms=40)
        assert not moderation.retire(connection, 1, actor="root", reason="again", now_ms=41)
        view = public_profiles.public(connection, 1)
        assert (view.profile.name, view.is_retired) == ("Tide", True)
        assert public_profiles.submit(connection, 2, "Tide", actor="bob", now_ms=42).state == "submitted"


def test_reinstating_checks_the_name_again(three: Database) -> None:
    with three.write() as connection:
        moderation.retire(connection, 1, actor="root", reason="enough", now_ms=40)
        taken = public_profiles.submit(connection, 2, "Tidе", actor="bob", now_ms=41)
    with pytest.raises(NameTaken, match="the name Tide is taken"), three.write() as connection:
        moderation.reinstate(connection, 1, actor="root", now_ms=42)
    with three.write() as connection:
        assert retirement.is_retired(connection, 1)
        moderation.reject(connection, taken.id, actor="root", reason="copies Tide", now_ms=43)
        assert moderation.reinstate(connection, 1, actor="root", now_ms=44)
        assert not moderation.reinstate(connection, 1, actor="root", now_ms=45)
        with pytest.raises(NameTaken):
            public_profiles.submit(connection, 3, "Tide", actor="cleo", now_ms=46)
        (past,) = retirement.history(connection, 1)
    assert (past.retired_at, past.reinstated_at, past.reinstated_by) == (40, 44, "root")


def test_a_new_name_lets_a_retired_clone_come_back(three: Database) -> None:
    with three.write() as connection:
        moderation.retire(connection, 1, actor="root", reason="enough", now_ms=40)
        public_profiles.submit(connection, 2, "Tide", actor="bob", now_ms=41)
        fresh = public_profiles.submit(connection, 1, "Neap", actor="ada", now_ms=42)
        moderation.approve(connection, fresh.id, actor="root", now_ms=43)
        assert moderation.reinstate(connection, 1, actor="root", now_ms=44)
        assert public_profiles.public(connection, 1).profile.name == "Neap"


def test_a_clone_in_a_race_is_not_retired_yet(three: Database) -> None:
    with three.write() as connection:
        holds.place(connection, 1, "race", "7", now_ms=39)
        with pytest.raises(CloneHeld, match=r"held by race 7 .* its retirement waits"):
            moderation.retire(connection, 1, actor="root", reason="enough", now_ms=40)
        holds.release(connection, 1, "race", "7", now_ms=41)
        assert moderation.retire(connection, 1, actor="root", reason="enough", now_ms=42)
        with pytest.raises(CloneUnknown, match="no clone 9"):
            moderation.retire(connection, 9, actor="root", reason="enough", now_ms=42)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE clone_retirements SET reason = 'x'",
        "DELETE FROM clone_retirements",
        "UPDATE clone_profile_reports SET text = 'x'",
        "UPDATE clone_profile_reports SET state = 'open', decided_at = NULL, decided_by = NULL, reason = NULL",
        "DELETE FROM clone_profile_reports",
    ],
)
def test_the_database_itself_keeps_reports_and_retirements(three: Database, statement: str) -> None:
    with three.write() as connection:
        reports.dismiss(connection, report(connection).id, actor="root", reason="fine", now_ms=31)
        moderation.retire(connection, 1, actor="root", reason="enough", now_ms=40)
    with pytest.raises(IntegrityError), three.write() as connection:
        connection.execute(statement)
