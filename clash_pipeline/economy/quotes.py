"""Quotes: what something costs, to whom, until when; the terms a deposit must meet to the wei (09 §4.5)."""

from collections.abc import Callable
from dataclasses import dataclass

from clash_pipeline.clones import retirement
from clash_pipeline.clones.entitlements import CAPACITY_ORDER, MODEL_TIERS, Purchased, purchased
from clash_pipeline.economy import pools, purchases
from clash_pipeline.economy.credits import unused as unused_audition
from clash_pipeline.economy.prices import Prices, upgraded
from clash_pipeline.economy.purchases import Purchase, Purpose
from clash_pipeline.economy.refusals import AlreadyBought, EconomyUnknown, QuoteInvalid, SalesClosed
from clash_pipeline.identity import users
from clash_pipeline.storage.sqlite import Connection, one

LIFE_MS = 900_000
MOST_TICKETS = 100
NONCE_LIMIT = 2**63
Draw = Callable[[], int]
"""A random number in `1 <= n < 2**63`, not to be guessed."""


@dataclass(frozen=True)
class PaymentTerms:
    """Where a deposit goes: chain, vault contract, our resolver in it, and the asset; addresses in lower case."""

    chain_id: int
    contract: str
    resolver: str
    asset: str


@dataclass(frozen=True)
class Wanted:
    """What a signed-in user asks the price of. A ticket names race and count, the rest the tiers where they choose."""

    user_id: int
    purpose: Purpose
    clone_id: int
    wallet: str | None = None
    race_id: int | None = None
    count: int | None = None
    capacity_tier: str | None = None
    model_tier: int | None = None


@dataclass(frozen=True)
class _Goods:
    """What is bought, and its price in wei."""

    wei: int
    race_id: int | None = None
    count: int | None = None
    target: Purchased | None = None
    base: Purchased | None = None


def quote(
    connection: Connection,
    wanted: Wanted,
    prices: Prices,
    terms: PaymentTerms,
    *,
    draw: Draw,
    now_ms: int,
    life_ms: int = LIFE_MS,
) -> Purchase:
    """Fix a price for a user's wallet, with a nonce that only this purchase has; payable for 15 minutes.

    Raises:
        QuoteInvalid: an unknown purpose or tier, a count outside 1 to 100, a wallet that is not the user's.
        EconomyUnknown: the clone is somebody else's, or not in the field of that race.
        AlreadyBought: nothing would be gained.
        SalesClosed: the race takes no tickets now.
    """
    wallet = _wallet(connection, wanted)
    goods = _goods(connection, wanted, prices, now_ms)
    columns = {
        "nonce": str(_nonce(connection, draw)),
        "user_id": wanted.user_id,
        "wallet": wallet,
        "purpose": wanted.purpose,
        "clone_id": wanted.clone_id,
        "race_id": goods.race_id,
        "tickets": goods.count,
        "capacity_tier": goods.target.capacity_tier if goods.target else None,
        "model_tier": goods.target.model_tier if goods.target else None,
        "base_capacity": goods.base.capacity_tier if goods.base else None,
        "base_model": goods.base.model_tier if goods.base else None,
        "amount_wei": str(goods.wei),
        "chain_id": terms.chain_id,
        "contract": terms.contract,
        "resolver": terms.resolver,
        "asset": terms.asset,
        "quoted_at": now_ms,
        "expires_at": now_ms + life_ms,
    }
    return purchases.begin(connection, columns, actor=f"user:{wanted.user_id}", now_ms=now_ms)


def _goods(connection: Connection, wanted: Wanted, prices: Prices, now_ms: int) -> _Goods:
    if wanted.purpose == "ticket":
        return _tickets(connection, wanted, now_ms)
    _own_clone(connection, wanted)
    base = purchased(connection, wanted.clone_id)
    if wanted.purpose == "audition":
        return _audition(wanted, base, prices)
    if base is None:
        raise QuoteInvalid(f"clone {wanted.clone_id} has no audition yet: buy one before a {wanted.purpose}")
    if wanted.purpose == "upgrade":
        return _upgrade(wanted, base, prices)
    if wanted.purpose == "retry":
        return _retry(connection, wanted, base, prices)
    raise QuoteInvalid(f"purpose is one of audition, upgrade, retry, ticket, not {wanted.purpose[:20]!r}")


