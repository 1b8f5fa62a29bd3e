"""`clash settlement show RACE`: a settlement as steps that a person can add up again with pencil and paper."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from clash_pipeline.cli.output import table

if TYPE_CHECKING:
    from clash_pipeline.economy.settling import Settled, TicketPaid


def show(settled: "Settled") -> None:
    """Print the report: what came in, who finished where, how the pool is cut, what each ticket gets, and the sum."""
    inputs = settled.inputs
    typer.echo(f"Race {settled.race_id}, {settled.outcome}, rule set {settled.rule_set}")
    starting = {starter["cloneId"] for starter in inputs["starters"]}
    sold = Counter(ticket["cloneId"] for ticket in inputs["tickets"])
    _field(inputs, sold)
    started = sum(count for clone_id, count in sold.items() if clone_id in starting)
    typer.echo(f"pool = {started} tickets on starters x {inputs['priceWei']} = {settled.pool_wei} wei")
    if settled.payouts:
        _cut(settled, sold)
    else:
        typer.echo("no pool is shared: cancelled, too few starters, or no ticket on a paying clone")
    for title, paid in (("Payouts", settled.payouts), ("Refunds", settled.refunds)):
        _tickets(title, paid)
    if settled.royalties:
        rows = [(item.clone_id, item.creator, item.wei) for item in settled.royalties]
        table("Royalties", ("clone>", "creator", "wei>"), rows)
    _sum(settled, sum(sold.values()))
    typer.echo(f"inputs {settled.inputs_hash}\nresult {settled.result_hash}")


def _field(inputs: dict[str, Any], sold: Counter[int]) -> None:
    weights = inputs["weights"]
    rows = [
        (starter["rank"], starter["cloneId"], starter["creator"], sold[starter["cloneId"]],
         weights[starter["rank"] - 1] if starter["rank"] <= len(weights) else None)
        for starter in inputs["starters"]
    ]  # fmt: skip
    table("Order of finish", ("rank>", "clone>", "creator", "tickets>", "weight>"), rows)


def _cut(settled: "Settled", sold: Counter[int]) -> None:
    """The arithmetic of 11, with its figures in place of its names."""
    inputs, pool = settled.inputs, settled.pool_wei
    shares = inputs["shares"]
    rake = pool * shares["rakeBp"] // shares["wholeBp"]
    creators = pool * shares["creatorBp"] // shares["wholeBp"]
    paying = list(zip(inputs["starters"], inputs["weights"], strict=False))
    parts = [f"{weight} x {sold[starter['cloneId']]}" for starter, weight in paying]
    total = sum(weight * sold[starter["cloneId"]] for starter, weight in paying)
    typer.echo(f"rake = pool x {shares['rakeBp']} / {shares['wholeBp']} = {rake}")
    typer.echo(f"creators = pool x {shares['creatorBp']} / {shares['wholeBp']} = {creators}")
    typer.echo(f"tickets share = {pool} - {rake} - {creators} = {pool - rake - creators}")
    typer.echo(f"sum of weights = {' + '.join(parts)} = {total}")
    for starter, weight in paying:
        each = (pool - rake - creators) * weight // total
        typer.echo(f"a ticket on clone {starter['cloneId']} = share x {weight} / {total} = {each}")
    weight_of = {starter["cloneId"]: weight for starter, weight in paying}
    shared = sum(weight_of[item.clone_id] for item in settled.royalties)
    for item in settled.royalties:
        weight = weight_of[item.clone_id]
        typer.echo(f"royalty of clone {item.clone_id} = creators x {weight} / {shared} = {creators * weight // shared}")
    typer.echo(f"dust = what rounding left = {settled.dust_wei}; rake with dust = {settled.rake_wei}")


def _tickets(title: str, paid: "Sequence[TicketPaid]") -> None:
    """One row a clone and holder: how many tickets, what each gets, what they get together."""
    if not paid:
        return
    counted = Counter((item.clone_id, item.holder, item.wei) for item in paid)
    rows = [(*key, count, count * int(key[2])) for key, count in counted.items()]
    table(title, ("clone>", "holder", "each wei>", "tickets>", "wei>"), rows)


def _sum(settled: "Settled", tickets: int) -> None:
    """What went out, beside what came in."""
    sums = [sum(int(item.wei) for item in settled.payouts), sum(int(item.wei) for item in settled.royalties),
            sum(int(item.wei) for item in settled.refunds), settled.rake_wei]  # fmt: skip
    paid_in = int(settled.inputs["priceWei"]) * tickets
    said = " + ".join(
        f"{name} {wei}" for name, wei in zip(("payouts", "royalties", "refunds", "rake"), sums, strict=True)
    )
    typer.echo(f"{said} = {sum(sums)} wei; paid in {paid_in} wei")
