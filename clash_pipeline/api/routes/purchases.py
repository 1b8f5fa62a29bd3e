"""Buying: what things cost, quotes, the deposit that pays one, and what became of it (06 entitlements, 09 §4.5)."""

import random
from typing import Annotated, Literal

from fastapi import Path, Query, Request, Response
from pydantic import Field, StringConstraints

from clash_pipeline.api import idempotency
from clash_pipeline.api.documenting import creates, refuses
from clash_pipeline.api.parts import Me, Paging, Parts, still
from clash_pipeline.api.problems import unavailable
from clash_pipeline.api.routes.clones import wire
from clash_pipeline.api.routing import for_user, public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import CloneId, Cursor, Given, Id, PageSize, Shown, Time, Wei
from clash_pipeline.clones.entitlements import CAPACITY_ORDER, MODEL_TIERS
from clash_pipeline.economy import prices, purchases, quotes
from clash_pipeline.economy.purchases import Move, Purchase
from clash_pipeline.economy.quotes import PaymentTerms, Wanted
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings

router = area("/api/v1", "economy")
PurchaseId = Annotated[Id, Path(alias="purchaseId", description="The purchase.")]
CapacityName = Literal["starter", "builder", "pro"]
State = Literal["quoted", "pending", "confirmed", "granted", "refund_due", "refunded", "rejected", "expired"]
Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
TxHash = Annotated[str, StringConstraints(max_length=80)]
StateAsked = Annotated[State | None, Query(description="Only purchases in this state.")]


class QuoteRequest(Given):
    """What is wanted for a clone. A retry is of the tiers that were bought; what an upgrade leaves out stays."""

    purpose: Literal["audition", "upgrade", "retry"]
    capacity_tier: CapacityName | None = None
    model_tier: Annotated[int, Field(ge=1, le=3)] | None = None
    wallet: Address | None = None


class DepositRequest(Given):
    """The transaction that holds the deposit: a hint, never a proof."""

    tx_hash: TxHash


class FeeShown(Shown):
    """The audition fee of one cell."""

    model_tier: int
    capacity_tier: CapacityName
    fee_wei: Wei


class PriceList(Shown):
    """What things cost now; an open quote keeps its price. `is_open` says whether a chain is configured to pay on."""

    is_open: bool
    ticket_wei: Wei
    fees: list[FeeShown]


class PaymentShown(Shown):
    """Exactly what to deposit where: the vault of a chain, to our resolver in it, with the nonce of the purchase."""

    chain_id: int
    contract: str
    resolver: str
    asset: str
    wallet: str
    nonce: str
    amount_wei: Wei


class PurchaseShown(Shown):
    """A purchase. `reason` is the code of its last move, or why it is still pending."""

    id: int
    purpose: Literal["audition", "upgrade", "retry", "ticket"]
    clone_id: int
    race_id: int | None
    tickets: int | None
    capacity_tier: CapacityName | None
    model_tier: int | None
    state: State
    reason: str | None
    payment: PaymentShown
    tx_hash: str | None
    quoted_at: Time
    expires_at: Time
    moved_at: Time


class MoveShown(Shown):
    """One move of a purchase."""

    from_state: State | None
    to_state: State
    reason: str | None
    moved_at: Time


class PurchaseWhole(PurchaseShown):
    """A purchase with every move it made, oldest first."""

    moves: list[MoveShown]


class PurchaseList(Shown):
    """A page of purchases, newest first."""

    items: list[PurchaseShown]
    next_cursor: str | None


@router.get("/prices", summary="What things cost")
@public
def list_prices(parts: Parts) -> PriceList:
    """Audition fees by model and capacity tier, and the price of a ticket, in wei."""
    listed = prices.of(parts.settings)
    fees = [
        FeeShown(model_tier=model, capacity_tier=capacity, fee_wei=str(listed.fee(model, capacity)))  # type: ignore[arg-type]
        for model in MODEL_TIERS
        for capacity in CAPACITY_ORDER
    ]
    return PriceList(is_open=is_open(parts.settings), ticket_wei=str(listed.ticket_wei), fees=fees)


@router.post("/clones/{cloneId}/quotes", status_code=201, summary="Ask for a price", response_model=PurchaseShown)
@for_user
@creates
@refuses(409, 503)
def quote(request: Request, clone_id: CloneId, given: QuoteRequest, me: Me, parts: Parts) -> Response:
    """Fix the price of an audition, an upgrade or a retry for fifteen minutes, payable from one's own wallet."""
    wanted = Wanted(
        me.user_id, given.purpose, clone_id, wallet=given.wallet, capacity_tier=given.capacity_tier,
        model_tier=given.model_tier,
    )  # fmt: skip
    return quoted(request, given.model_dump(), wanted, parts)