def _audition(wanted: Wanted, base: Purchased | None, prices: Prices) -> _Goods:
    if base is not None:
        raise AlreadyBought(f"clone {wanted.clone_id} has its audition: a further one is a retry")
    target = _tiers(wanted, Purchased("starter", MODEL_TIERS[0]))
    return _Goods(prices.fee(target.model_tier, target.capacity_tier), target=target)


def _upgrade(wanted: Wanted, base: Purchased, prices: Prices) -> _Goods:
    target = upgraded(base, _tiers(wanted, base))
    cost = prices.difference(base, target)
    if target == base or cost <= 0:
        raise AlreadyBought(f"clone {wanted.clone_id} has capacity {base.capacity_tier} and model {base.model_tier}")
    return _Goods(cost, target=target, base=base)


def _retry(connection: Connection, wanted: Wanted, base: Purchased, prices: Prices) -> _Goods:
    """The full fee of what the clone has, whatever it was bought for."""
    if _tiers(wanted, base) != base:
        raise QuoteInvalid("a retry is of the tiers that were bought; an upgrade changes them")
    if unused_audition(connection, wanted.clone_id) is not None:
        raise AlreadyBought(f"clone {wanted.clone_id} has an audition that was not used yet")
    return _Goods(prices.fee(base.model_tier, base.capacity_tier), target=base, base=base)


def _tickets(connection: Connection, wanted: Wanted, now_ms: int) -> _Goods:
    if wanted.race_id is None or wanted.count is None or not 1 <= wanted.count <= MOST_TICKETS:
        raise QuoteInvalid(f"a ticket names its race and 1 to {MOST_TICKETS} of them, not {wanted.count}")
    pool = pools.get(connection, wanted.race_id)
    if wanted.clone_id not in {clone.clone_id for clone in pools.field(connection, pool.race_id)}:
        raise EconomyUnknown(f"clone {wanted.clone_id} is not in the field of race {pool.race_id}")
    if pool.state != "open" or not pool.opens_at <= now_ms < pool.closes_at:
        raise SalesClosed(f"race {pool.race_id} takes no tickets now")
    if wanted.clone_id not in {clone.clone_id for clone in pools.field(connection, pool.race_id, with_left=False)}:
        raise SalesClosed(f"clone {wanted.clone_id} left the field of race {pool.race_id}")
    return _Goods(pool.price_wei * wanted.count, pool.race_id, wanted.count)


def _tiers(wanted: Wanted, otherwise: Purchased) -> Purchased:
    """The tiers asked for; what is not named stays."""
    capacity = otherwise.capacity_tier if wanted.capacity_tier is None else wanted.capacity_tier
    model = otherwise.model_tier if wanted.model_tier is None else wanted.model_tier
    if capacity not in CAPACITY_ORDER:
        raise QuoteInvalid(f"capacity is one of {', '.join(CAPACITY_ORDER)}, not {str(capacity)[:20]!r}")
    if model not in MODEL_TIERS:
        raise QuoteInvalid(f"the model tier is 1 to {MODEL_TIERS[-1]}, not {model}")
    return Purchased(capacity, model)


def _own_clone(connection: Connection, wanted: Wanted) -> None:
    owner = one(connection, "SELECT owner FROM clones WHERE id = ?", (wanted.clone_id,))
    if owner != f"user:{wanted.user_id}":
        raise EconomyUnknown(f"there is no clone {wanted.clone_id}")
    if retirement.is_retired(connection, wanted.clone_id):
        raise SalesClosed(f"clone {wanted.clone_id} is retired: nothing is sold for it")


def _wallet(connection: Connection, wanted: Wanted) -> str:
    """The wallet that will pay: the one named, else the user's primary one."""
    own = users.wallets(connection, wanted.user_id)
    chosen = wanted.wallet.lower() if wanted.wallet else (own[0] if own else None)
    if chosen is None or chosen not in own:
        raise QuoteInvalid("the wallet is not one of the user's")
    return chosen


def _nonce(connection: Connection, draw: Draw) -> int:
    """A number that no purchase has; drawn again in the case that will not happen."""
    while True:
        nonce = draw()
        if not 1 <= nonce < NONCE_LIMIT:
            raise ValueError(f"a nonce is 1 to 2^63 - 1, the source gave {nonce}")
        if purchases.of_nonce(connection, nonce) is None:
            return nonce
