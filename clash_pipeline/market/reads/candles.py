"""Candles of market memory: closed minutes and ended hours as known then, as they are or gathered into longer bars.

A window comes out of SQLite as one text a column, which costs a third of fetching its rows; prices stay the venue's
text throughout.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from itertools import repeat
from typing import Any, NamedTuple

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.market.reads.windows import Key, Rows, packed, select
from clash_pipeline.storage.sqlite import Connection

COLUMNS = ("t", "o", "h", "l", "c", "v")
SPAN = {"1m": MINUTE_MS, "1h": HOUR_MS}
DIGITS = 60
"""Volumes are summed with so many digits, more than the venue's sizes can fill."""


class Candles(NamedTuple):
    """Candles of one symbol and interval, oldest first; `traded` has a 1 or a 0 for each. A range `t` has no gap."""

    t: Sequence[int]
    o: Sequence[str]
    h: Sequence[str]
    l: Sequence[str]  # noqa: E741  the venue's letter
    c: Sequence[str]
    v: Sequence[str]
    traded: str

    def cut(self, start: int, end: int) -> "Candles":
        """The candles from one place to another."""
        t, o, h, l, c, v, traded = self  # noqa: E741
        return Candles(
            t[start:end], o[start:end], h[start:end], l[start:end], c[start:end], v[start:end], traded[start:end]
        )

    def pick(self, places: Sequence[int]) -> "Candles":
        """The candles at some places."""
        o, h, l, c, v = ([column[place] for place in places] for column in self.texts)  # noqa: E741
        return Candles([self.t[p] for p in places], o, h, l, c, v, "".join(self.traded[p] for p in places))

    @property
    def texts(self) -> tuple[Sequence[str], ...]:
        """Prices and volume."""
        return self.o, self.h, self.l, self.c, self.v


NONE = Candles((), (), (), (), (), (), "")


def interval_of(step: int) -> str:
    """The stored interval that bars of a step are made of."""
    return "1h" if step and step % HOUR_MS == 0 else "1m"


def read(connection: Connection, windows: Mapping[Key, int], as_of: int) -> dict[Key, Candles]:
    """The candles of windows by (symbol, interval); an hour counts once it was known after its end."""
    parameters = {"windows": packed({(*key, SPAN[key[1]]): since for key, since in windows.items()}), "as_of": as_of}
    keys = list(windows)
    found = {
        keys[place]: _unpacked(text, SPAN[keys[place][1]]) for place, text in select(connection, _CURRENT, parameters)
    }
    replaced: dict[int, list[tuple[Any, ...]]] = {}
    for place, *row in select(connection, _REPLACED, parameters):
        replaced.setdefault(place, []).append(tuple(row))
    for place, rows in replaced.items():
        found[keys[place]] = _merged(found[keys[place]], rows)
    return found


def rows_of(candles: Candles, since: int, step: int, points: int) -> Rows:
    """Rows from `since` on, the newest `points`: candles as they are, or whole bars of a longer step."""
    span = HOUR_MS if interval_of(step) == "1h" else MINUTE_MS
    inside = candles.cut(bisect_left(candles.t, since), len(candles.t))
    if step <= span:
        last = inside.cut(max(len(inside.t) - points, 0), len(inside.t))
        return tuple(zip(last.t, *last.texts, strict=True))
    return tuple(bars(inside, step, span)[-points:])


def bars(candles: Candles, step: int, span: int) -> list[tuple[Any, ...]]:
    """Bars of `step` ms out of candles of `span` ms, by the rule of the hour (01): idle minutes do not vote.

    A bar of which a candle is missing, or which is not over, is left out: its high, low and volume are unknown.
    """
    size = step // span
    whole = _whole(candles, step, span, size)
    o, h, l, c = _votes(whole, size)  # noqa: E741
    highs, lows = _extremes(max, h, size), _extremes(min, l, size)
    return list(zip(whole.t[::size], o[::size], highs, lows, c[size - 1 :: size], _sums(whole.v, size), strict=True))


def _unpacked(text: str, span: int) -> Candles:
    """Columns out of `count|first|last|t ...|o ...|h ...|l ...|c ...|v ...|traded`."""
    count, first, last, *columns = text.split("|")
    if count == "0":
        return NONE
    times, o, h, l, c, v, traded = columns  # noqa: E741
    start, end = int(first), int(last)
    has_gap = end - start != (int(count) - 1) * span
    t: Sequence[int] = [int(each) for each in times.split(" ")] if has_gap else range(start, end + 1, span)
    return Candles(t, o.split(" "), h.split(" "), l.split(" "), c.split(" "), v.split(" "), traded)


