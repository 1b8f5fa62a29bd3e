"""Prop accounts of one's own clones: state, positions, orders, fills, ledger, equity series, result (06 prop)."""

from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request, Response

from clash_pipeline import clone_desk
from clash_pipeline.api import idempotency, series
from clash_pipeline.api.documenting import creates
from clash_pipeline.api.parts import Me, Paging, Parts, own_account, own_clone, still
from clash_pipeline.api.problems import not_found
from clash_pipeline.api.routes.clones import wire
from clash_pipeline.api.routing import for_user
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import CloneId, Cursor, Decimal, Hash, Id, PageSize, Shown, Time, Usd
from clash_pipeline.prop import accounts, history, results, views
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.results import Result
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.services import Services
from clash_pipeline.storage.sqlite import Row
from clash_pipeline.units import scaled_text, usd_text

router = area("/api/v1", "prop")
AccountId = Annotated[Id, Path(alias="accountId", description="The prop account.")]
State = Literal["pending", "active", "paused", "locked", "completed", "liquidated"]
Side = Literal["buy", "sell"]
RATE_DECIMALS = 8
MOST_SNAPSHOTS = 2_880
"""Two days of minutes."""


class AccountShown(Shown):
    """An account's own row. `halted` says which kill switch holds it, null where none does."""

    id: int
    clone_id: int
    kind: Literal["sandbox", "audition", "race"]
    state: State
    halted: str | None
    start_balance_usd: Usd
    balance_usd: Usd
    high_water_mark_usd: Usd
    policy_hash: Hash
    ledger_seq: int
    ledger_hash: Hash
    created_at: Time
    starts_at: Time | None
    ends_at: Time | None


class AccountList(Shown):
    """A page of accounts, newest first."""

    items: list[AccountShown]
    next_cursor: str | None


class RoomShown(Shown):
    """What is left under the limits for orders that raise exposure; `cash_usd` only where spot may be bought."""

    gross_usd: Usd
    margin_usd: Usd
    drawdown_usd: Usd
    cash_usd: Usd | None
    positions: int
    orders_this_hour: int
    min_order_usd: Usd


class AccountWhole(AccountShown):
    """An account at its last marks; return and drawdown in percent."""

    equity_usd: Usd
    unrealized_usd: Usd
    gross_usd: Usd
    margin_usd: Usd
    realized_usd: Usd
    fees_usd: Usd
    funding_usd: Usd
    return_pct: Decimal
    drawdown_pct: Decimal
    room: RoomShown


class PositionShown(Shown):
    """An open position; a price is null where there is none or it is not known."""

    symbol: str
    side: Literal["long", "short"]
    size: Decimal
    entry_price: Decimal
    mark_price: Decimal | None
    mark_source: str | None
    marked_at: Time | None
    notional_usd: Usd
    leverage: int
    stop_price: Decimal | None
    target_price: Decimal | None
    liquidation_price: Decimal | None
    unrealized_usd: Usd
    realized_usd: Usd
    fees_usd: Usd
    opened_at: Time | None


class PositionList(Shown):
    """The open positions, by symbol."""

    items: list[PositionShown]


class OrderShown(Shown):
    """An order; each has one fill. `run_id` is the decision it came from, null for what the engine itself did."""

    id: int
    origin: Literal["decision", "stop", "target", "liquidation", "admin"]
    leg: int
    symbol: str
    side: Side
    size: Decimal
    leverage: int
    is_opening: bool
    run_id: int | None
    fill_id: int | None
    created_at: Time


class OrderList(Shown):
    """A page of orders, newest first."""

    items: list[OrderShown]
    next_cursor: str | None


class AccountFill(Shown):
    """A fill with the price it was made at, and what the price came from."""

    id: int
    filled_at: Time
    symbol: str
    action: str | None
    origin: str
    leg: int
    side: Side
    size: Decimal
    price: Decimal
    notional_usd: Usd
    fee_usd: Usd
    slippage_usd: Usd
    realized_usd: Usd
    price_source: str
    price_age_ms: int
    reference_price: Decimal
    run_id: int | None


class AccountFillList(Shown):
    """A page of fills, newest first."""

    items: list[AccountFill]
    next_cursor: str | None


class LedgerLine(Shown):
    """One signed effect on the balance."""

    kind: str
    symbol: str
    amount_usd: Usd


class LedgerGroup(Shown):
    """One group of the hash-chained ledger."""

    seq: int
    kind: str
    ref_type: str
    ref_id: int
    actor: str
    reason: str
    hash: Hash
    known_at: Time
    lines: list[LedgerLine]


class LedgerPage(Shown):
    """A page of ledger groups, newest first."""

    items: list[LedgerGroup]
    next_cursor: str | None


class SnapshotShown(Shown):
    """An account at a mark tick; `carried` positions have an old mark."""

    t: Time
    equity_usd: Usd
    balance_usd: Usd
    unrealized_usd: Usd
    gross_usd: Usd
    margin_usd: Usd
    drawdown: Decimal
    high_water_mark_usd: Usd
    positions: int
    carried: int


