"""Intake: netting, flips, idempotency by (account, run, action index), and one effect whatever number of callers."""

import threading

import pytest

from clash_pipeline.prop import accounts, intake
from clash_pipeline.prop.accounts import AccountMoved, AccountUnknown
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.proposal import ActionResult, PayloadConflict, Proposal
from clash_pipeline.storage.sqlite import IntegrityError
from tests.fakes import market_rows
from tests.fakes.desk import Desk


def test_a_long_is_opened_grown_reduced_and_closed(desk: Desk) -> None:
    """Slippage 0.5 bp + 0.7 × 10 % × √(10⁴/10⁹) = 2.7136 bp: 100.027136, up to the tick 100.03; 99.970 of it."""
    opened = desk.order("open_long", size_pct="10", leverage=2).fills[0]
    assert (opened.side, opened.size, opened.price, opened.notional) == ("buy", "99.97", "100.03", "9999.9991")
    assert opened.fee == "4.4999996"  # 4.5 bp are 4.499999595, rounded up
    desk.price("BTC", "110")
    desk.order("increase", size_pct="10", leverage=3)
    desk.order("reduce", size_pct="50", leverage=3)
    held = desk.view()["positions"][0]
    assert (held["side"], held["leverage"]) == ("long", 3)
    desk.order("close")
    view = desk.view()
    assert view["positions"] == []
    assert [fill["side"] for fill in reversed(view["fills"])] == ["buy", "buy", "sell", "sell"]
    assert audit(desk.clash).is_clean


def test_a_flip_is_two_orders_of_one_action(desk: Desk) -> None:
    """Leg 0 closes the long, leg 1 opens the short; both or none."""
    desk.order("open_long", size_pct="10")
    flipped = desk.order("open_short", size_pct="5", leverage=2)
    assert [(fill.leg, fill.side) for fill in flipped.fills] == [(0, "sell"), (1, "sell")]
    assert flipped.fills[0].size == "99.97"
    held = desk.view()["positions"][0]
    assert (held["side"], held["leverage"]) == ("short", 2)
    assert audit(desk.clash).is_clean


def test_a_flip_whose_opening_is_refused_leaves_the_position(desk: Desk) -> None:
    desk.open(max_position_pct=20)
    desk.order("open_long", size_pct="10")
    assert desk.order("open_short", size_pct="21").reject_code == "position_limit"
    assert desk.view()["positions"][0]["side"] == "long"


def test_spot_is_bought_and_sold(desk: Desk) -> None:
    bought = desk.order("open_long", "PURR/USDC", size_pct="10").fills[0]
    assert (bought.price, bought.size) == ("2.0006", "4998.5")  # 2.00054272, up to five figures
    assert bought.fee == "6.99999937"  # 7 bp of 9,999.9991
    desk.price("PURR/USDC", "2.1")
    assert desk.order("close", "PURR/USDC").status == "filled"
    assert audit(desk.clash).is_clean


def test_a_repeat_answers_the_first_result_and_changes_nothing(desk: Desk) -> None:
    first = desk.order("open_long")
    before = desk.view()
    desk.price("BTC", "150")
    again = desk.submit(Proposal("BTC", "open_long", "10", 1))[0]
    assert again.is_repeat
    assert (again.action_id, again.fills, again.figures) == (first.action_id, first.fills, first.figures)
    assert desk.view()["fills"] == before["fills"]


def test_a_refusal_is_repeated_too(desk: Desk) -> None:
    refused = desk.order("close")
    again = desk.submit(Proposal("BTC", "close", "10", 1))[0]
    assert (again.reject_code, again.figures) == (refused.reject_code, refused.figures)


def test_another_payload_under_the_same_key_is_a_conflict(desk: Desk) -> None:
    desk.order("open_long")
    before = desk.view()
    for other in ((Proposal("BTC", "open_long", "11", 1),), (Proposal("BTC", "open_long", "10", 1),) * 2):
        with pytest.raises(PayloadConflict, match="run 1 already submitted other actions to account 1"):
            desk.submit(*other)
    assert desk.view() == before


def test_actions_of_one_submission_see_each_other(desk: Desk) -> None:
    desk.run_id = 7
    results = desk.submit(Proposal("BTC", "open_long", "10"), Proposal("BTC", "close"), Proposal("BTC", "close"))
    assert [result.reject_code for result in results] == [None, None, "no_position"]
    assert audit(desk.clash).is_clean


