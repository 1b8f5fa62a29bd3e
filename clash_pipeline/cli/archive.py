"""`clash archive`: the days of market memory and of account snapshots that left SQLite, or are about to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clash_pipeline.cli.output import Exit, fail, log_to_stderr, one_line_errors, print_json, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from clash_pipeline.archive.bookkeeping import Partition

app = typer.Typer(
    no_args_is_help=True,
    help="Days in the object store, one object for each table and UTC day. Days are `2025-07-21`.",
)

SHOWN_ROWS = 40

TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help="As `clash archive list` names it.")]
DayArgument = Annotated[str, typer.Argument(metavar="DAY", help="A UTC day: 2025-07-21.")]
TableOption = Annotated[str | None, typer.Option("--table", metavar="TABLE", help="Only this table.")]
DayOption = Annotated[str | None, typer.Option("--day", metavar="DAY", help="Only this UTC day.")]
LastOption = Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day, included; default: DAY alone.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]


@app.command("list")
@one_line_errors
def list_days(
    only_table: TableOption = None,
    day: DayOption = None,
    in_store: Annotated[
        bool, typer.Option("--store", help="Ask the store itself, also for days not known to this database.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List archived days: rows, size, when they were last read back, and where their rows are."""
    if in_store:
        _list_store(only_table, as_json=as_json)
        return
    found = _partitions(only_table, day)
    if as_json:
        print_json([{**asdict(one), "day": _label(one.day)} for one in found])
        return
    columns = ("table", "day", "rows>", "bytes>", "bytes/row>", "verified", "rows are in")
    table("Archived days", columns, [_row(one) for one in found])


@app.command()
@one_line_errors
def verify(only_table: TableOption = None, day: DayOption = None, as_json: JsonOption = False) -> None:
    """Read archived days back and compare row count and content hash; exit 1 when one is not what was put."""
    from clash_pipeline import services
    from clash_pipeline.archive.catalogue import SNAPSHOTS
    from clash_pipeline.archive.partitions import verify_day
    from clash_pipeline.archive.stores import StoreCorrupt, StoreMissing
    from clash_pipeline.prop import snapshot_archive

    log_to_stderr(warnings_only=True)  # the tries before a store is given up are not part of the answer
    built, results = services.build(), []
    with _progress("reading back") as advance:
        for one in _wanted(only_table, day):
            problem, now_ms = None, built.clock.now_ms()
            try:
                if one.table_name == SNAPSHOTS.name:
                    snapshot_archive.verify_day(built.clash, built.store, one.day, now_ms)
                else:
                    verify_day(built.market, built.store, one.table_name, one.day, now_ms)
            except (StoreCorrupt, StoreMissing) as error:
                problem = str(error)
            results.append({"table": one.table_name, "day": _label(one.day), "ok": problem is None, "problem": problem})
            advance(f"{one.table_name} {_label(one.day)}")
    _print(results, as_json, "Read back", ("table", "day", "", "problem"))
    if any(not result["ok"] for result in results):
        raise typer.Exit(Exit.UNHEALTHY)


@app.command()
@one_line_errors
def restore(table_name: TableArgument, day: DayArgument, last: LastOption = None, as_json: JsonOption = False) -> None:
    """Bring archived days back into SQLite as they were; they stay for a week (CLASH_RESTORED_PIN_DAYS)."""
    from clash_pipeline import services
    from clash_pipeline.archive.catalogue import SNAPSHOTS
    from clash_pipeline.archive.partitions import restore_day
    from clash_pipeline.clock import iso

    if _known(table_name) == SNAPSHOTS.name:
        fail(f"{table_name} is not restored: its hours are still there, its minutes are read by `clash archive query`")
    built, results = services.build(), []
    pin_days = built.settings.restored_pin_days
    with _progress("restoring") as advance:
        for at in _days(day, last):
            done = restore_day(
                built.market, built.store, _known(table_name), at, built.clock.now_ms(), pin_days=pin_days
            )
            results.append(
                {"table": table_name, "day": _label(at), "rows": done.rows, "kept": done.kept,
                 "pinned_until": iso(done.pinned_until)}
            )  # fmt: skip
            advance(f"{table_name} {_label(at)}")
    _print(results, as_json, "Restored", ("table", "day", "rows>", "already there>", "stays until"))


@app.command()
@one_line_errors
def query(
    table_name: TableArgument,
    day: DayArgument,
    last: LastOption = None,
    sql: Annotated[str | None, typer.Option("--sql", help="A statement over the relation `archive`.")] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Only this symbol.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000_000, help="At most so many rows.")] = SHOWN_ROWS,
    as_json: JsonOption = False,
) -> None:
    """Read archived days in place, without restoring them; prices are text, so cast them to count with them."""
    from rich.markup import escape

    from clash_pipeline.archive.research import QueryError
    from clash_pipeline.archive.research import query as run_statement

    rows = _read(_known(table_name), _days(day, last), symbol)
    if sql is not None:
        try:
            rows = run_statement(rows, sql)
        except QueryError as error:
            fail(str(error))
    shown = rows.head(limit)
    if as_json:
        print_json(shown.to_dicts())
        return
    more = f", the first {limit}" if rows.height > limit else ""
    cells = [[escape(cell) if isinstance(cell, str) else cell for cell in row] for row in shown.rows()]
    table(f"{table_name} {day}: {rows.height:,} rows{more}", tuple(shown.columns), cells)


