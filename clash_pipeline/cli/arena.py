"""`clash arena …`: slots, the promotion queue, what admins do, and the Hall of Fame."""

from typing import TYPE_CHECKING

import typer

from clash_pipeline.cli.arena_services import arena_services
from clash_pipeline.cli.ids import CloneId
from clash_pipeline.cli.options import ADMIN, OPERATOR, Actor, AsJson, Newest, Reason
from clash_pipeline.cli.output import one_line_errors, print_json, print_rows, table

if TYPE_CHECKING:
    from clash_pipeline.arena.hall_of_fame import Entry

app = typer.Typer(help="The Arena: slots, queue, retirement, Hall of Fame.", no_args_is_help=True)


@app.command()
@one_line_errors
def slots(json: AsJson = False) -> None:
    """Who occupies which slot, since when, with the strikes that stand."""
    from clash_pipeline.arena import slots as stored
    from clash_pipeline.arena import strikes
    from clash_pipeline.clock import iso
    from clash_pipeline.clones import clones

    with arena_services() as built, built.clash.read() as connection:
        found = [
            {
                "slot_no": occupant.slot_no,
                "clone_id": occupant.clone_id,
                "name": clones.get(connection, occupant.clone_id).name,
                "entered_at": iso(occupant.entered_at),
                "strikes": len(strikes.of(connection, occupant.clone_id)),
                "demand": strikes.demand(connection, occupant.clone_id, since=occupant.entered_at),
            }
            for occupant in stored.occupants(connection)
        ]
        count = built.settings.arena_slots
    if json:
        print_json(found)
    else:
        columns = ("slot>", "clone>", "name", "since", "strikes>", "tickets by others>")
        table(f"{len(found)} of {count} slots", columns, [tuple(one.values()) for one in found])


@app.command()
@one_line_errors
def queue(json: AsJson = False) -> None:
    """Who waits for a slot, in order, and why a place is passed over."""
    from clash_pipeline.arena import queue as stored
    from clash_pipeline.clock import iso

    with arena_services() as built, built.clash.read() as connection:
        found = stored.waiting(connection)
    if json:
        print_json(found)
        return
    rows = [
        (
            number, place.clone_id, iso(place.passed_at), place.blocked.sentence if place.blocked else None,
            iso(place.head_since) if place.head_since else None,
        )
        for number, place in enumerate(found, start=1)
    ]  # fmt: skip
    table("Promotion queue", ("place>", "clone>", "passed", "passed over because", "expires 7 days after"), rows)


@app.command()
@one_line_errors
def sync(json: AsJson = False) -> None:
    """Admit from the queue while slots are free; the same again changes nothing."""
    from clash_pipeline.arena import entry

    with arena_services() as built:
        done = entry.sync(built.clash, built.settings, built.clock.now_ms())
    if json:
        print_json(done)
    else:
        typer.echo(
            f"{len(done.admitted)} admitted, {len(done.passed_over)} passed over, {len(done.expired)} expired, "
            f"{done.free} slots free"
        )


@app.command(rich_help_panel=ADMIN)
@one_line_errors
def admit(clone_id: CloneId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Put a house clone into a free slot without an audition."""
    from clash_pipeline.arena import admin

    with arena_services() as built:
        now_ms = built.clock.now_ms()
        done = admin.admit(built.clash, built.settings, clone_id, actor=actor, reason=reason, now_ms=now_ms)
    typer.echo(f"clone {clone_id} {'has a slot' if done else 'had a slot already'}")


@app.command(rich_help_panel=ADMIN)
@one_line_errors
def remove(clone_id: CloneId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Free the slot of a clone; a race whose field it is in goes on with it."""
    from clash_pipeline.arena import admin

    with arena_services() as built:
        done = admin.remove(built.clash, clone_id, actor=actor, reason=reason, now_ms=built.clock.now_ms())
    typer.echo(f"clone {clone_id} {'left its slot' if done else 'has no slot'}")


@app.command(rich_help_panel=ADMIN)
@one_line_errors
def retire(clone_id: CloneId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Retire a clone, at once or as soon as no audition and no race holds it."""
    from clash_pipeline.arena import admin

    with arena_services() as built:
        done = admin.retire(built.clash, clone_id, actor=actor, reason=reason, now_ms=built.clock.now_ms())
    said = {"done": "is retired", "waits": "will be retired once nothing holds it", "unchanged": "was already retired"}
    typer.echo(f"clone {clone_id} {said[done]}")


@app.command(rich_help_panel=ADMIN)
@one_line_errors
def reinstate(clone_id: CloneId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Take a retirement back, or the request for one; the clone has no slot and no strikes."""
    from clash_pipeline.arena import admin

    with arena_services() as built:
        done = admin.reinstate(built.clash, clone_id, actor=actor, reason=reason, now_ms=built.clock.now_ms())
    typer.echo(f"clone {clone_id} {'is reinstated' if done else 'is not retired'}")


@app.command()
@one_line_errors
def acts(limit: Newest = 50, json: AsJson = False) -> None:
    """What admins did, refused acts too."""
    from clash_pipeline.arena import acts as stored
    from clash_pipeline.clock import iso

    with arena_services() as built, built.clash.read() as connection:
        found = stored.newest(connection, limit=limit)
    print_rows(
        found, "Acts", ("at", "act", "clone>", "audition>", "race>", "outcome", "actor", "reason", "detail"),
        lambda one: (
            iso(one.at), one.act, one.clone_id, one.audition_id, one.race_id, one.outcome, one.actor, one.reason,
            one.detail,
        ),
        as_json=json,
    )  # fmt: skip


@app.command("hall-of-fame")
@one_line_errors
def hall_of_fame(limit: Newest = 50, json: AsJson = False) -> None:
    """The careers of those who were retired."""
    from clash_pipeline.arena import hall_of_fame as stored

    with arena_services() as built, built.clash.read() as connection:
        found = stored.every(connection, limit=limit)
    columns = (
        "clone>", "name", "retired", "races>", "wins>", "podiums>", "best>", "worst>", "PnL>", "tickets>", "days>",
        "why",
    )  # fmt: skip
    print_rows(found, "Hall of Fame", columns, _famous, as_json=json)


def _famous(one: "Entry") -> tuple[object, ...]:
    from clash_pipeline.clock import iso
    from clash_pipeline.units import scaled_text, usd_text

    def percent(rate: int | None) -> str | None:
        return None if rate is None else f"{scaled_text(rate, 6)} %"

    career = one.career
    return (
        one.clone_id, one.name, iso(one.retired_at), career.races, career.wins, career.podiums,
        percent(career.best_return), percent(career.worst_return), usd_text(career.pnl), career.tickets, career.days,
        one.reason,
    )  # fmt: skip
