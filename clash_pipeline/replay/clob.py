"""CLOB of the replayed Polymarket: books, prices and their history."""

from typing import Any

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.replay import odds
from clash_pipeline.replay.live import LiveMarket
from clash_pipeline.replay.numerals import key_of
from clash_pipeline.replay.questions import Question, Questions
from clash_pipeline.replay.recorded_answers import RecordedAnswers

DEPTH = 8
HISTORY_INTERVALS = {"1h": HOUR_MS, "6h": 6 * HOUR_MS, "1d": DAY_MS, "1w": 7 * DAY_MS, "1m": 30 * DAY_MS,
                     "max": 365 * DAY_MS}  # fmt: skip
"""Here `1m` is a month."""
RESOLVED_FIDELITY_MIN = 720
"""Of a resolved market, points finer than twelve hours are gone (sources 2.5)."""
MOST_POINTS = 5_000


class Clob:
    """Prices of tokens at a moment; None for a token without a book."""

    def __init__(self, market: LiveMarket, questions: Questions, recorded: RecordedAnswers) -> None:
        self._market = market
        self._questions = questions
        self._recorded = recorded

    def book(self, token_id: str, now_ms: int) -> dict[str, Any] | None:
        """The book: bids ascending, asks descending, the best of each last."""
        if token_id in self._recorded.books:
            return self._recorded.books[token_id]
        found = self._priced(token_id, now_ms)
        if found is None:
            return None
        question, bid, ask, tick = found
        bids = [_level(bid - depth * tick, token_id, depth) for depth in range(DEPTH) if bid - depth * tick > 0]
        asks = [_level(ask + depth * tick, token_id, depth) for depth in range(DEPTH) if ask + depth * tick < 10_000]
        return {
            "market": question.condition_id,
            "asset_id": token_id,
            "timestamp": str(now_ms),
            "hash": "".join(f"{key_of(10, token_id, now_ms, part):010x}"[:10] for part in range(4)),
            "bids": bids[::-1],
            "asks": asks[::-1],
            "min_order_size": "5",
            "tick_size": odds.decimal(tick),
            "neg_risk": False,
            "last_trade_price": odds.decimal(bid),
        }

    def midpoint(self, token_id: str, now_ms: int) -> dict[str, str] | None:
        """The middle of the book."""
        found = self._priced(token_id, now_ms)
        return {"mid": odds.decimal((found[1] + found[2]) // 2)} if found else None

    def price(self, token_id: str, side: str, now_ms: int) -> dict[str, str] | None:
        """The best bid for BUY, the best ask for SELL."""
        found = self._priced(token_id, now_ms)
        return {"price": odds.decimal(found[1] if side == "BUY" else found[2])} if found else None

    def last_trade_price(self, token_id: str, now_ms: int) -> dict[str, str] | None:
        """The last price and its side."""
        found = self._priced(token_id, now_ms)
        return {"price": odds.decimal(found[1]), "side": "BUY"} if found else None

    def history(self, token_id: str, from_ms: int, to_ms: int, fidelity_min: int, now_ms: int) -> dict[str, Any]:
        """Middles every `fidelity_min` minutes; nothing for an unknown token or a resolved market asked too finely."""
        found = self._questions.of_token(token_id, now_ms)
        if found is None or (now_ms >= found[0].end_ms and fidelity_min < RESOLVED_FIDELITY_MIN):
            return {"history": []}
        question, place = found
        step = max(fidelity_min, 1) * MINUTE_MS
        first = max(from_ms, question.listed_ms)
        times = range(first - first % step + step, min(to_ms, now_ms, question.end_ms) + 1, step)[-MOST_POINTS:]
        return {"history": [{"t": t // 1000, "p": self._middle(question, place, t) / 10_000} for t in times]}

    def market(self, condition_id: str, now_ms: int) -> dict[str, Any] | None:
        """`/markets/{condition_id}`: the tokens with their prices and, once closed, the winner."""
        if condition_id in self._recorded.clob_markets:
            return self._recorded.clob_markets[condition_id]
        for event in self._questions.listed(now_ms):
            for question in event.questions:
                if question.condition_id == condition_id:
                    return self._market_body(question, now_ms)
        return None

    def _market_body(self, question: Question, now_ms: int) -> dict[str, Any]:
        quote = odds.quote(self._market, question, now_ms)
        prices = (quote.mid, 10_000 - quote.mid)
        return {
            "condition_id": question.condition_id,
            "question_id": "0x" + question.condition_id[:1:-1],
            "question": question.text,
            "market_slug": question.slug,
            "active": True,
            "closed": quote.is_decided,
            "accepting_orders": not quote.is_decided,
            "minimum_order_size": 5,
            "minimum_tick_size": quote.tick / 10_000,
            "neg_risk": False,
            "tokens": [
                {"token_id": token, "outcome": outcome, "price": price / 10_000,
                 "winner": quote.is_decided and price == 10_000}
                for token, outcome, price in zip(question.token_ids, question.outcomes, prices, strict=True)
            ],
        }  # fmt: skip

    def _priced(self, token_id: str, now_ms: int) -> tuple[Question, int, int, int] | None:
        """The question, bid, ask and tick of a token; None once it is decided, or unknown."""
        found = self._questions.of_token(token_id, now_ms)
        if found is None or not found[0].listed_ms <= now_ms < found[0].end_ms:
            return None
        question, place = found
        quote = odds.quote(self._market, question, now_ms)
        if place == 0:
            return question, quote.bid, quote.ask, quote.tick
        return question, 10_000 - quote.ask, 10_000 - quote.bid, quote.tick

    def _middle(self, question: Question, place: int, t: int) -> int:
        middle = odds.quote(self._market, question, t).mid
        return middle if place == 0 else 10_000 - middle


def _level(price: int, token_id: str, depth: int) -> dict[str, str]:
    size = 20 + key_of(13, token_id, depth) % 2_000
    return {"price": odds.decimal(price), "size": str(size)}
