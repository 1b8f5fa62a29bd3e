"""What operators do to accounts: pause, lock, end, halt; each act with actor and reason (06 prop; scope `accounts`)."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from clash_pipeline.api.documenting import refuses
from clash_pipeline.api.parts import Operator, Parts
from clash_pipeline.api.routes.accounts import AccountId, AccountShown, account_of
from clash_pipeline.api.routes.moderation import actor_of
from clash_pipeline.api.routing import for_service
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import Given, Line, PageSize, Shown, Time
from clash_pipeline.prop import accounts, admin
from clash_pipeline.prop.venue import PaperVenue

router = area("/api/v1/operator", "prop")
ACCOUNTS = for_service("accounts")
Reason = Annotated[Line, StringConstraints(min_length=1, max_length=500)]
Act = Literal["pause", "resume", "lock", "unlock", "complete", "liquidate", "halt", "release"]


class AccountAct(Given):
    """What is done to one account, and why; both are written down."""

    act: Act
    reason: Reason


class SwitchAct(Given):
    """The kill switch of all accounts: thrown or taken back, and why."""

    act: Literal["halt", "release"]
    reason: Reason


class SwitchShown(Shown):
    """The kill switch of all accounts, and whether it changed just now."""

    is_halted: bool
    has_changed: bool


class AdminAct(Shown):
    """One act, refused ones too; `account_id` is null for all accounts."""

    id: int
    account_id: int | None
    act: Act
    actor: str
    reason: str
    outcome: Literal["done", "unchanged", "refused"]
    detail: str
    acted_at: Time


class AdminActs(Shown):
    """The newest acts, newest first."""

    items: list[AdminAct]


@router.get("/acts", summary="What operators did")
@ACCOUNTS
def list_acts(token: Operator, parts: Parts, limit: PageSize = 100) -> AdminActs:
    """The newest acts of operators, refused ones too."""
    with parts.clash.read() as connection:
        return AdminActs(items=[AdminAct(**act) for act in admin.acts(connection, limit=limit)])


@router.get("/accounts/{accountId}", summary="Any account")
@ACCOUNTS
def get_any_account(account_id: AccountId, token: Operator, parts: Parts) -> AccountShown:
    """State and balance of an account, whoever's it is."""
    with parts.clash.read() as connection:
        return account_of(accounts.get(connection, account_id))


@router.post("/accounts/{accountId}/acts", summary="Act on an account")
@ACCOUNTS
@refuses(409)
def act_on_account(
    account_id: AccountId,
    given: AccountAct,
    token: Operator,
    parts: Parts,
) -> AccountShown:
    """Pause, resume, lock, unlock, halt or release an account, or end it for good; the same act twice is one."""
    act, actor, now_ms = given.act, actor_of(token), parts.clock.now_ms()
    moves = {"pause": admin.pause, "resume": admin.resume, "lock": admin.lock, "unlock": admin.unlock}
    switches = {"halt": admin.halt, "release": admin.release}
    if act in moves:
        moves[act](parts.clash, account_id, actor=actor, reason=given.reason, now_ms=now_ms)
    elif act in switches:
        switches[act](parts.clash, actor=actor, reason=given.reason, now_ms=now_ms, account_id=account_id)
    else:
        end = admin.complete if act == "complete" else admin.liquidate
        venue = PaperVenue(parts.market, price_jump_pct=parts.settings.price_jump_pct)
        end(parts.clash, venue, account_id, actor=actor, reason=given.reason, now_ms=now_ms)
    with parts.clash.read() as connection:
        return account_of(accounts.get(connection, account_id))


@router.post("/acts", summary="Halt or release all accounts")
@ACCOUNTS
def switch_all(
    given: SwitchAct,
    token: Operator,
    parts: Parts,
) -> SwitchShown:
    """Throw the kill switch of all accounts, or take it back; marks, funding and liquidation go on."""
    throw = admin.halt if given.act == "halt" else admin.release
    changed = throw(parts.clash, actor=actor_of(token), reason=given.reason, now_ms=parts.clock.now_ms())
    return SwitchShown(is_halted=given.act == "halt", has_changed=changed)
