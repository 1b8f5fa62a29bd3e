"""Small pictures and tables for people: PNG as a data URI and Markdown. Matplotlib is loaded where it draws."""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES, HEIGHT_INCHES, DPI = 7.2, 2.6, 72
ROWS_SHOWN = 20
INK, UP, DOWN, QUIET = "#334155", "#0f9d76", "#d1495b", "#94a3b8"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], limit: int = ROWS_SHOWN) -> str:
    """A Markdown table of at most `limit` rows; unknown values show as a dash."""
    shown = list(rows)
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in shown[:limit]]
    if len(shown) > limit:
        lines.append(f"\n… and {len(shown) - limit:,} more")
    return "\n".join(lines)


def candles(title: str, minutes: Sequence[tuple[int, float, float]]) -> str:
    """Closes over volumes of `(t, close, volume)`, oldest first, as a Markdown image."""
    times, closes, volumes = zip(*minutes, strict=True)

    def draw(axes: "Axes") -> None:
        axes.plot(_dates(times), closes, color=UP if closes[-1] >= closes[0] else DOWN, linewidth=1.2)
        beside = axes.twinx()
        beside.fill_between(_dates(times), volumes, color=QUIET, alpha=0.4, linewidth=0, step="mid")
        beside.set_ylim(0, (max(volumes) or 1) * 4)
        beside.set_yticks([])

    return _image(title, draw)


def coverage(title: str, minutes: Sequence[tuple[int, int]], expected: int) -> str:
    """Assets with a row in each minute of `(t, assets)`, against how many there should be, as a Markdown image."""
    times, counts = zip(*minutes, strict=True)

    def draw(axes: "Axes") -> None:
        axes.fill_between(_dates(times), counts, color=UP, alpha=0.5, linewidth=0, step="mid")
        axes.axhline(expected, color=INK, linewidth=0.8, linestyle="--")
        axes.set_ylim(0, max(expected, *counts) * 1.1)

    return _image(title, draw)


def bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    """One bar a name, as a Markdown image."""
    names, heights = zip(*values, strict=True)

    def draw(axes: "Axes") -> None:
        axes.bar(range(len(names)), heights, color=UP)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)

    return _image(title, draw)


def lines(title: str, series: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> str:
    """One line a name over time, of `(t, value)`, as a Markdown image."""

    def draw(axes: "Axes") -> None:
        for name, points in series:
            axes.plot(_dates(t for t, _ in points), [value for _, value in points], linewidth=1.2, label=name)
        axes.legend(fontsize=7, frameon=False, loc="upper left")

    return _image(title, draw)


def _image(title: str, draw: Callable[["Axes"], None]) -> str:
    """Draw without a display and without global state: a figure of its own on the Agg canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw(axes)
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.tick_params(labelsize=7, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    _short_times(axes)
    body = io.BytesIO()
    figure.savefig(body, format="png", metadata={"Software": None})
    return f"![{title}](data:image/png;base64,{base64.b64encode(body.getvalue()).decode()})"


def _short_times(axes: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if isinstance(locator := axes.xaxis.get_major_locator(), AutoDateLocator):
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))  # type: ignore[no-untyped-call]


def _dates(times: Iterable[int]) -> Any:
    return [datetime.fromtimestamp(t / 1000, UTC) for t in times]


def _cell(value: object) -> str:
    if value is None:
        return "–"
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.replace("|", "\\|").split())