class SnapshotSeries(Shown):
    """The equity series, oldest first; the cursor leads to older snapshots."""

    items: list[SnapshotShown]
    next_cursor: str | None


class ResultShown(Shown):
    """A frozen result; `hash` covers its integers, and the ledger's last group seals it. Rates are fractions."""

    account_id: int
    state: Literal["completed", "liquidated"]
    reason: str
    started_at: Time
    ended_at: Time
    start_balance_usd: Usd
    final_equity_usd: Usd
    pnl_usd: Usd
    return_rate: Decimal
    max_drawdown: Decimal
    realized_usd: Usd
    fees_usd: Usd
    funding_usd: Usd
    shortfall_usd: Usd
    fills: int
    trades: int
    wins: int
    win_rate: Decimal | None
    profit_factor: Decimal | None
    exposure_ms: int
    sharpe: float | None
    sortino: float | None
    ledger_hash: Hash
    hash: Hash


@router.get("/clones/{cloneId}/accounts", summary="List the accounts of a clone")
@for_user
def list_accounts(
    clone_id: CloneId, me: Me, parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50
) -> AccountList:
    """Every account the clone ever had, ended ones too, newest first."""
    of = f"accounts/{clone_id}"
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        found = history.of_clone(connection, clone_id, limit=limit + 1, before=_before(paging, of, cursor))
    page = paging.page(of, found, limit, lambda account: [account.id])
    return AccountList(items=[account_of(account) for account in page.items], next_cursor=page.next_cursor)


@router.post(
    "/clones/{cloneId}/accounts", status_code=201, summary="Open a sandbox account", response_model=AccountShown
)
@for_user
@creates
def open_sandbox(request: Request, clone_id: CloneId, me: Me, parts: Parts) -> Response:
    """Open the clone's sandbox account; the one that is running answers itself."""
    at = still(parts)
    with at.clash.read() as connection:
        own_clone(connection, me, clone_id)

    def work() -> Any:
        account_id = clone_desk.open_sandbox(at, clone_id)
        with at.clash.read() as connection:
            return wire(account_of(accounts.get(connection, account_id)))

    return idempotency.once(request, None, work)


@router.get("/accounts/{accountId}", summary="One account")
@for_user
def get_account(account_id: AccountId, me: Me, parts: Parts) -> AccountWhole:
    """State, balance, equity at the last marks, and the room left under each limit."""
    account, view = _view(parts, me, account_id)
    named = {f"{name}_usd": view[name] for name in _AMOUNTS}
    room = {name if name in _COUNTS else f"{name}_usd": value for name, value in view["room"].items()}
    return AccountWhole(
        **dict(account_of(account)),
        **named,
        return_pct=view["return_pct"],
        drawdown_pct=view["drawdown_pct"],
        room=RoomShown.model_validate({"cash_usd": None} | room),
    )


@router.get("/accounts/{accountId}/positions", summary="Open positions")
@for_user
def list_positions(account_id: AccountId, me: Me, parts: Parts) -> PositionList:
    """The open positions at their last marks, each with its liquidation price."""
    _, view = _view(parts, me, account_id)
    return PositionList(items=[_position(position) for position in view["positions"]])


@router.get("/accounts/{accountId}/orders", summary="List orders")
@for_user
def list_orders(
    account_id: AccountId, me: Me, parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50
) -> OrderList:
    """The orders of an account, newest first."""
    of = f"orders/{account_id}"
    with parts.clash.read() as connection:
        own_account(connection, me, account_id)
        found = history.orders(connection, account_id, limit=limit + 1, before=_before(paging, of, cursor))
    page = paging.page(of, found, limit, lambda order: [order["id"]])
    return OrderList(items=[OrderShown(**order) for order in page.items], next_cursor=page.next_cursor)


@router.get("/accounts/{accountId}/fills", summary="List fills")
@for_user
def list_fills(
    account_id: AccountId, me: Me, parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50
) -> AccountFillList:
    """The fills of an account, newest first."""
    of = f"fills/{account_id}"
    with parts.clash.read() as connection:
        own_account(connection, me, account_id)
        found = views.fills_view(connection, account_id, limit=limit + 1, before=_before(paging, of, cursor))
    page = paging.page(of, found, limit, lambda fill: [fill["id"]])
    return AccountFillList(items=[fill_of(fill) for fill in page.items], next_cursor=page.next_cursor)


@router.get("/accounts/{accountId}/ledger", summary="Read the ledger")
@for_user
def list_ledger(
    account_id: AccountId, me: Me, parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50
) -> LedgerPage:
    """The groups of the account's ledger with their lines and hashes, newest first."""
    of = f"ledger/{account_id}"
    with parts.clash.read() as connection:
        own_account(connection, me, account_id)
        found = views.ledger_view(connection, account_id, limit=limit + 1, before=_before(paging, of, cursor))
    page = paging.page(of, found, limit, lambda group: [group["seq"]])
    return LedgerPage(items=[_group(group) for group in page.items], next_cursor=page.next_cursor)


