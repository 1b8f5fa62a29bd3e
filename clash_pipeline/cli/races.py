"""`clash race …`: races and their fields, the standings with the equity of all, and what an admin does to them."""

from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clash_pipeline.cli.arena_services import arena_services
from clash_pipeline.cli.chart import field_chart
from clash_pipeline.cli.ids import CloneId, id_argument
from clash_pipeline.cli.options import ADMIN, OPERATOR, Actor, AsJson, Newest, Reason
from clash_pipeline.cli.output import one_line_errors, print_json, print_rows, table

if TYPE_CHECKING:
    from clash_pipeline.arena.races import Race
    from clash_pipeline.arena.standings import Standing

app = typer.Typer(help="Races: their field, standings, settlement.", no_args_is_help=True)
RaceId = Annotated[int, id_argument("Number of the race.")]
MOMENTS = (
    "starts_at", "ends_at", "sales_open_at", "sales_close_at", "hidden_from", "launched_at", "settling_at",
    "settled_at", "archived_at", "cancelled_at",
)  # fmt: skip


@app.command("list")
@one_line_errors
def list_(limit: Newest = 20, json: AsJson = False) -> None:
    """Races by number, the newest first."""
    from clash_pipeline.arena import races
    from clash_pipeline.economy import pools

    with arena_services() as built, built.clash.read() as connection:
        found = [
            {
                **_moments(race),
                "entrants": len(races.entrants(connection, race.id)),
                "tickets": sum(demand.tickets for demand in pools.demand(connection, race.id).values()),
            }
            for race in races.newest(connection, limit=limit)
        ]
    columns = ("race>", "state", "sales close", "starts", "ends", "entrants>", "tickets>", "why")
    keys = ("id", "state", "sales_close_at", "starts_at", "ends_at", "entrants", "tickets", "reason")
    print_rows(found, "Races", columns, itemgetter(*keys), as_json=json)


@app.command()
@one_line_errors
def show(race_id: RaceId, json: AsJson = False) -> None:
    """A race with its rules, its field, who sits it out and why, and the way it took."""
    from clash_pipeline.arena import races
    from clash_pipeline.clock import iso

    with arena_services() as built, built.clash.read() as connection:
        race = races.get(connection, race_id)
        field, moves = races.entrants(connection, race_id), races.moves(connection, race_id)
    if json:
        shown = {"race": {**_moments(race), "rules": race.rules, "universe": race.universe}}
        sit_out, way = [one._asdict() for one in race.passed_over], [one._asdict() for one in moves]
        print_json({**shown, "passed_over": sit_out, "field": field, "moves": way})
        return
    why = f": {race.reason}" if race.reason else ""
    typer.echo(f"race {race.id} is {race.state}{why}")
    typer.echo(
        f"sales {iso(race.sales_open_at)} to {iso(race.sales_close_at)}; {iso(race.starts_at)} to {iso(race.ends_at)}"
    )
    typer.echo(f"{len(race.universe)} perps, rule set {race.rules.rule_set}, rules {race.rules_hash[:12]}")
    rows = [(one.slot_no, one.clone_id, one.owner, one.engine, one.state, one.account_id, one.reason) for one in field]
    table("Field", ("slot>", "clone>", "owner", "engine", "state", "account>", "removed because"), rows)
    if race.passed_over:
        table("Sit it out", ("clone>", "code", "because"), race.passed_over)
    table("Way", ("state", "at", "by", "because"), [(one.state, iso(one.at), one.actor, one.reason) for one in moves])


@app.command()
@one_line_errors
def standings(race_id: RaceId, json: AsJson = False) -> None:
    """Rank and equity of everybody, with the equity of the field as a chart; final figures once it is settled."""
    from clash_pipeline.arena import standings as stands

    with arena_services() as built, built.clash.read() as connection:
        found = stands.of(connection, race_id)
        paths = {} if json else stands.paths(connection, race_id)
    if json:
        print_json(found)
        return
    columns = ("rank>", "clone>", "name", "equity USD>", "return %>", "class", "state")
    table(f"Race {race_id}", columns, [_row(one) for one in found])
    drawn = field_chart([(one.name, _line(paths.get(one.clone_id, []))) for one in found])
    if drawn:
        typer.echo(drawn)


@app.command()
@one_line_errors
def advance(json: AsJson = False) -> None:
    """Do all of the Arena that is due now, in order; the same again changes nothing."""
    from clash_pipeline.arena import clockwork

    with arena_services() as built:
        moved = clockwork.advance(built, built.clock.now_ms())
    if json:
        print_json([one._asdict() for one in moved])
        return
    for one in moved:
        typer.echo(f"{one.kind} {one.id}: {one.state}")
    if not moved:
        typer.echo("nothing is due")


@app.command(rich_help_panel=ADMIN)
@one_line_errors
def remove(race_id: RaceId, clone_id: CloneId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Take a clone out of a field: before launch its tickets are refunded, later it ranks after all others."""
    from clash_pipeline.arena import race_admin

    with arena_services() as built:
        now_ms = built.clock.now_ms()
        done = race_admin.remove(built.clash, race_id, clone_id, actor=actor, reason=reason, now_ms=now_ms)
    typer.echo(f"clone {clone_id} {'is removed' if done else 'was removed before'} from race {race_id}")


@app.command(rich_help_panel=ADMIN)
@one_line_errors
def cancel(race_id: RaceId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Call a race off before its end and refund every ticket."""
    from clash_pipeline.arena import race_admin

    with arena_services() as built:
        race = race_admin.cancel(built.clash, race_id, actor=actor, reason=reason, now_ms=built.clock.now_ms())
    typer.echo(f"race {race_id} is {race.state}: {race.reason}")


@app.command()
@one_line_errors
def flags(limit: Newest = 20, json: AsJson = False) -> None:
    """Pairs whose equity moved as one over three races: for an admin to look at, nothing follows by itself."""
    from clash_pipeline.arena import flags as stored
    from clash_pipeline.clock import iso

    with arena_services() as built, built.clash.read() as connection:
        found = stored.newest(connection, limit=limit)
    print_rows(
        found, "Flags", ("flag>", "clone>", "other>", "races", "rho>", "since", "verdict"),
        lambda one: (
            one.id, one.clone_id, one.other_id, one.races, f"{one.rho_bp / 10_000:.4f}", iso(one.at), one.verdict
        ),
        as_json=json,
    )  # fmt: skip


def _moments(race: "Race") -> dict[str, Any]:
    """A race as JSON: times as text."""
    from clash_pipeline.clock import iso

    times = {name: None if (at := getattr(race, name)) is None else iso(at) for name in MOMENTS}
    return {
        "id": race.id, "state": race.state, **times, "cause": race.cause, "reason": race.reason,
        "rules_hash": race.rules_hash, "result_hash": race.result_hash,
    }  # fmt: skip


def _row(one: "Standing") -> tuple[object, ...]:
    from clash_pipeline.units import RATE, usd_text

    equity = None if one.equity is None else usd_text(one.equity)
    returned = None if one.return_rate is None else f"{100 * one.return_rate / RATE:+.2f}"
    return one.rank, one.clone_id, one.name, equity, returned, one.standing, one.state


def _line(points: list[tuple[int, int]]) -> list[tuple[int, float]]:
    from clash_pipeline.units import USD

    return [(at, equity / USD) for at, equity in points]
