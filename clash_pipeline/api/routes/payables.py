"""What is owed to somebody, and the authorisation that takes it from the vault (06 arena, 09 §4.8)."""

from typing import Annotated, Literal

from fastapi import Path, Request, Response

from clash_pipeline.api import idempotency
from clash_pipeline.api.documenting import creates, refuses
from clash_pipeline.api.parts import Me, Paging, Parts, owner_of
from clash_pipeline.api.problems import payout_paused
from clash_pipeline.api.routes.clones import wire
from clash_pipeline.api.routing import for_user
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import Cursor, Id, PageSize, Shown, Time, Wei
from clash_pipeline.economy import payables
from clash_pipeline.economy.payables import Payable
from clash_pipeline.economy.payouts import Authorisation
from clash_pipeline.services import Services

router = area("/api/v1", "economy")
PayableId = Annotated[Id, Path(alias="payableId", description="What is owed.")]
PayableState = Literal["claimable", "authorised", "claimed"]


class PayableShown(Shown):
    """Something that is owed to one: claimable, authorised by a signature, or claimed on the chain."""

    id: int
    kind: Literal["payout", "royalty", "refund"]
    state: PayableState
    amount_wei: Wei
    recipient: str
    race_id: int | None
    clone_id: int | None
    purchase_id: int | None
    reason: str
    created_at: Time
    authorised_at: Time | None
    claimed_at: Time | None


class PayableList(Shown):
    """A page of what is owed to one, newest first."""

    items: list[PayableShown]
    next_cursor: str | None


class AuthorisationShown(Shown):
    """What the recipient sends to the vault: whose money it is, every field of the typed data, and our signature."""

    payable_id: int
    chain_id: int
    contract: str
    resolver: str
    recipient: str
    asset: str
    amount_wei: Wei
    nonce: str
    deadline: Time
    signature: str


@router.get("/payables", summary="What is owed to one")
@for_user
def list_payables(me: Me, parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50) -> PayableList:
    """Payouts, royalties and refunds of one's own, newest first."""
    of = f"payables/{me.user_id}"
    before = paging.open(of, cursor)
    with parts.clash.read() as connection:
        found = payables.every(connection, user_id=me.user_id, before_id=before[0] if before else None, limit=limit + 1)
    page = paging.page(of, found, limit, lambda payable: [payable.id])
    return PayableList(items=[payable_shown(payable) for payable in page.items], next_cursor=page.next_cursor)


@router.post("/payables/{payableId}/authorisation", status_code=201, summary="Claim what is owed",
             response_model=AuthorisationShown)  # fmt: skip
@for_user
@creates
@refuses(409)
def authorise_payable(request: Request, payable_id: PayableId, me: Me, parts: Parts) -> Response:
    """The authorisation of what is owed to one: the one that stands, or a new one of the same contract nonce.

    It pays the wallet that was recorded when it became owed. While payouts are paused it is 409 and nothing is lost.
    """
    with parts.clash.read() as connection:
        payables.owned(connection, payable_id, me.user_id)
    return idempotency.once_beside(request, None, lambda: wire(_authorised(parts, payable_id, owner_of(me))))


def payable_shown(payable: Payable) -> PayableShown:
    """A payable as its recipient sees it."""
    return PayableShown(
        **{name: getattr(payable, name) for name in PayableShown.model_fields if name != "amount_wei"},
        amount_wei=str(payable.amount_wei),
    )


def _authorised(parts: Services, payable_id: int, actor: str) -> AuthorisationShown:
    """Ask for it, with the chain and the signer of the settings.

    Raises:
        Problem: 409 while nobody can sign, or a gate holds it back.
    """
    from clash_pipeline.economy import payouts, signing

    signer = signing.signer_from(parts.settings)
    with parts.chain() as chain:
        if chain is None or signer is None:
            raise payout_paused()
        made = payouts.authorise(
            chain, signer, payouts.limits_from(parts.settings), payable_id, actor=actor, now_ms=parts.clock.now_ms()
        )
    return _shown(made)


def _shown(made: Authorisation) -> AuthorisationShown:
    return AuthorisationShown(
        payable_id=made.payable_id,
        chain_id=made.vault.chain_id,
        contract=made.vault.address,
        resolver=made.vault.resolver,
        recipient=made.allowed.recipient,
        asset=made.allowed.asset,
        amount_wei=str(made.allowed.amount_wei),
        nonce=str(made.allowed.nonce),
        deadline=made.allowed.deadline * 1_000,
        signature=made.signature,
    )