@router.get("/accounts/{accountId}/snapshots", summary="The equity series", response_model=SnapshotSeries)
@for_user
def list_snapshots(
    account_id: AccountId,
    me: Me,
    parts: Parts,
    paging: Paging,
    limit: Annotated[int, Query(ge=1, le=MOST_SNAPSHOTS, description="Most snapshots, the newest.")] = 500,
    cursor: Cursor = None,
) -> Response:
    """Equity, balance, margin and drawdown at each mark: minutes for two days, hours before that."""
    of = f"snapshots/{account_id}"
    with parts.clash.read() as connection:
        own_account(connection, me, account_id)
        found = history.snapshots(connection, account_id, limit=limit + 1, before=_before(paging, of, cursor))
    page = paging.page(of, found, limit, lambda row: [row["t"]])
    return series.answer(SnapshotSeries, items=_points(page.items[::-1]), next_cursor=page.next_cursor)


@router.get("/accounts/{accountId}/result", summary="The frozen result")
@for_user
def get_result(account_id: AccountId, me: Me, parts: Parts) -> ResultShown:
    """What an ended account came to; absent while it runs."""
    with parts.clash.read() as connection:
        own_account(connection, me, account_id)
        found = results.get(connection, account_id)
    if found is None:
        raise not_found("result")
    return result_of(found)


_AMOUNTS = ("equity", "unrealized", "gross", "margin", "realized", "fees", "funding")
_COUNTS = frozenset({"positions", "orders_this_hour"})


def fill_of(fill: dict[str, Any]) -> AccountFill:
    """A fill as it is answered and streamed."""
    amounts = {f"{name}_usd": fill[name] for name in ("notional", "fee", "slippage", "realized")}
    return AccountFill.model_validate({**fill, **amounts})


def result_of(found: Result) -> ResultShown:
    """A frozen result as it is answered."""
    amounts = ("start_balance", "final_equity", "pnl", "realized", "fees", "funding", "shortfall")
    rates = ("return_rate", "max_drawdown", "win_rate", "profit_factor")
    values = {**vars(found), **{f"{name}_usd": usd_text(getattr(found, name)) for name in amounts}}
    return ResultShown.model_validate(values | {name: _rate(getattr(found, name)) for name in rates})


def _rate(value: int | None) -> str | None:
    return None if value is None else scaled_text(value, RATE_DECIMALS)


def _before(paging: Paging, of: str, cursor: str | None) -> int:
    position = paging.open(of, cursor)
    return int(position[0]) if position else views.NEWEST


def _view(parts: Services, me: Me, account_id: int) -> tuple[Account, dict[str, Any]]:
    """An account with everything that its last marks and today's memory say."""
    now_ms = parts.clock.now_ms()
    with parts.clash.read() as connection:
        own_account(connection, me, account_id)
        held = [symbol for symbol, position in accounts.positions(connection, account_id).items() if position.size]
    venue = PaperVenue(parts.market, price_jump_pct=parts.settings.price_jump_pct)
    seen = views.Seen(venue.quotes(held, now_ms) if held else {}, now_ms)
    with parts.clash.read() as connection:
        account = accounts.get(connection, account_id)
        return account, views.account_now(connection, account_id, seen=seen)


def account_of(account: Account) -> AccountShown:
    """An account's own row as it is answered."""
    return AccountShown(
        id=account.id,
        clone_id=account.clone_id,
        kind=account.kind,  # type: ignore[arg-type]  # the table's own check
        state=account.state,  # type: ignore[arg-type]
        halted=account.halted,
        start_balance_usd=usd_text(account.start_balance),
        balance_usd=usd_text(account.balance),
        high_water_mark_usd=usd_text(account.high_water_mark),
        policy_hash=account.policy_hash,
        ledger_seq=account.head.seq,
        ledger_hash=account.head.hash,
        created_at=account.created_at,
        starts_at=account.starts_at,
        ends_at=account.ends_at,
    )


def _position(view: dict[str, Any]) -> PositionShown:
    renamed = {
        "entry_price": view["entry"], "mark_price": view["mark"], "marked_at": view["mark_at"],
        "stop_price": view["stop"], "target_price": view["target"],
    }  # fmt: skip
    amounts = {f"{name}_usd": view[name] for name in ("notional", "unrealized", "realized", "fees")}
    return PositionShown.model_validate({**view, **renamed, **amounts})


def _group(view: dict[str, Any]) -> LedgerGroup:
    lines = [LedgerLine(kind=line["kind"], symbol=line["symbol"], amount_usd=line["amount"]) for line in view["lines"]]
    return LedgerGroup.model_validate({**view, "lines": lines})


def _points(rows: Iterable[Row]) -> list[Any]:
    """Snapshots as they are answered; many of an account's amounts stand still from one to the next."""
    point, usd = series.struct_of(SnapshotShown), cache(usd_text)
    return [
        point(
            t=series.time_text(t), equity_usd=usd(equity), balance_usd=usd(balance), unrealized_usd=usd(unrealized),
            gross_usd=usd(gross), margin_usd=usd(margin), drawdown=scaled_text(drawdown, RATE_DECIMALS),
            high_water_mark_usd=usd(peak), positions=positions, carried=carried,
        )
        for t, equity, balance, unrealized, gross, margin, drawdown, peak, positions, carried in rows
    ]  # fmt: skip
