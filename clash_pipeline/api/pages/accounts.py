"""`/admin/accounts`: every account with its state and equity, and what an operator may do to it, each with a reason."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query, Request, Response

from clash_pipeline.api.pages import rendering
from clash_pipeline.api.pages.charts import Chart, Line
from clash_pipeline.api.pages.forms import Fields, Reason, form
from clash_pipeline.api.pages.routing import pages
from clash_pipeline.api.parts import Operator, Parts
from clash_pipeline.api.routing import for_service
from clash_pipeline.api.wire import Id
from clash_pipeline.prop import accounts, admin, results, standings, views
from clash_pipeline.prop.accounts import FINAL, AccountMoved, StateConflict
from clash_pipeline.prop.snapshots import Snapshot, series
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.services import Services
from clash_pipeline.units import USD

router = pages()
PATH = "/admin/accounts"
SHOWN = 100
TAIL = 20
MARKS_SHOWN = 6_000
"""Two days of minutes, and four months of hours before them."""
Act = Literal["pause", "resume", "lock", "unlock", "halt", "release", "complete", "liquidate"]
DONE: Final[dict[str, str]] = {
    "pause": "The account is paused: no new orders; marks, funding, stops and liquidation go on.",
    "resume": "The account trades again.",
    "lock": "The account is locked for review.",
    "unlock": "The account is where it stood before it was locked.",
    "halt": "The kill switch is thrown: no orders, stops or targets; marks and liquidation go on.",
    "release": "The kill switch is taken back.",
    "complete": "Everything was closed at its mark; the account is completed and its result frozen.",
    "liquidate": "Everything was closed at its mark; the account is liquidated and its result frozen.",
}
ENDS: Final = frozenset({"complete", "liquidate"})


class Switch(Fields):
    """The kill switch of all accounts."""

    act: Literal["halt", "release"]
    reason: Reason


class Order(Fields):
    """An act on one account; one that ends it is confirmed."""

    act: Act
    reason: Reason
    is_sure: Literal["yes", ""] = ""


@router.get(PATH)
@for_service("accounts")
def listed(
    request: Request,
    parts: Parts,
    state: Annotated[Literal["running", "all"], Query()] = "running",
    page: Annotated[Id, Query()] = 1,
    done: Annotated[Act | None, Query()] = None,
) -> Response:
    """Accounts, best first."""
    return _list(request, parts, state=state, number=page, note=DONE[done] if done else None)


@router.post(PATH)
@for_service("accounts")
def switch(
    request: Request, given: Annotated[Switch, Depends(form(Switch))], parts: Parts, token: Operator
) -> Response:
    """Throw or take back the kill switch of all accounts."""
    turn = admin.halt if given.act == "halt" else admin.release
    turn(parts.clash, actor=f"operator:{token.name}", reason=given.reason, now_ms=parts.clock.now_ms())
    return rendering.see(f"{PATH}?done={given.act}")


@router.get(PATH + "/{account_id}")
@for_service("accounts")
def one(
    request: Request, account_id: Id, parts: Parts, done: Annotated[Act | None, Query()] = None
) -> Response:  # fmt: skip
    """One account whole."""
    return _one(request, parts, account_id, note=DONE[done] if done else None)


@router.post(PATH + "/{account_id}")
@for_service("accounts")
def act(
    request: Request, account_id: Id, given: Annotated[Order, Depends(form(Order))], parts: Parts, token: Operator
) -> Response:
    """Do something to an account."""
    if given.act in ENDS and not given.is_sure:
        alert = f"To {given.act} is final; tick the box that says that you know."
        return _one(request, parts, account_id, alert=alert, reason=given.reason)
    try:
        _carry_out(parts, account_id, given, f"operator:{token.name}")
    except (StateConflict, AccountMoved) as refused:
        return _one(request, parts, account_id, alert=f"{str(refused).capitalize()}.", reason=given.reason)
    return rendering.see(f"{PATH}/{account_id}?done={given.act}")


def _carry_out(parts: Services, account_id: int, given: Order, actor: str) -> None:
    how: dict[str, Any] = {"actor": actor, "reason": given.reason, "now_ms": parts.clock.now_ms()}
    if given.act in ENDS:
        end = admin.complete if given.act == "complete" else admin.liquidate
        end(parts.clash, PaperVenue(parts.market), account_id, **how)
    elif given.act == "halt":
        admin.halt(parts.clash, account_id=account_id, **how)
    elif given.act == "release":
        admin.release(parts.clash, account_id=account_id, **how)
    else:
        moves: dict[str, Callable[..., Any]] = {
            "pause": admin.pause, "resume": admin.resume, "lock": admin.lock, "unlock": admin.unlock,
        }  # fmt: skip
        moves[given.act](parts.clash, account_id, **how)


def _list(request: Request, parts: Services, *, state: str, number: int, note: str | None) -> Response:
    with parts.clash.read() as connection:
        found = standings.everything(connection, only_running=state == "running")
        done = admin.acts(connection, limit=TAIL)
        halt = standings.halt_of_all(connection)
    first = (number - 1) * SHOWN
    return rendering.page(
        request, "accounts.html", title="Accounts", standings=found[first : first + SHOWN], total=len(found),
        number=number, has_more=len(found) > first + SHOWN, state=state, acts=done, halt=halt, note=note, alert=None,
    )  # fmt: skip


def _one(
    request: Request, parts: Services, account_id: int, *, note: str | None = None, alert: str | None = None,
    reason: str = "",
) -> Response:  # fmt: skip
    now_ms = parts.clock.now_ms()
    with parts.clash.read() as connection:
        stored = accounts.get(connection, account_id)
        held = [symbol for symbol, position in accounts.positions(connection, account_id).items() if position.size]
    seen = views.Seen(PaperVenue(parts.market).quotes(held, now_ms), now_ms)
    with parts.clash.read() as connection:
        view = views.account_view(connection, account_id, tail=TAIL, seen=seen)
        marks = series(connection, account_id, limit=MARKS_SHOWN)
        result = results.get(connection, account_id)
    return rendering.page(
        request, "account.html", status=409 if alert else 200, title=f"Account {account_id}", account=stored, view=view,
        result=result, chart=equity_chart(marks, stored.start_balance), is_final=stored.state in FINAL, note=note,
        alert=alert, reason=reason, now_ms=now_ms,
    )  # fmt: skip


def equity_chart(marks: list[Snapshot], start_balance: int) -> Chart:
    """The equity curve of an account around its starting balance."""
    points = [(mark.t, mark.equity / USD) for mark in marks]  # for the eye: a pixel is no amount
    if not points:
        return Chart("equity", "Equity", "No mark yet.", "usd")
    low, high = min(value for _, value in points), max(value for _, value in points)
    says = f"{points[-1][1]:,.2f} USD at the last of {len(points):,} marks, between {low:,.2f} and {high:,.2f} USD."
    return Chart("equity", "Equity", says, "usd", [Line("Equity", points)], filled=True, baseline=start_balance / USD)
