"""Funding: once an hour, on the oracle price, on what was held before that hour's fills (04, 10 §1, 11.7)."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, hour_of
from clash_pipeline.prop import accounts, funding
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.funding import Holding, charge_of, payment
from clash_pipeline.prop.marks import mark
from clash_pipeline.prop.pricing import Price
from clash_pipeline.prop.rates import HourKey, Source
from clash_pipeline.storage.sqlite import IntegrityError
from clash_pipeline.units import FUNDING_RATE, USD, usd_text
from tests.fakes import market_rows
from tests.fakes.desk import Desk

RESTING = 125_000
"""0.00125 % an hour, the venue's resting rate, in 1e-10."""


@dataclass(frozen=True)
class Row:
    """A charge as stored."""

    symbol: str
    hour_t: int
    held: int
    size: int
    amount: str


def charges(desk: Desk) -> list[Row]:
    with desk.clash.read() as connection:
        rows = connection.execute(
            """
            SELECT symbol, hour_t, held, size, amount FROM prop_funding_charges
            WHERE account_id = ? ORDER BY hour_t, symbol
            """,
            (desk.account_id,),
        )
        return [Row(row[0], row[1], row[2], row[3], usd_text(row[4])) for row in rows]


def funded_through(desk: Desk) -> int:
    with desk.clash.read() as connection:
        return accounts.get(connection, desk.account_id).funded_through


def hour_passes(desk: Desk, *, rate_e10: int | None = RESTING, oracle: str | None = "100", symbol: str = "BTC") -> int:
    """Move the clock 30 s behind the next full hour, whose estimate and oracle price were polled just before it."""
    hour = hour_of(desk.clock.now_ms()) + HOUR_MS
    market_rows.oracle(desk.market, symbol, hour - 20_000, oracle, rate_e10=rate_e10)
    desk.clock.set(hour + 30_000)
    return hour


def tick(desk: Desk) -> None:
    mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms())


@pytest.mark.parametrize(
    ("size", "rate_e10", "expected"),
    [
        (1_000, RESTING, "-0.00125"),  # long 1.000 at 100: 100 USD × 0.00125 %
        (-1_000, RESTING, "0.00125"),
        (1_000, -RESTING, "0.00125"),
        (1_000, 400_000_000, "-4"),  # the cap of 4 % an hour
        (3, 1, "-0.00000001"),  # owed: rounded up to the smallest unit
        (-3, 1, "0"),  # received: rounded down to nothing
        (0, RESTING, "0"),
    ],
)
def test_the_payment_is_size_times_oracle_times_rate(size: int, rate_e10: int, expected: str) -> None:
    assert usd_text(payment(size, 3, Price.parse("100") or Price(0, 0), rate_e10)) == expected


@given(
    st.integers(-(10**12), 10**12), st.integers(0, 5), st.integers(1, 10**10), st.integers(0, 6),
    st.integers(-400_000_000, 400_000_000),
)  # fmt: skip
def test_funding_never_favours_the_account(size: int, decimals: int, digits: int, places: int, rate_e10: int) -> None:
    """The stored amount is the exact one rounded down, by less than one unit: owed up, received down."""
    amount = payment(size, decimals, Price(digits, places), rate_e10)
    whole = 10 ** (places + decimals) * FUNDING_RATE
    lost = -size * digits * rate_e10 * USD - amount * whole
    assert 0 <= lost < whole


def test_credits_count_on_the_smallest_size_of_the_window_and_debits_on_all() -> None:
    holding = Holding("BTC", HOUR_MS, 3, size=-2_000, credited=-500)
    assert charge_of(holding, Source(RESTING, "paid", 0, "100", 0)).amount == 62_500
    assert charge_of(holding, Source(-RESTING, "paid", 0, "100", 0)).amount == -250_000


def test_an_hour_is_charged_once_and_moves_the_balance(desk: Desk) -> None:
    """Long 99.97 BTC, oracle 100, resting rate: 9,997 × 0.00125 % = 0.1249625 paid."""
    desk.order("open_long", size_pct="10")
    hour = hour_passes(desk)
    for _ in range(3):
        tick(desk)
        desk.clock.advance(MINUTE_MS)
    assert charges(desk) == [Row("BTC", hour, 99_970, 99_970, "-0.1249625")]
    view = desk.view()
    assert view["funding"] == "-0.1249625"
    assert [group["reason"] for group in view["ledger"] if group["kind"] == "funding"] == [
        "funding of 2025-07-21T13:00:00Z"
    ]
    assert funded_through(desk) == hour
    assert audit(desk.clash).is_clean


def test_a_submission_charges_the_hour_before_its_own_fills(desk: Desk) -> None:
    """The position is closed 30 s behind the hour; it is still charged for what it held at the hour."""
    desk.order("open_long", size_pct="10")
    hour = hour_passes(desk)
    desk.price("BTC", "100")
    assert desk.order("close").status == "filled"
    assert [row.hour_t for row in charges(desk)] == [hour]
    kinds = [group["kind"] for group in desk.view()["ledger"]]
    assert kinds.index("funding") > kinds.index("fill"), "newest first: the charge stands before the closing fill"
    assert audit(desk.clash).is_clean


def test_a_position_opened_behind_the_hour_pays_nothing_for_it(desk: Desk) -> None:
    hour_passes(desk)
    desk.price("BTC", "100")
    desk.order("open_long")
    tick(desk)
    assert charges(desk) == []


