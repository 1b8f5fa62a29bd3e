"""Settlement of a race, to the wei (11, "Settlement, exactly"). Pure: rank, tickets and price in, every amount out.

Everything is floored, and what flooring leaves over is dust that goes to the rake, so that equal tickets are paid
equally and the sums are exact.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from clash_pipeline.units import Rounding, mul_div

RULE_SET = 1
RAKE_BP = 500
CREATOR_BP = 500
WHOLE_BP = 10_000
LEAST_STARTERS = 4
WEIGHTS = (50, 30, 20)
MANY_STARTERS = 8
"""From here on three places are paid; four starters pay one, five to seven pay two."""

CloneId = int


class Starter(msgspec.Struct, frozen=True):
    """A clone that started, in the order of finish; `creator` is who gets its royalty."""

    clone: CloneId
    creator: str


class Tickets(msgspec.Struct, frozen=True):
    """`count` tickets of one holder on one clone."""

    clone: CloneId
    holder: str
    count: int


class Royalty(msgspec.Struct, frozen=True):
    """What a creator gets for a paying clone."""

    clone: CloneId
    creator: str
    wei: int


class Paid(msgspec.Struct, frozen=True):
    """What tickets of one holder on one clone get, for each and in all: a payout, or their price back."""

    clone: CloneId
    holder: str
    count: int
    per_ticket: int
    wei: int


@dataclass(frozen=True)
class Settlement:
    """Every amount of a race. `rake` holds the dust; refunds of tickets on non-starters stand outside the pool."""

    pool: int
    rake: int
    dust: int
    royalties: tuple[Royalty, ...]
    payouts: tuple[Paid, ...]
    refunds: tuple[Paid, ...]


class SettlementInvalid(ValueError):
    """Inputs that describe no race; names the thing, the value and the limit."""


def places_of(starters: int) -> int:
    """How many places pay: none below four starters, then 1, then 2 from five, 3 from eight (11, 15)."""
    if starters < LEAST_STARTERS:
        return 0
    if starters == LEAST_STARTERS:
        return 1
    return 2 if starters < MANY_STARTERS else 3


def settle(
    price: int, starters: Sequence[Starter], tickets: Iterable[Tickets], *, is_cancelled: bool = False
) -> Settlement:
    """Compute a race's settlement; `starters` in the order of finish, the price in wei.

    Raises:
        SettlementInvalid: a clone that started twice, a price or count that is not positive.
    """
    held = _held(price, starters, tickets)
    rank = {starter.clone: place for place, starter in enumerate(starters)}
    pool = price * sum(count for (clone, _), count in held.items() if clone in rank)
    strangers = _refunds(price, {key: count for key, count in held.items() if key[0] not in rank})
    inside = {key: count for key, count in held.items() if key[0] in rank}
    weight = _weights(starters)
    total = sum(weight[clone] * count for (clone, _), count in inside.items() if clone in weight)
    if is_cancelled or total == 0:
        refunds = (*_refunds(price, inside, rank), *strangers)
        return Settlement(pool, 0, 0, (), (), refunds)

    rake, creators = _share(pool, RAKE_BP), _share(pool, CREATOR_BP)
    payouts = _payouts(pool - rake - creators, inside, weight, total, rank)
    royalties = _royalties(creators, starters, inside, weight)
    dust = pool - rake - sum(paid.wei for paid in payouts) - sum(royalty.wei for royalty in royalties)
    return Settlement(pool, rake + dust, dust, royalties, payouts, strangers)


def is_same_person(one: str, other: str) -> bool:
    """Whether two names are one person: wallets are compared whatever the case of their letters."""
    if one[:2].lower() == other[:2].lower() == "0x":
        return one.lower() == other.lower()
    return one == other


def _held(price: int, starters: Sequence[Starter], tickets: Iterable[Tickets]) -> dict[tuple[CloneId, str], int]:
    """Tickets by clone and holder."""
    if price <= 0:
        raise SettlementInvalid(f"the price is {price} wei, it must be positive")
    twice = [clone for clone, count in Counter(starter.clone for starter in starters).items() if count > 1]
    if twice:
        raise SettlementInvalid(f"clone {twice[0]} starts twice")
    held: dict[tuple[CloneId, str], int] = {}
    for line in tickets:
        if line.count <= 0:
            message = f"{line.holder} holds {line.count} tickets on clone {line.clone}, it must be at least 1"
            raise SettlementInvalid(message)
        key = (line.clone, line.holder)
        held[key] = held.get(key, 0) + line.count
    return held


def _weights(starters: Sequence[Starter]) -> dict[CloneId, int]:
    """The paying clones and their weights."""
    places = places_of(len(starters))
    return {starter.clone: weight for starter, weight in zip(starters[:places], WEIGHTS, strict=False)}


def _share(pool: int, basis_points: int) -> int:
    return mul_div(pool, basis_points, WHOLE_BP, Rounding.FLOOR)


def _payouts(
    distribution: int,
    held: Mapping[tuple[CloneId, str], int],
    weight: Mapping[CloneId, int],
    total: int,
    rank: Mapping[CloneId, int],
) -> tuple[Paid, ...]:
    """The distribution pool by weight; a ticket that gets nothing has no row."""
    each = {clone: mul_div(distribution, share, total, Rounding.FLOOR) for clone, share in weight.items()}
    keys = sorted((key for key in held if each.get(key[0])), key=lambda key: (rank[key[0]], key[1]))
    return tuple(Paid(clone, holder, held[clone, holder], each[clone], each[clone] * held[clone, holder])
                 for clone, holder in keys)  # fmt: skip


def _royalties(
    creators: int,
    starters: Sequence[Starter],
    held: Mapping[tuple[CloneId, str], int],
    weight: Mapping[CloneId, int],
) -> tuple[Royalty, ...]:
    """The creator pool by rank weight, among the paying clones that somebody else backed; if none, among them all."""
    paying = [starter for starter in starters if starter.clone in weight]
    backed = [
        starter
        for starter in paying
        if any(clone == starter.clone and not is_same_person(holder, starter.creator) for clone, holder in held)
    ]
    sharing = backed or paying
    total = sum(weight[starter.clone] for starter in sharing)
    shares = [
        Royalty(starter.clone, starter.creator, mul_div(creators, weight[starter.clone], total, Rounding.FLOOR))
        for starter in sharing
    ]
    return tuple(royalty for royalty in shares if royalty.wei)


def _refunds(
    price: int, held: Mapping[tuple[CloneId, str], int], rank: Mapping[CloneId, int] | None = None
) -> tuple[Paid, ...]:
    """The full price of each ticket back."""
    place = rank or {}
    keys = sorted(held, key=lambda key: (place.get(key[0], 0), key))
    return tuple(Paid(clone, holder, held[clone, holder], price, price * held[clone, holder]) for clone, holder in keys)
