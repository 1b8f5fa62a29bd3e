"""How the `clash` command speaks: tables for people, JSON for programs, one line and an exit code for errors."""

import sys
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TextIO, TypeVar

import msgspec
import structlog
import typer

P = ParamSpec("P")
T = TypeVar("T")

BARS = "▁▂▃▄▅▆▇█"


class Exit(IntEnum):
    """Exit codes: what a caller may rely on."""

    OK = 0
    UNHEALTHY = 1
    """The question was answered, and the answer is bad: a failed check, an audit difference, an invalid file."""
    USAGE = 2
    """Wrong arguments, unknown ids, unreadable files."""
    CONFIGURATION = 3
    """The settings or the database refuse to start."""
    UNAVAILABLE = 4
    """Something outside did not answer, or another process holds what is needed; trying again can help."""


def fail(message: str, code: int = Exit.USAGE) -> NoReturn:
    """Say what is wrong in one line on standard error and stop."""
    typer.secho(f"clash: {message}", err=True, fg=typer.colors.RED if sys.stderr.isatty() else None)
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """Print a value as JSON, keys in the order given."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; columns whose name ends in `>` are aligned to the right."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(header_style="bold", box=None, pad_edge=False)
    for column in columns:
        shown.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    for row in rows:
        shown.add_row(*("–" if cell is None else str(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(title, style="bold", markup=False)
    console.print(shown)


def print_rows(
    found: Sequence[T], title: str, columns: Sequence[str], row: Callable[[T], Sequence[object]], *, as_json: bool
) -> None:
    """Print what was found: as it is for a program, a row of a table each for a person."""
    if as_json:
        print_json(found)
    else:
        table(title, columns, map(row, found))


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """A row of bars from the lowest to the highest of the values, thinned to `width`."""
    if not values:
        return ""
    step = max(len(values) / width, 1)
    picked = [values[int(index * step)] for index in range(int(len(values) / step))]
    low, high = min(picked), max(picked)
    span = (high - low) or 1
    return "".join(BARS[int((value - low) / span * (len(BARS) - 1))] for value in picked)


def log_to_stderr(*, warnings_only: bool = False) -> None:
    """Keep standard output for the answer alone, so that `--json` stays JSON whatever is logged."""
    others = [step for step in structlog.get_config()["processors"] if step is not _warnings_only]
    structlog.configure(
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        processors=[_warnings_only, *others] if warnings_only else others,
    )


def log_to(file: TextIO) -> None:
    """Keep the log of this process in a file, so that what a person watches stays readable."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(file))


def _warnings_only(_: Any, method: str, event: Any) -> Any:
    if method in {"debug", "info"}:
        raise structlog.DropEvent
    return event


def one_line_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Turn errors a person can act on into one line and an exit code; anything else is a defect and shows itself."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        from clash_pipeline.archive.readiness import PartitionRefused
        from clash_pipeline.archive.stores import StoreError, StoreUnavailable
        from clash_pipeline.market.http import VenueError
        from clash_pipeline.replay.controls import VenueGone
        from clash_pipeline.settings import SettingsError
        from clash_pipeline.storage.errors import StorageBusy, StorageError, StorageFull
        from clash_pipeline.units import UnitError

        log_to_stderr()
        try:
            return command(*args, **kwargs)
        except SettingsError as error:
            fail(str(error), Exit.CONFIGURATION)
        except (StorageBusy, StorageFull, VenueError, VenueGone, StoreUnavailable) as error:
            fail(str(error), Exit.UNAVAILABLE)
        except (StorageError, StoreError) as error:
            fail(str(error), Exit.CONFIGURATION)
        except PartitionRefused as error:
            fail(str(error), Exit.USAGE)
        except UnitError as error:
            fail(str(error), Exit.USAGE)
        except BrokenPipeError:
            raise typer.Exit(Exit.OK) from None

    return guarded
