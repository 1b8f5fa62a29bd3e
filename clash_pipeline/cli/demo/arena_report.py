"""What the demo tells of its Arena: auditions, the race, its settlement, what was paid out, and who retired."""

from typing import TYPE_CHECKING

import typer

from clash_pipeline.cli.demo.story import ether
from clash_pipeline.cli.output import table
from clash_pipeline.clock import iso

if TYPE_CHECKING:
    from clash_pipeline.cli.demo.story import Story
    from clash_pipeline.storage.sqlite import Connection


def show(story: "Story") -> None:
    """Every number, under the command that shows it again."""
    with story.services.clash.read() as connection:
        _purchases(story, connection)
        _auditions(story, connection)
        _race(story, connection)
        _settlement(story, connection)
        _payouts(story, connection)
        _retired(story, connection)


def _head(title: str, where: str) -> None:
    typer.secho(f"\n{title}", bold=True, nl=False)
    typer.echo(f"  ({where})")


def _purchases(story: "Story", connection: "Connection") -> None:
    from clash_pipeline.economy import purchases

    _head("Fees and tickets, paid on the chain", "clash economy purchases")
    rows = []
    for purchase_id in (*story.play.fees, *story.play.tickets):
        found = purchases.get(connection, purchase_id)
        what = found.purpose if found.tickets is None else f"{found.tickets} tickets of race {found.race_id}"
        wallet = story.play.wallets[found.wallet]
        clone = story.play.clones[found.clone_id]
        rows.append((purchase_id, wallet.name, what, clone, ether(found.amount_wei), found.state))
    table("purchases", ("id>", "who", "what", "clone", "paid>", "state"), rows)


def _auditions(story: "Story", connection: "Connection") -> None:
    from clash_pipeline.arena import auditions

    _head("Auditions", "clash auditions show N")
    for found in reversed(auditions.every(connection)):
        typer.echo(
            f"audition {found.id} of {story.play.clones[found.clone_id]}, {iso(found.starts_at)[11:16]} to "
            f"{iso(found.ends_at)[11:16]}Z: {found.state}"
        )
        rows = [
            (each.criterion, "met" if each.is_met else "missed", _figure(each.value, each.unit),
             _figure(each.bound, each.unit))
            for each in found.findings
        ]  # fmt: skip
        table("criteria", ("criterion", "", "value>", "bound>"), rows)


def _race(story: "Story", connection: "Connection") -> None:
    from clash_pipeline.arena import races, standings, strikes
    from clash_pipeline.cli.chart import field_chart
    from clash_pipeline.economy import pools
    from clash_pipeline.units import USD, usd_text

    race_id = story.play.race_id or 0
    race = races.get(connection, race_id)
    sold = pools.demand(connection, race_id)
    struck = {strike.clone_id for strike in strikes.of_race(connection, race_id)}
    span = f"{iso(race.starts_at)[11:16]} to {iso(race.ends_at)[11:16]}Z"
    _head(f"Race {race_id}, {span}: {race.state}", f"clash race standings {race_id}; page /races/{race_id}")
    rows = [
        (each.rank, story.play.clones[each.clone_id], each.engine, each.standing, usd_text(each.final_equity or 0),
         each.fills, sold[each.clone_id].tickets, "strike" if each.clone_id in struck else None)
        for each in sorted(races.entrants(connection, race_id), key=lambda each: each.rank or 0)
    ]  # fmt: skip
    table("order of finish", ("rank>", "clone", "by", "class", "equity USD>", "fills>", "tickets>", ""), rows)
    lines = {story.play.clones[clone_id]: path for clone_id, path in standings.paths(connection, race_id).items()}
    typer.echo(field_chart([(name, [(t, equity / USD) for t, equity in path]) for name, path in lines.items()]))


def _settlement(story: "Story", connection: "Connection") -> None:
    from clash_pipeline.cli import settlement_report
    from clash_pipeline.economy import settling

    race_id = story.play.race_id or 0
    settled = settling.settlement_of(connection, race_id)
    assert settled is not None, "the demo waits for it"
    _head("Settlement, to the wei", f"clash settlement show {race_id}")
    settlement_report.show(settled)


def _payouts(story: "Story", connection: "Connection") -> None:
    from clash_pipeline.economy import payables

    _head("Paid out: authorised by EIP-712, taken from the vault, seen there", "clash economy payables")
    found = payables.every(connection, race_id=story.play.race_id, limit=1_000)
    sums: dict[tuple[str, str, str], list[int]] = {}
    for each in found:
        sums.setdefault((story.play.wallets[each.recipient].name, each.kind, each.state), []).append(each.amount_wei)
    rows = [(*key, len(wei), sum(wei), ether(sum(wei))) for key, wei in sorted(sums.items())]
    table("payables", ("who", "what", "state", "of them>", "wei>", "ETH>"), rows)


def _retired(story: "Story", connection: "Connection") -> None:
    from clash_pipeline.arena import hall_of_fame
    from clash_pipeline.units import usd_text

    for entry in hall_of_fame.every(connection):
        career = entry.career
        _head(f"Hall of Fame: {entry.name}", "clash arena hall-of-fame; page /hall-of-fame")
        typer.echo(
            f"retired {iso(entry.retired_at)}, {entry.reason}: {career.races} races, {career.wins} won, PnL "
            f"{usd_text(career.pnl)} USD, {career.tickets} tickets for {ether(int(career.tickets_wei))}, "
            f"{career.in_arena_ms // 60_000} minutes in the Arena\ncareer frozen as {entry.hash}"
        )


def _figure(value: int | None, unit: str) -> str:
    """A figure of a criterion: a rate in percent, a count, a time in minutes."""
    from clash_pipeline.units import RATE, scaled_text

    if value is None:
        return "none"
    if unit == "rate":
        return f"{scaled_text(value, len(str(RATE)) - 3)} %"
    return str(value) if unit == "count" else f"{value // 60_000} min"
