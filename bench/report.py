"""What the benches found, for eyes, for machines and for doc/performance.md."""

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.harness import Bench, Row

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
HEADING, WIDTH = "### ", 140
HEADINGS = ("contender", "", "per second", "median", "min … max", "× floor", "ours ×", "peak MiB", "added", "")


def show(bench: Bench, rows: list[Row], quick: bool) -> None:
    """One table on the terminal."""
    caption = "quick sizes: see only that it works" if quick else verdict(bench, rows)
    table = Table(title=f"{bench.title} ({bench.unit})", caption=caption, title_justify="left")
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if number < 2 else "right")
    for row in rows:
        table.add_row(*cells(row), style="bold" if row.kind == "ours" else None)
    Console(width=max(Console().width, WIDTH)).print(table)


def cells(row: Row) -> tuple[str, ...]:
    """One line of a table."""
    if row.missing:
        return (row.contender, row.kind, row.missing, *[""] * 7)
    figures = ", ".join(f"{name} {value:,.4g}" for name, value in row.figures.items())
    return (
        row.contender, row.kind, _rate(row.per_sec), _time(row.median_sec),
        f"{_time(row.min_sec)} … {_time(row.max_sec)}", _ratio(row.to_floor), _ratio(row.ours_to_it),
        _size(row.peak_mib), _size(row.added_mib), figures,
    )  # fmt: skip


def verdict(bench: Bench, rows: list[Row]) -> str:
    """The ratio that was aimed at, and what was reached."""
    if bench.aim is None:
        return ""
    reached = next((row.ours_to_it for row in rows if row.contender == bench.aim_of), None)
    return f"aim {bench.aim:g} × {bench.aim_of}; reached {_ratio(reached) or 'unknown'}"


def write_json(path: Path, rows: list[Row], quick: bool) -> None:
    """Everything, for machines."""
    found = {"machine": machine(), "quick": quick, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(found, indent=1) + "\n")


def write_markdown(path: Path, benches: dict[str, Bench], rows: list[Row], *, keeps_others: bool = False) -> None:
    """Put the tables between the markers of a document; the text around them stays, and so do other tables if wanted.

    Raises:
        ValueError: the document has no markers.
    """
    before, begin, rest = path.read_text().partition(BEGIN)
    present, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no {BEGIN} and {END}")
    tables = _tables(present) if keeps_others else {}
    tables |= _tables("\n".join(_markdown(benches, rows)))
    made = "".join(f"\n{HEADING}{title}\n{table}\n" for title, table in tables.items())
    path.write_text(f"{before}{BEGIN}\nMeasured on {machine()}.\n{made}{END}{after}")


def _tables(text: str) -> dict[str, str]:
    """The tables of a text by their titles."""
    _, *parts = text.split(HEADING)
    cut = (part.partition("\n") for part in parts)
    return {title: table.rstrip() for title, _, table in cut}


def machine() -> str:
    """What it ran on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def _markdown(benches: dict[str, Bench], rows: list[Row]) -> Iterator[str]:
    for name, group in groupby(rows, key=lambda row: row.bench):
        found = list(group)
        yield f"\n{HEADING}{benches[name].title}\n"
        yield f"| {' | '.join(HEADINGS)} |".replace("per second", f"{benches[name].unit}/s")
        yield "| --- | --- |" + " ---: |" * 7 + " --- |"
        yield from (f"| {' | '.join(cells(row))} |" for row in found)
        if said := verdict(benches[name], found):
            yield f"\n{said[0].upper()}{said[1:]}."


def _rate(value: float) -> str:
    return f"{value / 1e6:,.2f} M" if value >= 1e6 else f"{value:,.0f}"


def _time(seconds: float) -> str:
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1e3:,.2f} ms"


def _size(mib: float | None) -> str:
    return "" if mib is None else f"{mib:,.0f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
