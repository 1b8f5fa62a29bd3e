"""Quotes: the price list, terms that never change, and everything that cannot be quoted (09 §4.5, §6.3)."""

from itertools import chain, count, repeat

import pytest

from clash_pipeline.economy import quotes
from clash_pipeline.economy.prices import Prices, ether, of
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refusals import AlreadyBought, EconomyError, EconomyUnknown, QuoteInvalid, SalesClosed
from clash_pipeline.settings import load
from clash_pipeline.storage.sqlite import IntegrityError
from tests.fakes.till import CLOSES, OPENS, RACE, START, TERMS, TICKET, Till, wallet

MATRIX = {
    (1, "starter"): "0.01", (1, "builder"): "0.015", (1, "pro"): "0.02",
    (2, "starter"): "0.02", (2, "builder"): "0.03", (2, "pro"): "0.04",
    (3, "starter"): "0.04", (3, "builder"): "0.06", (3, "pro"): "0.08",
}  # fmt: skip


def test_the_price_list_is_that_of_the_contract() -> None:
    prices = of(load({}))
    assert prices == Prices({cell: ether(text) for cell, text in MATRIX.items()}, 10**16)


def test_prices_are_settings() -> None:
    prices = of(load({"CLASH_FEES_MODEL_1": "1,2,3", "CLASH_TICKET_PRICE_ETH": "0.000000000000000001"}))
    assert prices.fee(1, "pro") == 3 * 10**18
    assert prices.ticket_wei == 1


@pytest.mark.parametrize("text", ["1,2", "1,2,0", "1,2,-3", "1,2,1e3", "1,2,3.0000000000000000001", "", "a,b,c"])
def test_control_a_price_that_is_none_refuses_to_start(text: str) -> None:
    if text:
        with pytest.raises(ValueError, match="CLASH_FEES_MODEL_1"):
            load({"CLASH_FEES_MODEL_1": text})
    else:
        assert load({"CLASH_FEES_MODEL_1": text}).fees_model_1 == "0.01,0.015,0.02"


@pytest.mark.parametrize(("model", "capacity"), MATRIX)
def test_an_audition_costs_its_cell(till: Till, model: int, capacity: str) -> None:
    user = till.person(1)
    asked = till.quote(Wanted(user, "audition", till.clone("Ada", user), capacity_tier=capacity, model_tier=model))
    assert asked.amount_wei == ether(MATRIX[model, capacity])
    assert (asked.state, asked.wallet, asked.expires_at) == ("quoted", wallet(1), START + 900_000)


def test_an_upgrade_costs_the_difference_of_what_it_leads_to(till: Till) -> None:
    user = till.person(1)
    clone = till.clone("Ada", user)
    paid = [
        till.pay(Wanted(user, "audition", clone)),
        till.pay(Wanted(user, "upgrade", clone, capacity_tier="pro")),
        till.pay(Wanted(user, "upgrade", clone, model_tier=3)),
    ]
    assert sum(purchase.amount_wei for purchase in paid) == ether("0.08")
    assert (paid[-1].capacity_tier, paid[-1].model_tier, paid[-1].amount_wei) == ("pro", 3, ether("0.06"))


def test_a_retry_costs_the_full_fee_of_what_was_bought(till: Till) -> None:
    user = till.person(1)
    clone = till.clone("Ada", user)
    first = till.pay(Wanted(user, "audition", clone, model_tier=2))
    with pytest.raises(AlreadyBought, match="not used yet"):
        till.quote(Wanted(user, "retry", clone))
    use(till, first.id, 1)
    till.pay(Wanted(user, "upgrade", clone, capacity_tier="builder"))
    again = till.pay(Wanted(user, "retry", clone))
    assert (again.amount_wei, again.state) == (ether("0.03"), "granted")


def use(till: Till, purchase_id: int, audition_id: int) -> None:
    from clash_pipeline.economy import credits as auditions

    with till.clash.write() as connection:
        auditions.use(connection, purchase_id, audition_id, now_ms=START)


def test_tickets_cost_what_their_race_opened_with(till: Till) -> None:
    user = till.person(1)
    clone, *_ = till.race([None] * 4, price_wei=5)
    assert till.quote(Wanted(user, "ticket", clone, race_id=RACE, count=3)).amount_wei == 15


