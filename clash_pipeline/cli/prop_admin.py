"""`clash prop …`, the acts of an operator: kill switches, pauses, locks, endings; each kept with actor and reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clash_pipeline.cli.ids import AccountId, OneAccount
from clash_pipeline.cli.options import OPERATOR, AsJson, Reason
from clash_pipeline.cli.output import Exit, fail, one_line_errors, print_json, print_rows, table

if TYPE_CHECKING:
    from clash_pipeline.prop.results import Result
    from clash_pipeline.services import Services

Actor = Annotated[str, typer.Option(help="Who; kept with the act.")]


@one_line_errors
def halt(reason: Reason, account_id: OneAccount = None, actor: Actor = OPERATOR) -> None:
    """Throw the kill switch of one account, or of all: no orders, stops or targets; marks and liquidation go on."""
    from clash_pipeline.prop import admin

    with prop_services() as built:
        thrown = admin.halt(built.clash, actor=actor, reason=reason, now_ms=built.clock.now_ms(), account_id=account_id)
    typer.echo(f"{_whom(account_id)} halted" if thrown else f"{_whom(account_id)} was already halted")


@one_line_errors
def release(account_id: OneAccount = None, reason: Reason = "taken back", actor: Actor = OPERATOR) -> None:
    """Take the kill switch back."""
    from clash_pipeline.prop import admin

    with prop_services() as built:
        taken = admin.release(
            built.clash, actor=actor, reason=reason, now_ms=built.clock.now_ms(), account_id=account_id
        )
    typer.echo(f"{_whom(account_id)} released" if taken else f"{_whom(account_id)} was not halted")


@one_line_errors
def pause(account_id: AccountId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Stop new orders of one account; marks, funding, stops and liquidation go on."""
    _move("pause", account_id, reason, actor)


@one_line_errors
def resume(account_id: AccountId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Let a paused or locked account trade again."""
    _move("resume", account_id, reason, actor)


@one_line_errors
def lock(account_id: AccountId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Lock an account for review: no new orders until it is unlocked."""
    _move("lock", account_id, reason, actor)


@one_line_errors
def unlock(account_id: AccountId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Bring a locked account back to where it stood before: active or paused."""
    _move("unlock", account_id, reason, actor)


@one_line_errors
def complete(account_id: AccountId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Close every position at its mark, end the account as completed and freeze its result. Final."""
    _end("complete", account_id, reason, actor)


@one_line_errors
def liquidate(account_id: AccountId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Close every position at its mark, end the account as liquidated and freeze its result. Final."""
    _end("liquidate", account_id, reason, actor)


@one_line_errors
def acts(json: AsJson = False) -> None:
    """The newest acts of operators, refused ones too."""
    from clash_pipeline.clock import iso
    from clash_pipeline.prop import admin

    with prop_services() as built, built.clash.read() as connection:
        found = admin.acts(connection)
    print_rows(
        found, "Acts", ("at", "account>", "act", "outcome", "actor", "reason", "detail"),
        lambda one: (
            iso(one["acted_at"]), one["account_id"] or "all", one["act"], one["outcome"], one["actor"], one["reason"],
            one["detail"],
        ),
        as_json=json,
    )  # fmt: skip


@one_line_errors
def result(account_id: AccountId, json: AsJson = False) -> None:
    """The frozen result of an account that has ended."""
    from clash_pipeline.prop import accounts, results

    with prop_services() as built, built.clash.read() as connection:
        state = accounts.get(connection, account_id).state
        found = results.get(connection, account_id)
    if found is None:
        fail(f"account {account_id} is {state} and has no result yet")
    print_json(vars(found)) if json else _show(found)


@one_line_errors
def thin() -> None:
    """Archive the days of snapshots that are over; of minutes older than two days keep the last of each hour."""
    from clash_pipeline.clock import iso
    from clash_pipeline.prop import snapshot_archive

    with prop_services() as built:
        done = snapshot_archive.retain(built.clash, built.store, built.clock.now_ms())
    typer.echo(f"{len(done.archived)} days archived, {done.thinned_rows} minute snapshots thinned")
    for day, problem in done.problems.items():
        typer.echo(f"{iso(day)[:10]} stays: {problem}", err=True)
    if done.problems:
        raise typer.Exit(Exit.UNAVAILABLE)


COMMANDS = (halt, release, pause, resume, lock, unlock, complete, liquidate, result, acts, thin)


def register(app: typer.Typer) -> None:
    """Add the commands of this page."""
    for command in COMMANDS:
        app.command()(command)


@contextmanager
def prop_services() -> "Iterator[Services]":
    """The services of one command; an account that is not there, or cannot move, is one line."""
    from clash_pipeline import services
    from clash_pipeline.prop.accounts import AccountMoved, AccountUnknown, StateConflict

    built = services.build()
    try:
        yield built
    except (AccountUnknown, AccountMoved, StateConflict) as error:
        fail(str(error))
    finally:
        built.close()


def _move(act: str, account_id: int, reason: str, actor: str) -> None:
    from clash_pipeline.prop import admin

    move: Any = {"pause": admin.pause, "resume": admin.resume, "lock": admin.lock, "unlock": admin.unlock}[act]
    with prop_services() as built:
        moved = move(built.clash, account_id, actor=actor, reason=reason, now_ms=built.clock.now_ms())
    typer.echo(f"account {account_id} is {moved.state}")


def _end(act: str, account_id: int, reason: str, actor: str) -> None:
    from clash_pipeline.prop import admin
    from clash_pipeline.prop.venue import PaperVenue
    from clash_pipeline.units import usd_text

    end: Any = {"complete": admin.complete, "liquidate": admin.liquidate}[act]
    with prop_services() as built:
        venue = PaperVenue(built.market, price_jump_pct=built.settings.price_jump_pct)
        ended = end(built.clash, venue, account_id, actor=actor, reason=reason, now_ms=built.clock.now_ms())
    typer.echo(f"account {account_id} is {ended.state} with {usd_text(ended.final_equity)} USD")


def _whom(account_id: int | None) -> str:
    return "all accounts" if account_id is None else f"account {account_id}"


def _show(found: "Result") -> None:
    from clash_pipeline.clock import iso
    from clash_pipeline.units import scaled_text, usd_text

    def percent(rate: int | None) -> str:
        return "-" if rate is None else f"{scaled_text(rate, 6)} %"

    def ratio(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    factor = "-" if found.profit_factor is None else scaled_text(found.profit_factor, 8)
    rows = [
        ("state", f"{found.state}: {found.reason}"),
        ("from", iso(found.started_at)),
        ("to", iso(found.ended_at)),
        ("final equity", f"{usd_text(found.final_equity)} USD"),
        ("PnL", f"{usd_text(found.pnl)} USD ({percent(found.return_rate)})"),
        ("max drawdown", percent(found.max_drawdown)),
        ("realized", usd_text(found.realized)),
        ("fees", usd_text(found.fees)),
        ("funding", usd_text(found.funding)),
        ("shortfall", usd_text(found.shortfall)),
        ("fills, trades", f"{found.fills}, {found.trades}"),
        ("win rate", percent(found.win_rate)),
        ("profit factor", factor),
        ("Sharpe, Sortino", f"{ratio(found.sharpe)}, {ratio(found.sortino)}"),
        ("exposed", f"{found.exposure_ms // 60_000} min"),
        ("gross share", percent(found.gross_share)),
        ("funding hours missing", str(found.funding_missing)),
        ("carried marks", str(found.carried)),
        ("hash", found.hash),
    ]
    table(f"Result of account {found.account_id}", ("what", "value"), rows)
