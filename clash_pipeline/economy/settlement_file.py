"""A race and its settlement as JSON: what `clash settlement compute` reads and prints; wei as decimal text."""

from typing import Annotated, Any

import msgspec

from clash_pipeline.economy.settlement import Paid, Royalty, Settlement, SettlementInvalid, Starter, Tickets, settle
from clash_pipeline.units import UnitError, parse_wei

FILE_BYTES = 20_000_000
CloneNumber = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Person = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class StarterGiven(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """One clone that started."""

    clone_id: CloneNumber
    creator: Person


class TicketsGiven(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Tickets of one holder."""

    clone_id: CloneNumber
    holder: Person
    count: Count


class RaceGiven(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A race as it ended: starters in the order of finish."""

    price_wei: str
    starters: list[StarterGiven]
    tickets: list[TicketsGiven]


def computed(content: bytes) -> dict[str, Any]:
    """Settle the race of a file.

    Raises:
        SettlementInvalid: not such JSON, or no race; one line.
    """
    if len(content) > FILE_BYTES:
        raise SettlementInvalid(f"the file has {len(content):,} bytes, at most {FILE_BYTES:,} are read")
    try:
        race = msgspec.json.decode(content, type=RaceGiven)
        price = parse_wei(race.price_wei, name="priceWei")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettlementInvalid(str(error)[:200]) from None
    except UnitError as error:
        raise SettlementInvalid(str(error)) from None
    starters = [Starter(given.clone_id, given.creator) for given in race.starters]
    tickets = [Tickets(given.clone_id, given.holder, given.count) for given in race.tickets]
    return wire(settle(price, starters, tickets))


def wire(settled: Settlement) -> dict[str, Any]:
    """A settlement as plain JSON."""
    return {
        "poolWei": str(settled.pool),
        "rakeWei": str(settled.rake),
        "dustWei": str(settled.dust),
        "royalties": [_royalty(royalty) for royalty in settled.royalties],
        "payouts": [_paid(paid) for paid in settled.payouts],
        "refunds": [_paid(paid) for paid in settled.refunds],
    }


def _royalty(royalty: Royalty) -> dict[str, Any]:
    return {"cloneId": royalty.clone, "creator": royalty.creator, "wei": str(royalty.wei)}


def _paid(paid: Paid) -> dict[str, Any]:
    return {
        "cloneId": paid.clone,
        "holder": paid.holder,
        "count": paid.count,
        "perTicketWei": str(paid.per_ticket),
        "wei": str(paid.wei),
    }
