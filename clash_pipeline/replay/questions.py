"""Which crypto questions the replayed Polymarket lists at a moment, and what each asks about the replayed market.

Families (sources 2.3, 2.4): up/down windows of 5 and 15 minutes and 4 hours, listed a day ahead; hourly up/down; daily
strikes at noon of New York, listed a week ahead; monthly price targets. Listing times are round, where the venue's lag
by some seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, day_of, hour_of, minute_of
from clash_pipeline.replay.live import LiveMarket
from clash_pipeline.replay.numerals import key_of

COINS = {"BTC": ("btc", "bitcoin", "Bitcoin"), "ETH": ("eth", "ethereum", "Ethereum"),
         "SOL": ("sol", "solana", "Solana"), "XRP": ("xrp", "xrp", "XRP")}  # fmt: skip
WINDOWS = {"5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "4h": 4 * HOUR_MS}
SERIES_IDS = {"btc-up-or-down-5m": "10684", "btc-up-or-down-15m": "10192"}
STEPS = (-0.06, -0.04, -0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.04, 0.06)
MONTH_STEPS = (-0.2, -0.1, -0.05, 0.05, 0.1, 0.2)
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
          "november", "december")  # fmt: skip


@dataclass(frozen=True)
class Question:
    """One binary market. `rule` says how it is decided: up, above, hit_above, hit_below, or coin (a fair coin)."""

    slug: str
    text: str
    rule: str
    symbol: str
    start_ms: int
    end_ms: int
    listed_ms: int
    strike: float | None = None
    group: str = ""

    @property
    def outcomes(self) -> tuple[str, str]:
        """The names of the two outcomes."""
        return ("Up", "Down") if self.rule == "up" else ("Yes", "No")

    @cached_property
    def market_id(self) -> str:
        """The Gamma id, text of digits."""
        return str(1_000_000 + key_of(1, self.slug) % 90_000_000)

    @cached_property
    def condition_id(self) -> str:
        """0x and 64 hexadecimal digits."""
        return "0x" + "".join(f"{key_of(2, self.slug, part):016x}" for part in range(4))

    @cached_property
    def token_ids(self) -> tuple[str, str]:
        """The CLOB tokens, decimal texts of up to 78 digits, in the order of the outcomes."""
        first, second = (
            int("".join(f"{key_of(3, self.slug, side, part):016x}" for part in range(4)), 16) for side in (0, 1)
        )
        return str(first), str(second)


@dataclass(frozen=True)
class Event:
    """A listed event with its questions."""

    slug: str
    title: str
    family: str
    symbol: str
    questions: tuple[Question, ...]
    series: str | None
    tags: tuple[str, ...]
    recurrence: str = ""
    end_ms: int = field(default=0)

    @property
    def start_ms(self) -> int:
        """Start of the window asked about."""
        return self.questions[0].start_ms

    @property
    def listed_ms(self) -> int:
        """When it was put up."""
        return self.questions[0].listed_ms

    @cached_property
    def event_id(self) -> str:
        """The Gamma id, text of digits."""
        return str(200_000 + key_of(4, self.slug) % 9_000_000)

    @property
    def series_id(self) -> str | None:
        """The id of the series, if it belongs to one."""
        if self.series is None:
            return None
        return SERIES_IDS.get(self.series, str(20_000 + key_of(5, self.series) % 70_000))


class Questions:
    """The events of a market by moment; the hour's candidates are made once and filtered by time."""

    def __init__(self, market: LiveMarket) -> None:
        self._market = market
        self._hour = -1
        self._candidates: list[Event] = []
        self._tokens: dict[str, tuple[Question, int]] = {}

    def listed(self, now_ms: int) -> list[Event]:
        """Everything put up by now that ended less than a day ago or is still to end."""
        return [event for event in self._around(now_ms) if event.listed_ms <= now_ms < event.end_ms + DAY_MS]

    def of_token(self, token_id: str, now_ms: int) -> tuple[Question, int] | None:
        """The question and outcome of a CLOB token."""
        self._around(now_ms)
        if not self._tokens:
            self._tokens = {
                token: (question, place)
                for event in self._candidates
                for question in event.questions
                for place, token in enumerate(question.token_ids)
            }
        return self._tokens.get(token_id)

    def _around(self, now_ms: int) -> list[Event]:
        if hour_of(now_ms) != self._hour:
            self._hour = hour_of(now_ms)
            self._candidates = list(_candidates(self._market, self._hour))
            self._tokens = {}
        return self._candidates