@pytest.mark.parametrize(("rate_e10", "oracle"), [(None, "100"), (RESTING, None)])
def test_an_unknown_rate_or_oracle_leaves_the_hour_due(desk: Desk, rate_e10: int | None, oracle: str | None) -> None:
    """Neither skipped nor zero; charged as soon as both are known, on what was held then."""
    desk.order("open_long", size_pct="10")
    hour = hour_passes(desk, rate_e10=rate_e10, oracle=oracle)
    tick(desk)
    assert (charges(desk), funded_through(desk)) == ([], hour - HOUR_MS)
    with desk.clash.read() as connection:
        account = accounts.get(connection, desk.account_id)
        assert [held.key for held in funding.due(connection, account, desk.clock.now_ms())] == [HourKey("BTC", hour)]
    desk.price("BTC", "100")
    desk.order("close")
    desk.clock.advance(9 * MINUTE_MS)
    market_rows.funding_rate(desk.market, "BTC", hour, RESTING, known_at=desk.clock.now_ms())
    market_rows.oracle(desk.market, "BTC", hour + 2 * MINUTE_MS, "100")
    tick(desk)
    assert [(row.hour_t, row.amount) for row in charges(desk)] == [(hour, "-0.1249625")]
    assert funded_through(desk) == hour
    assert audit(desk.clash).is_clean


def test_the_rate_that_was_paid_counts_before_the_estimate(desk: Desk) -> None:
    desk.order("open_short", size_pct="10")
    hour = hour_passes(desk)
    market_rows.funding_rate(desk.market, "BTC", hour, 2 * RESTING, known_at=hour + 5_000)
    tick(desk)
    assert charges(desk)[0].amount == "0.25007"


def test_every_account_pays_an_hour_at_one_rate(desk: Desk) -> None:
    """The second account is charged when another rate is known already, and still takes the first one's."""
    first = desk.account_id
    desk.order("open_long", size_pct="10")
    second = desk.open()
    desk.order("open_long", size_pct="10")
    hour = hour_passes(desk)
    mark(desk.clash, desk.market, first, desk.clock.now_ms())
    market_rows.funding_rate(desk.market, "BTC", hour, 7 * RESTING, known_at=hour + 31_000)
    desk.clock.advance(MINUTE_MS)
    mark(desk.clash, desk.market, second, desk.clock.now_ms())
    with desk.clash.read() as connection:
        rates = connection.execute(
            "SELECT account_id, rate_e10 FROM prop_funding_charges ORDER BY account_id"
        ).fetchall()
    assert [tuple(row) for row in rates] == [(first, RESTING), (second, RESTING)]


def test_a_credit_counts_on_the_smallest_size_of_the_last_ten_minutes(desk: Desk) -> None:
    """A race account shorts 9.997 BTC, and eight times as much shortly before the hour: a ninth is credited."""
    desk.open(funding_credit_window_ms=600_000, max_position_pct=300)
    hour = hour_of(desk.clock.now_ms()) + HOUR_MS
    desk.clock.set(hour - 20 * MINUTE_MS)
    desk.price("BTC", "100")
    desk.order("open_short", size_pct="10")
    desk.clock.set(hour - 8 * MINUTE_MS)
    desk.price("BTC", "100")
    assert desk.order("increase", size_pct="80").status == "filled"
    hour_passes(desk)
    tick(desk)
    (row,) = charges(desk)
    assert row.held < 8 * row.size < 0
    assert audit(desk.clash).is_clean


def test_who_arrives_inside_the_window_gets_no_credit_but_pays(desk: Desk) -> None:
    desk.open(funding_credit_window_ms=600_000)
    hour = hour_of(desk.clock.now_ms()) + HOUR_MS
    desk.clock.set(hour - MINUTE_MS)
    desk.price("BTC", "100")
    desk.order("open_short", size_pct="10")
    hour_passes(desk)
    tick(desk)
    assert [(row.size, row.amount) for row in charges(desk)] == [(0, "0")]
    hour_passes(desk, rate_e10=-RESTING)
    tick(desk)
    assert charges(desk)[1].amount.startswith("-0.12")


def test_spot_pays_no_funding(desk: Desk) -> None:
    desk.order("open_long", "PURR/USDC", size_pct="10")
    hour_passes(desk, symbol="PURR/USDC")
    tick(desk)
    assert charges(desk) == []
    assert funded_through(desk) == hour_of(desk.clock.now_ms())


def test_a_charge_twice_is_refused_by_the_schema_itself(desk: Desk) -> None:
    desk.order("open_long")
    hour_passes(desk)
    tick(desk)
    with pytest.raises(IntegrityError, match="UNIQUE"), desk.clash.write() as connection:
        connection.execute("INSERT INTO prop_funding_charges SELECT * FROM prop_funding_charges")


def test_paused_and_halted_accounts_pay_too(desk: Desk) -> None:
    desk.order("open_long")
    accounts.move(desk.clash, desk.account_id, "paused", now_ms=desk.clock.now_ms(), actor="a", reason="r")
    accounts.halt(desk.clash, actor="a", reason="r", now_ms=desk.clock.now_ms())
    hour_passes(desk)
    tick(desk)
    assert len(charges(desk)) == 1
