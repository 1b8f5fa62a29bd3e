"""`clash economy watch|reconcile|authorise|signing|incidents`: what happens between the books and the chain."""

from typing import TYPE_CHECKING, Annotated

import typer

from clash_pipeline.cli.economy import app, opened
from clash_pipeline.cli.ids import id_argument
from clash_pipeline.cli.options import AsJson
from clash_pipeline.cli.output import Exit, fail, one_line_errors, print_json, table

if TYPE_CHECKING:
    from clash_pipeline.economy.reconciliation import Report

Once = Annotated[bool, typer.Option("--once", help="One step, then stop.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is written down.")]


@app.command()
@one_line_errors
def watch(once: Once = False, json: AsJson = False) -> None:
    """Watch the chain: record deposits and withdrawals, look up who waits; until interrupted, or once."""
    import threading

    from clash_pipeline.economy.chain import watcher

    with opened() as services, services.chain() as parts:
        if parts is None:
            fail("no chain is set: CLASH_CHAIN_URLS is empty", Exit.CONFIGURATION)
        pause = threading.Event()
        while True:
            done = watcher.step(parts, services.clock.now_ms())
            if json:
                print_json(vars(done))
            else:
                typer.echo(done.sentence())
            if once:
                break
            pause.wait(services.settings.economy_every_sec)
    if done.problem:
        raise typer.Exit(Exit.UNAVAILABLE)


@app.command()
@one_line_errors
def reconcile(
    once: Once = False,
    full: Annotated[bool, typer.Option("--full", help="Everything from the start, not the newest blocks.")] = False,
    json: AsJson = False,
) -> None:
    """Compare the books with themselves and with the chain; exit 1 when they differ."""
    import threading

    from clash_pipeline.economy.minding import told
    from clash_pipeline.economy.reconciliation import reconcile as compare
    from clash_pipeline.economy.reconciliation import wire

    with opened() as services, services.chain() as parts:
        pause = threading.Event()
        while True:
            report = compare(services.clash, parts, "full" if full else "incremental", services.clock.now_ms())
            if json:
                print_json(wire(report))
            else:
                typer.echo(told(report))
                _show(report)
            if once:
                break
            pause.wait(services.settings.reconcile_every_sec)
    if not report.is_clean:
        raise typer.Exit(Exit.UNHEALTHY)
    if report.why_blind:
        raise typer.Exit(Exit.UNAVAILABLE)


@app.command()
@one_line_errors
def authorise(payable_id: Annotated[int, id_argument("Id of the payable.")], json: AsJson = False) -> None:
    """Sign what is owed, so that its recipient can take it from the vault; what stands is shown again."""
    from clash_pipeline.economy import payouts
    from clash_pipeline.economy.payouts import PayoutPaused
    from clash_pipeline.economy.signing import signer_from

    with opened() as services, services.chain() as parts:
        signer = signer_from(services.settings)
        if parts is None or signer is None:
            fail("signing needs CLASH_CHAIN_URLS, and CLASH_PAYOUT_KEY or CLASH_PAYOUT_SIGNER_URL", Exit.CONFIGURATION)
        limits, now_ms = payouts.limits_from(services.settings), services.clock.now_ms()
        try:
            made = payouts.authorise(parts, signer, limits, payable_id, actor="operator", now_ms=now_ms)
        except PayoutPaused as error:
            fail(f"payout_paused: {error}", Exit.UNAVAILABLE)
    if json:
        print_json(payouts.wire(made))
        return
    allowed = made.allowed
    typer.echo(f"payable {payable_id}: {allowed.amount_wei} wei to {allowed.recipient}, until {allowed.deadline}")
    typer.echo(f"nonce {allowed.nonce}\nsignature {made.signature}")


@app.command()
@one_line_errors
def signing(
    reason: Reason = "",
    stop: Annotated[bool, typer.Option("--stop", help="Sign nothing until released.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Sign again.")] = False,
) -> None:
    """Say whether payouts are signed; stop it, or let it go on."""
    from clash_pipeline.economy import switches

    if stop and release:
        fail("--stop and --release exclude each other: give one")
    if (stop or release) and not reason:
        fail("--stop and --release need --reason")
    with opened() as services:
        now_ms = services.clock.now_ms()
        if stop or release:
            with services.clash.write() as connection:
                act = switches.throw if stop else switches.release
                act(connection, actor="operator", reason=reason, now_ms=now_ms)
        with services.clash.read() as connection:
            why = switches.is_thrown(connection)
    typer.echo("payouts are signed" if why is None else f"signing is stopped: {why}")


@app.command("incidents")
@one_line_errors
def show_incidents(json: AsJson = False) -> None:
    """What somebody has to look at; exit 1 while there is anything."""
    from clash_pipeline.clock import iso
    from clash_pipeline.economy import incidents

    with opened() as services, services.clash.read() as connection:
        found = incidents.open_ones(connection)
    if json:
        print_json([vars(incident) for incident in found])
    else:
        rows = [(one.id, one.kind, one.ref, one.detail, iso(one.raised_at)) for one in found]
        table("Open incidents", ("id>", "kind", "about", "what", "since"), rows)
    if found:
        raise typer.Exit(Exit.UNHEALTHY)


def _show(report: "Report") -> None:
    rows = [(each.invariant, each.row, each.message) for each in report.differences]
    if rows:
        table("Differences", ("equation", "row", "what is wrong"), rows)