def _candidates(market: LiveMarket, hour: int) -> Iterator[Event]:
    for symbol in COINS:
        if symbol not in market.by_symbol or not market.by_symbol[symbol].has_candles:
            continue
        for name, length in WINDOWS.items():
            first = hour - DAY_MS - length
            for start in range(first - first % length, hour + DAY_MS + 2 * HOUR_MS, length):
                yield _window(symbol, name, length, start)
        for start in range(hour - DAY_MS, hour + DAY_MS + HOUR_MS, HOUR_MS):
            yield _hourly(symbol, start)
        for day in range(day_of(hour) - DAY_MS, day_of(hour) + 8 * DAY_MS, DAY_MS):
            yield from _strikes(market, symbol, day)
        yield from _monthly(market, symbol, hour)
    yield _of_politics(hour)


def _window(symbol: str, name: str, length: int, start: int) -> Event:
    short, _, long = COINS[symbol]
    slug = f"{short}-updown-{name}-{start // 1000}"
    title = f"{long} Up or Down - {_eastern_range(start, start + length)}"
    question = Question(slug, title, "up", symbol, start, start + length, start - DAY_MS)
    tags = ("crypto", "crypto-prices", "recurring", "up-or-down", COINS[symbol][1], "hide-from-new")
    return Event(slug, title, "window", symbol, (question,), f"{short}-up-or-down-{name}", tags, name, start + length)


def _hourly(symbol: str, start: int) -> Event:
    short, word, long = COINS[symbol]
    at = eastern(start)
    hour = f"{at.hour % 12 or 12}{'am' if at.hour < 12 else 'pm'}"
    slug = f"{word}-up-or-down-{MONTHS[at.month - 1]}-{at.day}-{at.year}-{hour}-et"
    title = f"{long} Up or Down - {MONTHS[at.month - 1].title()} {at.day}, {hour.upper()} ET"
    question = Question(slug, title, "up", symbol, start, start + HOUR_MS, start - 2 * DAY_MS)
    tags = ("crypto", "crypto-prices", "recurring", "up-or-down", word)
    return Event(
        slug, title, "hourly", symbol, (question,), f"{short}-up-or-down-hourly", tags, "hourly", start + HOUR_MS
    )


def _strikes(market: LiveMarket, symbol: str, day: int) -> Iterator[Event]:
    """One event a day, decided at noon of New York; its strikes stand around the price of the listing."""
    short, word, long = COINS[symbol]
    end = noon_eastern(day)
    listed = end - 7 * DAY_MS + HOUR_MS
    around = market.price_at(symbol, listed) or _first_price(market, symbol)
    if around is None:
        return
    at = eastern(end)
    date = f"{MONTHS[at.month - 1]}-{at.day}"
    strikes = sorted({_round(around * (1 + step)) for step in STEPS})
    questions = tuple(
        Question(f"{word}-above-{_short_price(strike)}-on-{date}",
                 f"Will the price of {long} be above ${_price(strike)} on {date.replace('-', ' ').title()}?",
                 "above", symbol, listed, end, listed, strike, _price(strike))
        for strike in strikes
    )  # fmt: skip
    title = f"{long} above ___ on {date.replace('-', ' ').title()}?"
    tags = ("crypto", "crypto-prices", "recurring", "multi-strikes", "weekly", word)
    yield Event(
        f"{word}-above-on-{date}",
        title,
        "strikes",
        symbol,
        questions,
        f"{short}-multi-strikes-weekly",
        tags,
        "daily",
        end,
    )