def _merged(candles: Candles, rows: Iterable[tuple[Any, ...]]) -> Candles:
    """Candles with what was true of others before they were corrected."""
    t, o, h, l, c, v, traded = zip(*sorted([*zip(*candles, strict=True), *rows]), strict=True)  # noqa: E741
    return Candles(t, o, h, l, c, v, "".join(traded))


def _whole(candles: Candles, step: int, span: int, size: int) -> Candles:
    """Only candles of complete bars, so that each `size` of them in turn are one."""
    if isinstance(candles.t, range):
        first = -candles.t.start % step // span if candles.t else 0
        return candles.cut(first, first + max(len(candles.t) - first, 0) // size * size)
    held = Counter(t - t % step for t in candles.t)
    return candles.pick([place for place, t in enumerate(candles.t) if held[t - t % step] == size])


def _votes(candles: Candles, size: int) -> Sequence[Sequence[str]]:
    """Prices in which an idle candle repeats the nearest of its bar that traded, so that it changes nothing."""
    prices, traded = (candles.o, candles.h, candles.l, candles.c), candles.traded
    if "0" not in traded:
        return prices
    of, idle = list(range(len(traded))), [place for place, mark in enumerate(traded) if mark == "0"]
    for place in idle:
        if place % size and traded[of[place - 1]] == "1":
            of[place] = of[place - 1]
    for place in reversed(idle):
        if (place + 1) % size and traded[of[place]] == "0" and traded[of[place + 1]] == "1":
            of[place] = of[place + 1]
    return [[column[place] for place in of] for column in prices]


def _extremes(choose: Callable[..., str], texts: Sequence[str], size: int) -> list[str]:
    """The highest or lowest of each `size` decimals, exactly, without a number where texts compare as numbers do.

    They do where their points stand at one place.
    """
    if _line_up(texts):
        return list(map(choose, *(texts[place::size] for place in range(size))))
    bars_of_one = (texts[place : place + size] for place in range(0, len(texts), size))
    return [choose(of_one) if _line_up(of_one) else choose(of_one, key=Decimal) for of_one in bars_of_one]


def _line_up(texts: Sequence[str]) -> bool:
    points = set(map(str.find, texts, repeat(".")))
    return len(points) <= 1 and -1 not in points


def _sums(texts: Sequence[str], size: int) -> list[str]:
    numbers = list(map(Decimal, texts))
    with localcontext(prec=DIGITS):
        return [_shortest(sum(numbers[place : place + size], Decimal(0))) for place in range(0, len(numbers), size)]


def _shortest(volume: Decimal) -> str:
    """Without idle zeros; a whole number keeps one, as the venue writes it."""
    text = f"{volume:f}"
    if "." not in text:
        return f"{text}.0"
    short = text.rstrip("0")
    return f"{short}0" if short.endswith(".") else short


# The columns of one range of the primary key, which SQLite walks in its order.
_CURRENT = """
    WITH w AS MATERIALIZED (
      SELECT key AS place, value ->> 0 AS symbol, value ->> 1 AS interval, value ->> 2 AS span, value ->> 3 AS since
      FROM json_each(:windows)
    )
    SELECT place, (
      SELECT concat_ws('|', count(*), coalesce(min(t), ''), coalesce(max(t), ''), group_concat(t, ' '),
                       group_concat(o, ' '), group_concat(h, ' '), group_concat(l, ' '), group_concat(c, ' '),
                       group_concat(v, ' '), group_concat(n > 0 OR CAST(v AS REAL) > 0, ''))
      FROM hyperliquid_candles
      WHERE symbol = w.symbol AND interval = w.interval AND t >= w.since AND t <= :as_of - w.span
        AND known_at <= :as_of AND (w.interval = '1m' OR known_at >= t + w.span)
    ) FROM w
"""
_REPLACED = """
    WITH w AS MATERIALIZED (
      SELECT key AS place, value ->> 0 AS symbol, value ->> 1 AS interval, value ->> 2 AS span, value ->> 3 AS since
      FROM json_each(:windows)
    )
    SELECT w.place, c.t, c.o, c.h, c.l, c.c, c.v, CAST(c.n > 0 OR CAST(c.v AS REAL) > 0 AS TEXT)
    FROM w CROSS JOIN hyperliquid_candle_versions c ON c.symbol = w.symbol AND c.interval = w.interval
    WHERE c.t >= w.since AND c.t <= :as_of - w.span AND c.known_at <= :as_of AND c.superseded_at > :as_of
      AND (c.interval = '1m' OR c.known_at >= c.t + w.span)
"""