def test_eight_threads_submit_the_same_keys_once(desk: Desk) -> None:
    """Every thread submits the same 10 runs: one effect a key, everybody hears the same answer."""
    answers: list[tuple[int, ActionResult]] = []

    def work() -> None:
        for run_id in range(100, 110):
            action = "open_long" if run_id == 100 else "increase"
            (result,) = intake.submit(
                desk.clash, desk.account_id, run_id, [Proposal("BTC", action, "1")], desk.venue,
                now_ms=desk.clock.now_ms(),
            )  # fmt: skip
            answers.append((run_id, result))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert len({(run_id, result.action_id, result.fills) for run_id, result in answers}) == 10
    assert sum(not result.is_repeat for _, result in answers) == 10
    assert len(desk.view()["fills"]) == 10
    assert audit(desk.clash).is_clean


def test_without_the_natural_key_the_same_threads_would_double(desk: Desk) -> None:
    """The control: where the key is not looked up, the unique index refuses the second row."""
    desk.order("open_long")
    with pytest.raises(IntegrityError, match="UNIQUE"), desk.clash.write() as connection:
        connection.execute(
            """
            INSERT INTO prop_decision_actions
              (account_id, run_id, action_index, symbol, action, payload, payload_hash, status, reject_code, figures,
               created_at)
            SELECT account_id, run_id, action_index, symbol, action, payload, payload_hash, status, reject_code,
                   figures, created_at FROM prop_decision_actions
            """
        )


def test_an_account_that_moved_is_looked_at_again(desk: Desk) -> None:
    quotes = desk.venue.quotes(["BTC"], desk.clock.now_ms())
    with desk.clash.read() as connection:
        seen = accounts.get(connection, desk.account_id)
    desk.order("open_long")
    with pytest.raises(AccountMoved), desk.clash.write() as connection:
        intake.submit_within(
            connection, desk.account_id, 99, [Proposal("BTC", "close")], quotes, now_ms=desk.clock.now_ms(),
            expected=seen,
        )  # fmt: skip


def test_an_asset_that_is_listed_with_other_decimals_goes_on_in_those_it_was_bought_in(desk: Desk) -> None:
    """The venue may list an asset anew; what is held keeps its grid, and every fill of it too."""
    desk.order("open_long", size_pct="10")
    market_rows.list_asset(desk.market, "BTC", sz_decimals=1, max_leverage=40)
    assert desk.order("reduce", size_pct="33").status == "filled"
    assert desk.order("open_short", size_pct="7").status == "filled"
    assert desk.order("close").status == "filled"
    assert audit(desk.clash).is_clean
    assert desk.view()["positions"] == []


def test_no_account_no_submission(desk: Desk) -> None:
    desk.account_id = 99
    with pytest.raises(AccountUnknown, match="no prop account 99"):
        desk.order("open_long")


@pytest.mark.parametrize(
    "table", ["prop_ledger", "prop_ledger_groups", "prop_fills", "prop_orders", "prop_decision_actions"]
)
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET account_id = account_id"])
def test_money_rows_are_append_only(desk: Desk, table: str, statement: str) -> None:
    desk.order("open_long")
    with pytest.raises(IntegrityError, match=f"{table} is append-only"), desk.clash.write() as connection:
        connection.execute(statement.format(table))


def test_an_open_position_without_a_price_keeps_its_last_mark(desk: Desk) -> None:
    """Equity does not drop because a feed is silent (10 §3.6)."""
    desk.order("open_long", size_pct="50")
    market_rows.list_asset(desk.market, "ETH")
    desk.clock.advance(600_000)
    desk.price("ETH", "10")
    assert desk.order("open_long", "ETH", size_pct="10").figures["equity"] == desk_equity(desk)


def desk_equity(desk: Desk) -> str:
    """Equity before the newest fee, at the marks."""
    with desk.clash.read() as connection:
        account = accounts.get(connection, desk.account_id)
        book = accounts.book(account, accounts.positions(connection, desk.account_id).values())
    fill = desk.view()["fills"][0]
    from clash_pipeline.units import parse_usd, usd_text

    held = book.positions[fill["symbol"]]
    return usd_text(book.equity + parse_usd(fill["fee"]) - held.unrealized)