@app.command()
@one_line_errors
def run(as_json: JsonOption = False) -> None:
    """Archive, verify and prune what is due now; exit 4 when the store did not answer, 1 when it gave wrong answers."""
    from clash_pipeline import services
    from clash_pipeline.archive import retention
    from clash_pipeline.archive.retention import Outcome

    built = services.build()
    with _progress("retaining") as advance:
        report = retention.run(
            built.market, built.store, built.settings, built.clock.now_ms(),
            progress=lambda done: advance(f"{done.table} {_label(done.day)} {done.outcome}"),
        )  # fmt: skip
    results = [
        {
            "table": one.table,
            "day": _label(one.day),
            "outcome": one.outcome.value,
            "rows": one.rows,
            "reason": one.reason,
        }
        for one in report.days
    ]
    _print(results, as_json, "Retention", ("table", "day", "outcome", "rows>", "reason"))
    outcomes = {one.outcome for one in report.problems}
    if outcomes:
        raise typer.Exit(Exit.UNHEALTHY if Outcome.FAILED in outcomes else Exit.UNAVAILABLE)


def _list_store(only_table: str | None, *, as_json: bool) -> None:
    from clash_pipeline import services
    from clash_pipeline.archive import objects
    from clash_pipeline.archive.catalogue import SNAPSHOTS, TABLES

    store = services.build().store
    names = [_known(only_table)] if only_table else [*TABLES, SNAPSHOTS.name]
    found = [{"table": name, "day": _label(at)} for name in names for at in objects.days(store, name)]
    _print(found, as_json, f"Days in the {store.name} store", ("table", "day"))


def _partitions(only_table: str | None, day: str | None) -> "list[Partition]":
    from clash_pipeline import services
    from clash_pipeline.archive import bookkeeping
    from clash_pipeline.archive.catalogue import SNAPSHOTS
    from clash_pipeline.prop import snapshot_archive

    at, built = _days(day, None)[0] if day else None, services.build()
    named = _known(only_table) if only_table else None
    found = bookkeeping.partitions(built.market, named, at)
    if named in (None, SNAPSHOTS.name):
        found += [one for one in snapshot_archive.days(built.clash) if at in (None, one.day)]
    return found


def _wanted(only_table: str | None, day: str | None) -> "list[Partition]":
    """The days a person named, at least one of them; an archive that is still empty is no mistake."""
    found = _partitions(only_table, day)
    if not found and (only_table or day):
        fail("no archived day" + (f" {day}" if day else "") + (f" of {only_table}" if only_table else ""))
    return found


def _read(table_name: str, days: "Sequence[int]", symbol: str | None) -> "pl.DataFrame":
    import polars as pl

    from clash_pipeline import services
    from clash_pipeline.archive.partitions import read_day

    store = services.build().store
    with _progress("reading") as advance:
        parts = []
        for at in days:
            part = read_day(store, table_name, at)
            if symbol is not None and "symbol" not in part.columns:
                fail(f"{table_name} has no symbols")
            parts.append(part if symbol is None else part.filter(pl.col("symbol") == symbol))
            advance(f"{table_name} {_label(at)}")
    return pl.concat(parts)


def _known(name: str) -> str:
    from clash_pipeline.archive.catalogue import table_named

    try:
        return table_named(name).name
    except ValueError as error:
        fail(str(error))


def _days(first: str, last: str | None) -> list[int]:
    from clash_pipeline.clock import DAY_MS, parse_time

    try:
        start, end = parse_time(first), parse_time(last or first)
    except ValueError as error:
        fail(str(error))
    if start % DAY_MS or end % DAY_MS or end < start:
        fail(f"{first} to {last or first} is not a range of UTC days")
    return list(range(start, end + 1, DAY_MS))


def _label(day: int) -> str:
    from clash_pipeline.clock import iso

    return iso(day)[:10]


def _row(one: "Partition") -> tuple[object, ...]:
    from clash_pipeline.clock import iso

    where = "the archive" if one.pruned_at else "both" if one.prune_started_at is None else "both, in part"
    if one.pinned_until:
        where += f", pinned until {iso(one.pinned_until)[:10]}"
    verified = iso(one.verified_at) if one.verified_at else "[red]not verified[/]"
    per_row = f"{one.size_bytes / one.row_count:.1f}"
    return one.table_name, _label(one.day), f"{one.row_count:,}", f"{one.size_bytes:,}", per_row, verified, where


def _print(results: list[dict[str, Any]], as_json: bool, title: str, columns: tuple[str, ...]) -> None:
    if as_json:
        print_json(results)
        return
    marks = {True: "[green]ok[/]", False: "[red]wrong[/]"}
    table(title, columns, [tuple(marks.get(cell, cell) if isinstance(cell, bool) else cell for cell in result.values())
                           for result in results])  # fmt: skip


@contextmanager
def _progress(what: str) -> "Iterator[Callable[[str], None]]":
    """A line on standard error that says what was done last; nothing where nobody watches."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _done: None
        return
    with console.status(what) as status:
        yield lambda done: status.update(f"{what}: {done}")
