"""Tickets: what is on sale and may pay what, buying, one's own tickets, and how a race was settled (06 arena)."""

from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request, Response
from pydantic import Field

from clash_pipeline.api.documenting import creates, refuses
from clash_pipeline.api.parts import Me, Paging, Parts
from clash_pipeline.api.problems import not_found
from clash_pipeline.api.routes.arena import name_of
from clash_pipeline.api.routes.purchases import Address, PurchaseShown, quoted
from clash_pipeline.api.routing import for_user, public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import Cursor, Given, Hash, Id, PageSize, Shown, Time, Wei
from clash_pipeline.economy import pools, settling, tickets
from clash_pipeline.economy.quotes import MOST_TICKETS, Wanted
from clash_pipeline.economy.tickets import Offer, Ticket

router = area("/api/v1", "economy")
RaceId = Annotated[Id, Path(alias="raceId", description="The number of the race.")]
Count = Annotated[int, Field(ge=1, le=MOST_TICKETS)]
CountAsked = Annotated[int, Query(ge=1, le=MOST_TICKETS, description="How many tickets would be bought.")]
Outcome = Literal["settled", "refunded"]


class TicketRequest(Given):
    """Tickets on one clone of the race that is on sale."""

    clone_id: Annotated[int, Field(ge=1, le=10**18 - 1)]
    count: Count
    wallet: Address | None = None


class OfferShown(Shown):
    """A clone on sale. Payouts are what each ticket would get for 1st, 2nd and 3rd place now; null: unpaid.

    While counts are hidden, tickets and payouts stay as they stood when the hiding began.
    """

    clone_id: int
    name: str | None
    tickets: int
    payouts_wei: list[Wei | None]


class OfferList(Shown):
    """What is on sale for a race, until when, at what price."""

    race_id: int
    price_wei: Wei
    state: Literal["open", "closed", "settled", "refunded"]
    opens_at: Time
    closes_at: Time
    is_hidden: bool
    items: list[OfferShown]


class TicketShown(Shown):
    """One of one's tickets."""

    id: int
    race_id: int
    ticket_no: int
    clone_id: int
    purchase_id: int
    wallet: str
    deposited_at: Time
    granted_at: Time


class TicketList(Shown):
    """A page of tickets, newest first."""

    items: list[TicketShown]
    next_cursor: str | None


class TicketPaidShown(Shown):
    """One ticket and what it got: a payout, or its price back."""

    ticket_no: int
    clone_id: int
    holder: str
    wei: Wei


class RoyaltyShown(Shown):
    """What the creator of a paying clone got."""

    clone_id: int
    creator: str
    wei: Wei


class SettlementShown(Shown):
    """How a race was settled, with all that is needed to compute it again by hand.

    `inputs` are what was frozen: price, shares, weights, starters in the order of finish, tickets. Payouts, royalties
    and the rake, which holds the dust, add up to the pool; refunds of clones that did not start stand outside it.
    """

    race_id: int
    outcome: Outcome
    rule_set: int
    inputs: dict[str, Any]
    inputs_hash: Hash
    pool_wei: Wei
    rake_wei: Wei
    dust_wei: Wei
    payouts: list[TicketPaidShown]
    royalties: list[RoyaltyShown]
    refunds: list[TicketPaidShown]
    result_hash: Hash
    settled_at: Time


@router.get("/races/{raceId}/offers", summary="What is on sale for a race")
@public
def list_offers(race_id: RaceId, parts: Parts, count: CountAsked = 1) -> OfferList:
    """Every clone on sale, and what each of `count` tickets on it would get by place as the pool stands."""
    now_ms = parts.clock.now_ms()
    with parts.clash.read() as connection:
        pool = pools.get(connection, race_id)
        found = tickets.offers(connection, race_id, count=count, now_ms=now_ms)
        items = [_offer(offer, name_of(connection, offer.clone_id)) for offer in found]
    return OfferList(
        race_id=race_id,
        price_wei=str(pool.price_wei),
        state=pool.state,  # type: ignore[arg-type]  # the table's own check
        opens_at=pool.opens_at,
        closes_at=pool.closes_at,
        is_hidden=pool.hides_counts(now_ms),
        items=items,
    )


@router.post("/races/{raceId}/tickets", status_code=201, summary="Buy tickets", response_model=PurchaseShown)
@for_user
@creates
@refuses(409, 503)
def buy_tickets(request: Request, race_id: RaceId, given: TicketRequest, me: Me, parts: Parts) -> Response:
    """Fix the price of some tickets for fifteen minutes; they count by the time of their deposit's final block."""
    wanted = Wanted(me.user_id, "ticket", given.clone_id, wallet=given.wallet, race_id=race_id, count=given.count)
    return quoted(request, given.model_dump(), wanted, parts)


@router.get("/tickets", summary="List one's tickets")
@for_user
def list_tickets(me: Me, parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50) -> TicketList:
    """One's tickets of all races, newest first."""
    of = f"tickets/{me.user_id}"
    before = paging.open(of, cursor)
    with parts.clash.read() as connection:
        found = tickets.of_user(connection, me.user_id, before_id=before[0] if before else None, limit=limit + 1)
    page = paging.page(of, found, limit, lambda ticket: [ticket.id])
    return TicketList(items=[_ticket(ticket) for ticket in page.items], next_cursor=page.next_cursor)


@router.get("/races/{raceId}/settlement", summary="How a race was settled")
@public
def get_settlement(race_id: RaceId, parts: Parts) -> SettlementShown:
    """Every amount of a settled race and the frozen inputs that it follows from."""
    with parts.clash.read() as connection:
        settled = settling.settlement_of(connection, race_id)
    if settled is None:
        raise not_found("settlement")
    return SettlementShown(
        race_id=settled.race_id,
        outcome=settled.outcome,  # type: ignore[arg-type]  # the table's own check
        rule_set=settled.rule_set,
        inputs=settled.inputs,
        inputs_hash=settled.inputs_hash,
        pool_wei=str(settled.pool_wei),
        rake_wei=str(settled.rake_wei),
        dust_wei=str(settled.dust_wei),
        payouts=[TicketPaidShown.model_validate(paid) for paid in settled.payouts],
        royalties=[RoyaltyShown.model_validate(royalty) for royalty in settled.royalties],
        refunds=[TicketPaidShown.model_validate(paid) for paid in settled.refunds],
        result_hash=settled.result_hash,
        settled_at=settled.settled_at,
    )


def _offer(offer: Offer, name: str | None) -> OfferShown:
    payouts = [None if wei is None else str(wei) for wei in offer.payouts]
    return OfferShown(clone_id=offer.clone_id, name=name, tickets=offer.tickets, payouts_wei=payouts)


def _ticket(ticket: Ticket) -> TicketShown:
    return TicketShown(
        id=ticket.id,
        race_id=ticket.race_id,
        ticket_no=ticket.ticket_no,
        clone_id=ticket.clone_id,
        purchase_id=ticket.purchase_id,
        wallet=ticket.wallet,
        deposited_at=ticket.block_time,
        granted_at=ticket.granted_at,
    )