def refused(till: Till) -> list[tuple[Wanted, type[EconomyError], int]]:
    """What cannot be quoted, why, and when it is asked."""
    one, two = till.person(1), till.person(2)
    own, bought = till.clone("Ada", one), till.clone("Bea", one)
    till.pay(Wanted(one, "audition", bought))
    racer, *_ = till.race([None] * 4)
    ticket = Wanted(one, "ticket", racer, race_id=RACE, count=1)
    return [
        (Wanted(one, "audition", own, capacity_tier="huge"), QuoteInvalid, START),
        (Wanted(one, "audition", own, model_tier=4), QuoteInvalid, START),
        (Wanted(one, "audition", own, model_tier=0), QuoteInvalid, START),
        (Wanted(one, "audition", own, wallet=wallet(2)), QuoteInvalid, START),
        (Wanted(one, "gift", own), QuoteInvalid, START),  # type: ignore[arg-type]
        (Wanted(two, "audition", own), EconomyUnknown, START),
        (Wanted(one, "audition", 999), EconomyUnknown, START),
        (Wanted(one, "audition", bought), AlreadyBought, START),
        (Wanted(one, "upgrade", bought, model_tier=1), AlreadyBought, START),
        (Wanted(one, "upgrade", own, model_tier=2), QuoteInvalid, START),
        (Wanted(one, "retry", own), QuoteInvalid, START),
        (Wanted(one, "ticket", racer, race_id=RACE, count=0), QuoteInvalid, START),
        (Wanted(one, "ticket", racer, race_id=RACE, count=-1), QuoteInvalid, START),
        (Wanted(one, "ticket", racer, race_id=RACE, count=101), QuoteInvalid, START),
        (Wanted(one, "ticket", racer, race_id=99, count=1), EconomyUnknown, START),
        (Wanted(one, "ticket", own, race_id=RACE, count=1), EconomyUnknown, START),
        (ticket, SalesClosed, CLOSES),
        (ticket, SalesClosed, OPENS - 1),
    ]


def test_what_cannot_be_quoted_is_refused_and_leaves_nothing(till: Till) -> None:
    cases = refused(till)
    before = rows(till)
    for wanted, refusal, now_ms in cases:
        with pytest.raises(refusal):
            till.quote(wanted, now_ms=now_ms)
    assert rows(till) == before


def rows(till: Till) -> int:
    with till.clash.read() as connection:
        return int(connection.execute("SELECT count(*) FROM purchases").fetchone()[0])


def test_a_nonce_is_drawn_again_when_it_was_used_before(till: Till) -> None:
    user = till.person(1)
    drawn = chain(repeat(7, 3), count(8))
    with till.clash.write() as connection:
        made = [
            quotes.quote(
                connection, Wanted(user, "audition", till_clone), till.prices, TERMS,
                draw=lambda: next(drawn), now_ms=START,
            )
            for till_clone in _own(connection, user)
        ]  # fmt: skip
    assert [purchase.nonce for purchase in made] == [7, 8]


def _own(connection: object, user: int) -> list[int]:
    from clash_pipeline.clones import clones

    return [
        clones.insert(connection, name, engine="rules", now_ms=START, owner=f"user:{user}")  # type: ignore[arg-type]
        for name in ("Ada", "Bea")
    ]


@pytest.mark.parametrize("bad", [0, -1, 2**63])
def test_control_a_nonce_outside_its_range_is_a_defect(till: Till, bad: int) -> None:
    user = till.person(1)
    clone = till.clone("Ada", user)
    with pytest.raises(ValueError, match="nonce"), till.clash.write() as connection:
        quotes.quote(connection, Wanted(user, "audition", clone), till.prices, TERMS, draw=lambda: bad, now_ms=START)


@pytest.mark.parametrize("column", ["amount_wei", "wallet", "nonce", "chain_id", "resolver", "expires_at", "race_id"])
def test_the_terms_of_a_quote_never_change(till: Till, column: str) -> None:
    user = till.person(1)
    clone, *_ = till.race([None] * 4)
    asked = till.quote(Wanted(user, "ticket", clone, race_id=RACE, count=1))
    assert asked.amount_wei == TICKET
    with pytest.raises(IntegrityError, match="never change"), till.clash.write() as connection:
        connection.execute(f"UPDATE purchases SET {column} = '12345678901' WHERE id = ?", (asked.id,))
