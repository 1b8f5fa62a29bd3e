"""How a context packet looks on a terminal: what was read and how old, what was missing, thinned, and what it costs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from clash_pipeline.cli.output import table

if TYPE_CHECKING:
    from clash_pipeline.decisions.packet import Packet
    from clash_pipeline.decisions.sections import Section

MINUTE_SEC, HOUR_SEC, DAY_SEC = 60, 3_600, 86_400


def show_packet(packet: "Packet") -> None:
    """Everything an engine was given, for a person."""
    from clash_pipeline.clock import iso

    who, price = packet.identity, packet.asset.price
    typer.echo(
        f"run {who.run_id}: clone {who.clone_id} version {who.version}, {who.account_kind} account {who.account_id}, "
        f"{who.branch} × {who.symbol}, as of {iso(who.as_of)}"
    )
    typer.echo(
        f"price {_known(price.reference, price.reference_source, price.reference_age_ms)}, "
        f"mark {_known(price.mark, price.mark_source, price.mark_age_ms)}"
    )
    account = packet.account
    typer.echo(
        f"equity {account.equity} USD, drawdown {account.drawdown_pct} %, {len(account.positions)} open positions"
    )
    typer.echo("room: " + ", ".join(f"{name} {left}" for name, left in account.room.items()))
    _universe(packet)
    _reads(packet)
    _budget(packet)
    if packet.untrusted:
        table("Texts of others", ("id", "from", "text"), [(one.id, one.source, one.text) for one in packet.untrusted])


def _known(text: str | None, source: str | None, age_ms: int | None) -> str:
    return "unknown" if text is None else f"{text} ({source}, {_age(age_ms)} old)"


def _universe(packet: "Packet") -> None:
    rows = [
        (one.symbol, one.selection, "yes" if one.can_trade else "no", one.rank, one.score, one.skipped)
        for one in sorted(packet.universe, key=lambda one: (one.rank is None, one.rank, one.symbol))
    ]
    table("Trade universe", ("symbol", "selected by", "tradable", "rank>", "score>", "left out because"), rows)


def _reads(packet: "Packet") -> None:
    texts = {one.id: one.text for one in packet.untrusted}
    columns = ("part", "channel", "of", "every>", "back>", "inclusion", "rows>", "expected>", "age>", "problem")
    rows = [
        (
            part, section.channel, _of(section, texts), _span(section.granularity_sec), _span(section.lookback_sec),
            section.inclusion, len(section.rows), section.expected, _age(section.age_ms),
            section.left_out or section.problem,
        )
        for part in ("own", "cross_asset", "polymarket", "defillama")
        for section in getattr(packet, part)
    ]  # fmt: skip
    table("Read", columns, rows)
    if packet.plan.dropped:
        lost = [(one.source, one.channel, one.context_symbol, one.reason) for one in packet.plan.dropped]
        table("Asked for and impossible", ("source", "channel", "of", "reason"), lost)


def _budget(packet: "Packet") -> None:
    budget = packet.budget
    total = budget.estimated_tokens.get("total", 0)
    parts = ", ".join(f"{name} {size}" for name, size in budget.estimated_tokens.items() if name != "total")
    over = ", above it with required content alone" if budget.is_over else ""
    typer.echo(f"prompt: about {total} tokens of {budget.limit_tokens}{over} ({parts})")
    if packet.custom_behavior.was_shortened:
        typer.echo("the custom prompt was cut at its limit")
    if budget.texts_left_out:
        typer.echo(f"{budget.texts_left_out} texts of others did not fit")
    if budget.thinned:
        rows = [
            (
                one.source,
                one.channel,
                one.of,
                _span(one.granularity_sec),
                one.inclusion,
                one.found,
                one.kept,
                one.reason,
            )
            for one in budget.thinned
        ]
        columns = ("source", "channel", "of", "every>", "inclusion", "found>", "kept>", "reason")
        table("Thinned for the budget", columns, rows)


def _of(section: "Section", texts: Mapping[str, str]) -> str:
    subject = section.market or section.subject
    named = texts.get(subject, subject) if subject else ""
    return " ".join(filter(None, (section.of if section.source != "defillama" else section.scope, named)))


def _age(age_ms: int | None) -> str | None:
    return None if age_ms is None else _span(max(age_ms, 0) // 1_000)


def _span(seconds: int) -> str:
    for size, unit in ((DAY_SEC, "d"), (HOUR_SEC, "h"), (MINUTE_SEC, "min")):
        if seconds >= size and seconds % (size // 60 if size > MINUTE_SEC else 1) == 0:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds} s"