def _monthly(market: LiveMarket, symbol: str, now_ms: int) -> Iterator[Event]:
    """Price targets of this month and the next; touched once is decided."""
    _, word, long = COINS[symbol]
    first = eastern(now_ms).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for month in (first, _next_month(first)):
        start, end = _utc_of_eastern(month), _utc_of_eastern(_next_month(month))
        listed = start - 14 * DAY_MS
        around = market.price_at(symbol, listed) or _first_price(market, symbol)
        if around is None:
            continue
        name, shown = f"{MONTHS[month.month - 1]}-{month.year}", MONTHS[month.month - 1].title()
        targets = [(_round(around * (1 + step)), step > 0) for step in MONTH_STEPS]
        questions = tuple(
            Question(
                f"will-{word}-{'reach' if is_above else 'dip-to'}-{_short_price(strike)}-in-{name}",
                f"Will {long} {'reach' if is_above else 'dip to'} ${_price(strike)} in {shown}?",
                *("hit_above" if is_above else "hit_below", symbol, start, end, listed, strike, _price(strike)),
            )
            for strike, is_above in targets
        )
        tags = ("crypto", "crypto-prices", "monthly", word)
        title = f"What price will {long} hit in {shown}?"
        yield Event(f"what-price-will-{word}-hit-in-{name}", title, "monthly", symbol, questions, None, tags, "", end)


def _of_politics(now_ms: int) -> Event:
    """Something that is no crypto question at all."""
    year = eastern(now_ms).year + 1
    end = int(datetime(year, 11, 3, 17, tzinfo=UTC).timestamp()) * 1000
    listed = end - 700 * DAY_MS
    slug, text = f"will-the-incumbent-party-win-in-{year}", f"Will the incumbent party win in {year}?"
    question = Question(slug, text, "coin", "", listed, end, listed)
    return Event(
        f"election-winner-{year}", f"Election winner {year}", "politics", "", (question,), None, ("politics",), "", end
    )


def eastern(t_ms: int) -> datetime:
    """New York's wall time (without a zone), by the United States' summer-time rule since 2007."""
    utc = datetime.fromtimestamp(t_ms / 1000, UTC).replace(tzinfo=None)
    return utc - timedelta(hours=4 if _is_summer(utc) else 5)


def noon_eastern(day: int) -> int:
    """Noon of New York on a UTC day: 16:00Z in summer, 17:00Z in winter."""
    noon = day + 16 * HOUR_MS
    return noon if eastern(noon).hour == 12 else noon + HOUR_MS


def _is_summer(utc: datetime) -> bool:
    begins = _sunday(utc.year, 3, 2) + timedelta(hours=7)
    ends = _sunday(utc.year, 11, 1) + timedelta(hours=6)
    return begins <= utc < ends


def _sunday(year: int, month: int, which: int) -> datetime:
    first = datetime(year, month, 1)  # noqa: DTZ001 - a calendar date
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (which - 1))


def _utc_of_eastern(at: datetime) -> int:
    for hours in (4, 5):
        t = int((at + timedelta(hours=hours)).replace(tzinfo=UTC).timestamp()) * 1000
        if eastern(t) == at:
            return t
    raise ValueError(f"{at} does not exist in New York")


def _next_month(at: datetime) -> datetime:
    return at.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)


def _first_price(market: LiveMarket, symbol: str) -> float | None:
    return market.price_at(symbol, minute_of(market.truth.start_ms))


def _round(price: float) -> float:
    """A strike people would write: three significant figures."""
    return float(f"{price:.3g}")


def _price(strike: float) -> str:
    return f"{strike:,.0f}" if strike >= 100 else f"{strike:g}"


def _short_price(strike: float) -> str:
    return f"{strike / 1000:g}k" if strike >= 10_000 else f"{strike:g}".replace(".", "pt")


def _eastern_range(start: int, end: int) -> str:
    a, b = eastern(start), eastern(end)
    clock = [f"{at.hour % 12 or 12}:{at.minute:02}{'AM' if at.hour < 12 else 'PM'}" for at in (a, b)]
    return f"{MONTHS[a.month - 1].title()} {a.day}, {clock[0]}-{clock[1]} ET"
