"""Prices of the replayed prediction markets, consistent with the replayed market: a driftless walk to the end."""

from dataclasses import dataclass
from math import erf, log, sqrt

import numpy as np

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, minute_of
from clash_pipeline.replay.live import LiveMarket
from clash_pipeline.replay.numerals import key_of, unit
from clash_pipeline.replay.questions import Question

VOLATILITY_MINUTES = 240
LEAST_SIGMA = 2e-4


@dataclass(frozen=True)
class Quote:
    """Bid, middle and ask of the first outcome in ten-thousandths; a decided market has 0 or 10,000 in all three."""

    bid: int
    mid: int
    ask: int
    tick: int
    is_decided: bool

    def prices(self) -> tuple[str, str]:
        """The two outcomes' prices, which sum to one."""
        return decimal(self.mid), decimal(10_000 - self.mid)


def quote(market: LiveMarket, question: Question, now_ms: int) -> Quote:
    """The market's price at a moment, on its tick; near 0 and 1 the tick is ten times finer."""
    if now_ms >= question.end_ms:
        price = 10_000 if _is_first(market, question) else 0
        return Quote(price, price, price, 100, True)
    chance = _chance(market, question, now_ms)
    tick = 10 if not 0.04 <= chance <= 0.96 else 100
    bid = min(max(int(chance * 10_000) // tick * tick, tick), 10_000 - 2 * tick)
    return Quote(bid, bid + tick // 2, bid + tick, tick, False)


def decimal(ten_thousandths: int) -> str:
    """Shortest decimal text: 5050 gives 0.505, 10000 gives 1."""
    whole, rest = divmod(ten_thousandths, 10_000)
    return f"{whole}.{rest:04}".rstrip("0").rstrip(".")


def turnover(question: Question, now_ms: int) -> tuple[float, float]:
    """Volume so far and liquidity, in USD: short windows little, days and months much; growing with time."""
    hours = max(question.end_ms - question.listed_ms, HOUR_MS) / HOUR_MS
    share = min(max((now_ms - question.listed_ms) / (question.end_ms - question.listed_ms), 0.0), 1.0)
    size = unit(key_of(6, question.slug)) + 0.2
    return round(size * hours * 4_000 * share**2, 6), round(size * (5_000 + hours * 300), 4)


def _chance(market: LiveMarket, question: Question, now_ms: int) -> float:
    price = market.price(question.symbol, now_ms) if question.symbol else None
    if price is None or question.rule == "coin":
        return 0.3 + 0.4 * unit(key_of(7, question.slug, now_ms // HOUR_MS))
    strike = question.strike
    if question.rule == "up":
        strike = market.price_at(question.symbol, question.start_ms) if now_ms >= question.start_ms else None
        if strike is None:
            return 0.495 + 0.02 * unit(key_of(8, question.slug, now_ms // MINUTE_MS))
    assert strike is not None, question.slug
    sigma = _sigma(market, question.symbol, now_ms) * sqrt(max((question.end_ms - now_ms) / MINUTE_MS, 0.25))
    if question.rule.startswith("hit"):
        if _touched(market, question, now_ms):
            return 0.999
        return min(2 * (1 - _phi(abs(log(strike / price)) / sigma)), 0.995)
    return _phi(log(price / strike) / sigma)


def _sigma(market: LiveMarket, symbol: str, now_ms: int) -> float:
    """Standard deviation of a minute's move over the last four hours."""
    end = minute_of(now_ms)
    closes = market.truth.minutes(symbol, end - VOLATILITY_MINUTES * MINUTE_MS, end).c
    return max(float(np.diff(np.log(closes)).std()), LEAST_SIGMA) if len(closes) > 2 else 8e-4


def _is_first(market: LiveMarket, question: Question) -> bool:
    """Whether the first outcome won; "Up" also wins a draw (sources 2.4)."""
    if question.rule.startswith("hit"):
        return _touched(market, question, question.end_ms)
    end = market.price_at(question.symbol, question.end_ms) if question.symbol else None
    if end is None:
        return unit(key_of(9, question.slug)) < 0.5
    if question.rule == "up":
        return end >= (market.price_at(question.symbol, question.start_ms) or end)
    return end > (question.strike or 0)


def _touched(market: LiveMarket, question: Question, now_ms: int) -> bool:
    minutes = market.truth.minutes(question.symbol, question.start_ms, minute_of(min(now_ms, question.end_ms)))
    strike = question.strike or 0.0
    if not len(minutes):
        return False
    return bool(minutes.h.max() >= strike) if question.rule == "hit_above" else bool(minutes.l.min() <= strike)


def _phi(x: float) -> float:
    return 0.5 * (1 + erf(x / sqrt(2)))
