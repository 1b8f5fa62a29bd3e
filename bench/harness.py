"""The harness of every bench: contenders run interleaved, peak memory taken in a fresh process of each.

Interleaving lets a noisy minute of the machine hit every contender alike; trust the ratios, not the seconds.
"""

import gc
import importlib
import logging
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import structlog

Kind = Literal["ours", "peer", "floor"]


@dataclass(frozen=True)
class Contender:
    """One way of doing the work. `prepare` is not timed; `run` takes what it made and returns how much was done.

    `figures` may add what cannot be timed, such as bytes a row, from what was prepared and done.
    """

    name: str
    kind: Kind
    prepare: Callable[[], Any]
    run: Callable[[Any], int]
    figures: Callable[[Any], Mapping[str, float]] = field(default=lambda _: {})


@dataclass(frozen=True)
class Bench:
    """One table: what is done, counted in `unit`, by whom; `aim` is the ratio wanted to the contender `aim_of`.

    Before the timed `rounds` there is one that does not count, unless the work `is_long`. Without `has_memory` the
    work is not done once more to see its memory: where it happens in other processes, or takes minutes.
    """

    name: str
    title: str
    unit: str
    contenders: tuple[Contender, ...]
    rounds: int = 5
    is_long: bool = False
    has_memory: bool = True
    aim: float | None = None
    aim_of: str = ""


@dataclass
class Row:
    """What came out for one contender; times in seconds, memory in MiB; `missing` says why nothing did."""

    bench: str
    contender: str
    kind: Kind
    unit: str
    amount: int = 0
    median_sec: float = 0.0
    min_sec: float = 0.0
    max_sec: float = 0.0
    per_sec: float = 0.0
    to_floor: float | None = None
    ours_to_it: float | None = None
    peak_mib: float | None = None
    added_mib: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    missing: str = ""


class Taken(NamedTuple):
    """One round: how long it took and how much was done."""

    seconds: float
    amount: int


def compare(bench: Bench, module: str, quick: bool) -> list[Row]:
    """Run the contenders of a bench in turn for some rounds."""
    rows = {each.name: Row(bench.name, each.name, each.kind, bench.unit) for each in bench.contenders}
    times: dict[str, list[Taken]] = {name: [] for name in rows}
    for number in range((2 if quick else bench.rounds) + (not bench.is_long)):
        for contender in bench.contenders:
            row = rows[contender.name]
            if not row.missing:
                _once(contender, row, times[contender.name])
        if number == 0 and not bench.is_long:
            times = {name: [] for name in rows}
    for contender in bench.contenders:
        _summarise(rows[contender.name], times[contender.name])
        if bench.has_memory and not rows[contender.name].missing:
            row = rows[contender.name]
            row.peak_mib, row.added_mib = memory_of(module, bench.name, contender.name, quick)
    _relate(list(rows.values()))
    return list(rows.values())


def memory_of(module: str, bench: str, contender: str, quick: bool) -> tuple[float | None, float | None]:
    """Memory of a new process that does the work once, in MiB: its peak, and what the work added to what it was given.

    The first counts interpreter, libraries and preparation as well.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(sending, module, bench, contender, quick))
    child.start()
    sending.close()
    try:
        found: tuple[float | None, float | None] = receiving.recv()
    except EOFError:
        found = (None, None)
    child.join()
    return found


def benches_of(module: str, quick: bool) -> tuple[Bench, ...]:
    """The benches that a module of this folder offers."""
    found: tuple[Bench, ...] = importlib.import_module(module).benches(quick)
    return found


def _once(contender: Contender, row: Row, times: list[Taken]) -> None:
    try:
        prepared = contender.prepare()
    except ImportError as error:
        row.missing = f"not installed: {error.name}"
        return
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        row.amount = contender.run(prepared)
        times.append(Taken(time.perf_counter() - started, row.amount))
    finally:
        gc.enable()
    row.figures = dict(contender.figures(prepared))


def _summarise(row: Row, times: list[Taken]) -> None:
    if times:
        seconds = [taken.seconds for taken in times]
        row.median_sec, row.min_sec, row.max_sec = statistics.median(seconds), min(seconds), max(seconds)
        row.per_sec = statistics.median(taken.amount / taken.seconds for taken in times)


def _relate(rows: list[Row]) -> None:
    rate = {
        kind: next((row.per_sec for row in rows if row.kind == kind and row.per_sec), 0.0) for kind in ("ours", "floor")
    }
    for row in rows:
        if row.per_sec:
            row.to_floor = row.per_sec / rate["floor"] if rate["floor"] else None
            row.ours_to_it = rate["ours"] / row.per_sec


def _measure(sending: Any, module: str, bench: str, contender: str, quick: bool) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    wanted = next(each for each in benches_of(module, quick) if each.name == bench)
    chosen = next(each for each in wanted.contenders if each.name == contender)
    prepared = chosen.prepare()
    gc.collect()
    before = _start_again()
    chosen.run(prepared)
    peak = _peak_mib()
    sending.send((peak, None if before is None else max(peak - before, 0.0)))
    sending.close()


def _start_again() -> float | None:
    """Let the high-water mark begin at the present size, in MiB; None where the system has no such thing."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _peak_mib()


def _peak_mib() -> float:
    """Of this process alone: on Linux `ru_maxrss` starts from the parent's size, so its own high-water mark is read."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    factor = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor / 2**20
