"""A deterministic baseline trader on the packet's own indicators: follow a trend, fade a stretch, leave when over.

The figures are ours and deliberately plain. It never guesses: without a value it needs, it holds and says which.
"""

from decimal import Decimal
from typing import Any, NamedTuple

from clash_pipeline.decisions.answer import Action, Answer
from clash_pipeline.decisions.engines.engine import Decision
from clash_pipeline.decisions.packet import Packet

TREND_SIZE_PCT = Decimal(20)
STRETCH_SIZE_PCT = Decimal(10)
LEVERAGE = 2
OVERSOLD, OVERBOUGHT = 28.0, 72.0
TREND_FLOOR, TREND_CEILING = 52.0, 68.0
LONG_TARGET, SHORT_TARGET = 66.0, 34.0
LONG_LOST, SHORT_LOST = 45.0, 55.0
FRESH_MS = 180_000


class Reading(NamedTuple):
    """The newest values the rules look at."""

    close: float
    rsi: float
    bb_upper: float
    bb_middle: float
    bb_lower: float
    sma: float
    ema: float
    hist: float
    hist_before: float


class Signal(NamedTuple):
    """What a rule wants, and why."""

    action: Action
    size_pct: Decimal
    confidence: Decimal
    why: str


class RulesEngine:
    """Trend and reversion by RSI, Bollinger, moving averages and MACD."""

    name = "rules"
    slots = 8

    async def decide(self, packet: Packet, until: float | None = None) -> Decision:
        """One answer, the same for the same packet."""
        return Decision(answer_to(packet))


def answer_to(packet: Packet) -> Answer:
    """What the rules say, with the reason."""
    reading = read(packet)
    if isinstance(reading, str):
        return Answer(action="hold", rationale=reading)
    signal = leave(packet.held, reading) if packet.held else enter(reading, can_short=packet.asset.kind == "perp")
    leverage = min(LEVERAGE, packet.asset.max_leverage or 1) if packet.asset.kind == "perp" else 1
    return Answer(
        action=signal.action,
        size_pct=signal.size_pct,
        leverage=leverage,
        confidence=signal.confidence,
        rationale=signal.why,
    )


def enter(reading: Reading, *, can_short: bool) -> Signal:
    """Open in a confirmed trend, or against a stretch outside the bands; else hold."""
    if reading.rsi < OVERSOLD and reading.close < reading.bb_lower:
        why = f"RSI {reading.rsi:.1f} below the lower band: stretched down"
        return Signal("open_long", STRETCH_SIZE_PCT, Decimal("0.55"), why)
    if can_short and reading.rsi > OVERBOUGHT and reading.close > reading.bb_upper:
        why = f"RSI {reading.rsi:.1f} above the upper band: stretched up"
        return Signal("open_short", STRETCH_SIZE_PCT, Decimal("0.55"), why)
    is_rising = reading.hist > max(reading.hist_before, 0) and reading.ema > reading.sma
    if is_rising and reading.close > reading.bb_middle and TREND_FLOOR < reading.rsi < TREND_CEILING:
        return Signal("open_long", TREND_SIZE_PCT, Decimal("0.6"), f"trend up, RSI {reading.rsi:.1f}, MACD widening")
    is_falling = reading.hist < min(reading.hist_before, 0) and reading.ema < reading.sma
    is_weak = 100 - TREND_CEILING < reading.rsi < 100 - TREND_FLOOR
    if can_short and is_falling and reading.close < reading.bb_middle and is_weak:
        return Signal("open_short", TREND_SIZE_PCT, Decimal("0.6"), f"trend down, RSI {reading.rsi:.1f}, MACD widening")
    return Signal("hold", Decimal(0), Decimal("0.5"), f"no signal, RSI {reading.rsi:.1f}")


def leave(held: Any, reading: Reading) -> Signal:
    """Close at the target, or when the trend is lost; else stay."""
    is_long = held["side"] == "long"
    at_target = reading.rsi >= LONG_TARGET if is_long else reading.rsi <= SHORT_TARGET
    if at_target:
        return Signal("close", Decimal(0), Decimal("0.6"), f"target reached, RSI {reading.rsi:.1f}")
    lost_long = OVERSOLD < reading.rsi < LONG_LOST and reading.ema < reading.sma and reading.hist < reading.hist_before
    lost_short = (
        SHORT_LOST < reading.rsi < OVERBOUGHT and reading.ema > reading.sma and reading.hist > reading.hist_before
    )
    if lost_long if is_long else lost_short:
        return Signal("close", Decimal(0), Decimal("0.6"), f"trend lost, RSI {reading.rsi:.1f}")
    return Signal("hold", Decimal(0), Decimal("0.5"), f"{held['side']} stays, RSI {reading.rsi:.1f}")


def read(packet: Packet) -> Reading | str:
    """The newest values, or a sentence that names what is missing or too old."""
    newest: dict[str, list[Any]] = {}
    for channel, columns in _NEEDED.items():
        section = packet.section(channel)
        if section is None or not section.rows:
            return f"no {channel} rows"
        if section.age_ms is None or section.age_ms > FRESH_MS:
            return f"{channel} is {section.age_ms} ms old"
        for column in columns:
            newest[column] = section.column(column)
    values = {column: series[-1] for column, series in newest.items()}
    values["previous macd_hist"] = (newest["macd_hist"][-2:-1] or [None])[0]
    missing = sorted(column for column, value in values.items() if value is None)
    if missing:
        return f"no value yet of {', '.join(missing)}"
    return Reading(
        close=float(values["c"]),
        rsi=values["rsi14"],
        bb_upper=values["bb_upper"],
        bb_middle=values["bb_middle"],
        bb_lower=values["bb_lower"],
        sma=values["sma20"],
        ema=values["ema20"],
        hist=values["macd_hist"],
        hist_before=values["previous macd_hist"],
    )


_NEEDED: dict[str, tuple[str, ...]] = {
    "ohlcv": ("c",),
    "rsi": ("rsi14",),
    "bollinger": ("bb_upper", "bb_middle", "bb_lower"),
    "sma_ema": ("sma20", "ema20"),
    "macd": ("macd_hist",),
}
