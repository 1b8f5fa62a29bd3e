"""`clash auditions …`: submitted, judged by the worker, retried, and called off by an admin."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clash_pipeline.cli.arena_services import arena_services
from clash_pipeline.cli.ids import CloneId, OneClone, id_argument
from clash_pipeline.cli.options import OPERATOR, Actor, AsJson, Newest, Reason
from clash_pipeline.cli.output import one_line_errors, print_json, table

if TYPE_CHECKING:
    from clash_pipeline.arena.auditions import Audition
    from clash_pipeline.arena.criteria import Finding

app = typer.Typer(help="Auditions: a day that a clone pays for, judged by its results.", no_args_is_help=True)
AuditionId = Annotated[int, id_argument("Id of the audition.")]


@app.command("list")
@one_line_errors
def list_auditions(clone_id: OneClone = None, limit: Newest = 50, json: AsJson = False) -> None:
    """The newest auditions."""
    from clash_pipeline.arena import auditions
    from clash_pipeline.clock import iso

    with arena_services() as built, built.clash.read() as connection:
        found = auditions.every(connection, clone_id=clone_id, limit=limit)
    if json:
        print_json([_plain(audition) for audition in found])
        return
    columns = ("id>", "clone>", "state", "from", "to", "account>", "why")
    rows = [
        (item.id, item.clone_id, item.state, iso(item.starts_at), iso(item.ends_at), item.account_id, item.reason)
        for item in found
    ]
    table("Auditions", columns, rows)


@app.command()
@one_line_errors
def show(audition_id: AuditionId, json: AsJson = False) -> None:
    """One audition with every criterion, its bound and its value."""
    from clash_pipeline.arena import auditions

    with arena_services() as built, built.clash.read() as connection:
        found = auditions.get(connection, audition_id)
    if json:
        print_json(_plain(found))
        return
    _say(found)
    if found.findings:
        rows = [_line(finding) for finding in found.findings]
        table("Criteria", ("criterion", "met", "bound>", "value>"), rows)


@app.command()
@one_line_errors
def submit(clone_id: CloneId, actor: Actor = OPERATOR) -> None:
    """Enter a clone with a purchase whose audition is unused; the audition that runs is answered again."""
    from clash_pipeline.arena import auditions

    with arena_services() as built, built.clash.write() as connection:
        _say(auditions.submit(connection, built.settings, clone_id, actor=actor, now_ms=built.clock.now_ms()))


@app.command()
@one_line_errors
def retry(audition_id: AuditionId, actor: Actor = OPERATOR) -> None:
    """Audition again after a failed or voided one, with a purchase of its own and the version active now."""
    from clash_pipeline.arena import auditions

    with arena_services() as built, built.clash.write() as connection:
        _say(auditions.retry(connection, built.settings, audition_id, actor=actor, now_ms=built.clock.now_ms()))


@app.command()
@one_line_errors
def void(audition_id: AuditionId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Call an audition off: its account ends, the clone is let go, the purchase is refunded."""
    from clash_pipeline.arena import admin
    from clash_pipeline.prop.venue import PaperVenue

    with arena_services() as built:
        venue = PaperVenue(built.market, price_jump_pct=built.settings.price_jump_pct)
        _say(admin.void(built.clash, venue, audition_id, actor=actor, reason=reason, now_ms=built.clock.now_ms()))


def _say(found: "Audition") -> None:
    from clash_pipeline.clock import iso

    why = f": {found.reason}" if found.reason else ""
    typer.echo(
        f"audition {found.id} of clone {found.clone_id} is {found.state}{why}; account {found.account_id}, "
        f"from {iso(found.starts_at)} to {iso(found.ends_at)}"
    )


def _line(finding: "Finding") -> tuple[str, str, str, str]:
    from clash_pipeline.arena.auditions import shown

    is_met = "yes" if finding.is_met else "no"
    return finding.criterion, is_met, shown(finding, finding.bound), shown(finding, finding.value)


def _plain(found: "Audition") -> dict[str, Any]:
    return {**asdict(found), "rules": found.rules, "findings": found.findings}