@router.get("/purchases", summary="List one's purchases")
@for_user
def list_purchases(
    me: Me, parts: Parts, paging: Paging, state: StateAsked = None, cursor: Cursor = None, limit: PageSize = 50
) -> PurchaseList:
    """One's purchases, newest first."""
    of = f"purchases/{me.user_id}/{state}"
    before = paging.open(of, cursor)
    with parts.clash.read() as connection:
        found = purchases.every(
            connection, user_id=me.user_id, state=state, before_id=before[0] if before else None, limit=limit + 1
        )
    page = paging.page(of, found, limit, lambda purchase: [purchase.id])
    return PurchaseList(items=[shown(purchase) for purchase in page.items], next_cursor=page.next_cursor)


@router.get("/purchases/{purchaseId}", summary="One purchase")
@for_user
def get_purchase(purchase_id: PurchaseId, me: Me, parts: Parts) -> PurchaseWhole:
    """What it was for, where it stands, and every move it made."""
    with parts.clash.read() as connection:
        found = purchases.owned(connection, purchase_id, me.user_id)
        moves = [_move(move) for move in purchases.moves(connection, purchase_id)]
    return PurchaseWhole(**dict(shown(found)), moves=moves)


@router.post(
    "/purchases/{purchaseId}/deposit", status_code=202, summary="Name the deposit", response_model=PurchaseShown
)
@for_user
@creates
@refuses(409)
def submit_deposit(request: Request, purchase_id: PurchaseId, given: DepositRequest, me: Me, parts: Parts) -> Response:
    """Say which transaction paid; it is verified on the chain, and the purchase stays pending until it is final."""
    now_ms = parts.clock.now_ms()

    def work() -> object:
        with parts.clash.write() as connection:
            purchases.owned(connection, purchase_id, me.user_id)
            return wire(shown(purchases.hint(connection, purchase_id, given.tx_hash, now_ms=now_ms)))

    return idempotency.once(request, given.model_dump(), work, status=202)


def quoted(request: Request, body: object, wanted: Wanted, parts: Services) -> Response:
    """Fix a price, once for each key.

    Raises:
        Problem: 503 while no chain is configured.
    """
    if not is_open(parts.settings):
        raise unavailable("payments_unavailable", "Nothing can be paid for here now.", retry_after_sec=60)
    source: random.Random = request.app.state.source
    held = still(parts)

    def work() -> object:
        with held.clash.write() as connection:
            made = quotes.quote(
                connection, wanted, prices.of(held.settings), _terms(held.settings),
                draw=lambda: source.getrandbits(62) + 1, now_ms=held.clock.now_ms(),
                life_ms=held.settings.quote_sec * 1_000,
            )  # fmt: skip
        return wire(shown(made))

    return idempotency.once(request, body, work)


def is_open(settings: Settings) -> bool:
    """Whether a chain is configured to pay on."""
    return bool(settings.chain_endpoints)


def shown(purchase: Purchase) -> PurchaseShown:
    """A purchase as its buyer sees it."""
    return PurchaseShown(
        id=purchase.id,
        purpose=purchase.purpose,  # type: ignore[arg-type]  # the table's own check
        clone_id=purchase.clone_id,
        race_id=purchase.race_id,
        tickets=purchase.tickets,
        capacity_tier=purchase.capacity_tier,  # type: ignore[arg-type]
        model_tier=purchase.model_tier,
        state=purchase.state,  # type: ignore[arg-type]
        reason=purchase.reason,
        payment=PaymentShown(
            chain_id=purchase.chain_id,
            contract=purchase.contract,
            resolver=purchase.resolver,
            asset=purchase.asset,
            wallet=purchase.wallet,
            nonce=str(purchase.nonce),
            amount_wei=str(purchase.amount_wei),
        ),
        tx_hash=purchase.tx_hash,
        quoted_at=purchase.quoted_at,
        expires_at=purchase.expires_at,
        moved_at=purchase.moved_at,
    )


def _terms(settings: Settings) -> PaymentTerms:
    return PaymentTerms(settings.chain_id, settings.chain_contract, settings.chain_resolver, settings.chain_native)


def _move(move: Move) -> MoveShown:
    return MoveShown.model_validate(move)
