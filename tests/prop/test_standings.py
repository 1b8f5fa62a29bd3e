"""Standings: places by return, and who of them is for everybody."""

from clash_pipeline.clones import moderation, public_profiles
from clash_pipeline.prop import accounts, admin, standings
from clash_pipeline.prop.marks import mark
from clash_pipeline.units import USD
from tests.fakes.desk import Desk


def _published(desk: Desk, account_id: int, name: str) -> int:
    with desk.clash.write() as connection:
        clone_id = accounts.get(connection, account_id).clone_id
        made = public_profiles.submit(connection, clone_id, name, actor="test", now_ms=desk.clock.now_ms())
        moderation.approve(connection, made.id, actor="test", now_ms=desk.clock.now_ms())
    return clone_id


def _marked(desk: Desk, account_id: int) -> None:
    assert mark(desk.clash, desk.market, account_id, desk.clock.now_ms()) is not None


def test_accounts_stand_by_return_at_their_newest_mark(desk: Desk) -> None:
    first = desk.account_id
    _published(desk, first, "Ada")
    second = desk.open(balance_usd=50_000)
    _published(desk, second, "Bea")
    desk.order("open_long", size_pct="50")
    desk.price("BTC", "110")
    for account_id in (first, second):
        _marked(desk, account_id)
    with desk.clash.read() as connection:
        found = standings.public(connection)
    assert [(one.place, one.public_name, one.account_id) for one in found] == [(1, "Bea", second), (2, "Ada", first)]
    assert found[0].equity > 52_000 * USD
    assert (found[1].equity, found[1].return_rate, found[1].positions) == (100_000 * USD, 0, 0)


def test_only_clones_with_an_approved_profile_are_for_everybody(desk: Desk) -> None:
    clone_id = _published(desk, desk.account_id, "Ada")
    desk.open()
    with desk.clash.write() as connection:
        assert [one.public_name for one in standings.public(connection)] == ["Ada"]
        assert [one.public_name for one in standings.everything(connection)] == ["Ada", None]
        moderation.retire(connection, clone_id, actor="test", reason="over", now_ms=desk.clock.now_ms())
        assert standings.public(connection) == []


def test_an_account_that_was_never_marked_stands_at_its_balance(desk: Desk) -> None:
    with desk.clash.read() as connection:
        (only,) = standings.everything(connection, kind="sandbox")
    assert (only.equity, only.marked_at, only.is_halted) == (100_000 * USD, None, False)


def test_a_kill_switch_for_all_shows_on_each(desk: Desk) -> None:
    admin.halt(desk.clash, actor="test", reason="drill", now_ms=desk.clock.now_ms())
    with desk.clash.read() as connection:
        assert [one.is_halted for one in standings.everything(connection)] == [True]
        assert standings.halt_of_all(connection) == standings.Halt("test", "drill", desk.clock.now_ms())
    admin.release(desk.clash, actor="test", reason="over", now_ms=desk.clock.now_ms())
    with desk.clash.read() as connection:
        assert standings.halt_of_all(connection) is None


def test_ended_accounts_stand_only_where_they_are_asked_for(desk: Desk) -> None:
    admin.complete(
        desk.clash, desk.venue, desk.account_id, actor="test", reason="enough", now_ms=desk.clock.now_ms()
    )  # fmt: skip
    with desk.clash.read() as connection:
        assert standings.everything(connection) == []
        (ended,) = standings.everything(connection, only_running=False)
    assert (ended.state, ended.equity) == ("completed", 100_000 * USD)
