"""A market memory as it was known at a moment, and absurd rows in every table that became known only later."""

import json
import random

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, hour_of
from clash_pipeline.storage.sqlite import Connection, Database

AS_OF = 1_753_100_412_345
"""2025-07-21T12:20:12Z, within a minute."""
END = AS_OF - AS_OF % MINUTE_MS
SYMBOLS = ("BTC", "ETH")
SUBJECTS = (("global", "defi"), ("chain", "Solana"))
ABSURD = 666_666
"""In every value that was known too late."""


def honest(market: Database, seed: int) -> None:
    """What was known at `AS_OF`: minutes with holes and corrections, hours, and something of every other table."""
    chance = random.Random(seed)
    with market.write() as connection:
        for symbol in SYMBOLS:
            for t in range(END - 3 * HOUR_MS, END, MINUTE_MS):
                for known_at in sorted(
                    chance.randint(t + MINUTE_MS, AS_OF) for _ in range(chance.choice((0, 1, 1, 2)))
                ):
                    _candle(connection, symbol, "1m", t, f"{chance.randint(90, 110)}.5", known_at)
                    _line(connection, symbol, t, chance.random(), known_at)
            for t in range(hour_of(AS_OF) - 2 * DAY_MS, hour_of(AS_OF), HOUR_MS):
                _candle(connection, symbol, "1h", t, f"{chance.randint(90, 110)}.5", t + HOUR_MS + 2_000)
            for t in range(END - DAY_MS, END, 20 * MINUTE_MS):
                _sampled(connection, symbol, t, chance.randint(1, 99), t + 500)
        for t in range(hour_of(AS_OF) - DAY_MS, AS_OF, HOUR_MS):
            _macro(connection, t, chance.random(), t + 1_000)
        _market(connection, "m-1", "Up?", AS_OF - DAY_MS)
        _quote(connection, "m-1", END - MINUTE_MS, 1, AS_OF - 10)


def poison(market: Database, seed: int) -> None:
    """Rows and corrections, hundreds of them, each known a moment to a day after `AS_OF`."""
    chance = random.Random(seed)

    def late() -> int:
        return AS_OF + chance.choice((1, 2, MINUTE_MS, DAY_MS))

    with market.write() as connection:
        for symbol in SYMBOLS:
            for t in chance.sample(range(END - 3 * HOUR_MS, END + HOUR_MS, MINUTE_MS), 100):
                _candle(connection, symbol, "1m", t, str(ABSURD), late())
                _line(connection, symbol, t, ABSURD, late())
            for t in chance.sample(range(hour_of(AS_OF) - 2 * DAY_MS, hour_of(AS_OF) + HOUR_MS, HOUR_MS), 20):
                _candle(connection, symbol, "1h", t, str(ABSURD), late())
            for t in chance.sample(range(END - DAY_MS + MINUTE_MS, END, 20 * MINUTE_MS), 40):
                _sampled(connection, symbol, t, ABSURD, late())
            _listed(connection, symbol, late())
        for t in range(hour_of(AS_OF) - DAY_MS, AS_OF + HOUR_MS, HOUR_MS):
            _macro(connection, t, ABSURD, late())
        _market(connection, "m-1", str(ABSURD), late())
        _market(connection, "m-2", str(ABSURD), late())
        for market_id in ("m-1", "m-2"):
            _quote(connection, market_id, END - 2 * MINUTE_MS, ABSURD, late())


def _candle(connection: Connection, symbol: str, interval: str, t: int, price: str, known_at: int) -> None:
    connection.execute(
        """
        INSERT INTO hyperliquid_candles (symbol, interval, t, o, h, l, c, v, n, origin, final, known_at)
        VALUES (:symbol, :interval, :t, :price, :price, :price, :price, :price, 3, 'stream', 0, :known_at)
        ON CONFLICT DO UPDATE SET o = :price, h = :price, l = :price, c = :price, v = :price, known_at = :known_at
        """,
        {"symbol": symbol, "interval": interval, "t": t, "price": price, "known_at": known_at},
    )


def _line(connection: Connection, symbol: str, t: int, value: float, known_at: int) -> None:
    connection.execute(
        """
        INSERT INTO hyperliquid_technical_indicators VALUES (:s, :t, :x, :x, :x, :x, :x, :x, :x, :x, :x, :known_at)
        ON CONFLICT DO UPDATE SET rsi14 = :x, bb_upper = :x, bb_middle = :x, bb_lower = :x, sma20 = :x, ema20 = :x,
          macd = :x, macd_signal = :x, macd_hist = :x, known_at = :known_at
        """,
        {"s": symbol, "t": t, "x": value, "known_at": known_at},
    )


def _sampled(connection: Connection, symbol: str, t: int, value: int, known_at: int) -> None:
    """Funding, both chosen markets, an asset context: tables whose rows are written once."""
    text = str(value)
    row = {"s": symbol, "t": t, "x": value, "text": text, "list": json.dumps([text]), "known_at": known_at}
    for statement in (
        "INSERT INTO hyperliquid_funding_rates VALUES (:s, 'current', 'HlPerp', :t, :x, 1, :text, NULL, :known_at)",
        "INSERT INTO polymarket_immediate_markets VALUES (:s, :t, :text, :text, :list, :list, :t, :x, :known_at)",
        "INSERT INTO polymarket_later_markets VALUES (:s, :t, :text, :text, :list, :list, :t, :x, :known_at)",
        """
        INSERT INTO hyperliquid_asset_ctxs (symbol, t, mark_px, day_ntl_volume, known_at)
        VALUES (:s, :t, :text, :text, :known_at)
        """,
    ):
        connection.execute(statement, row)


def _macro(connection: Connection, t: int, value: float, known_at: int) -> None:
    for scope, subject in SUBJECTS:
        row = {"scope": scope, "subject": subject, "t": t, "x": value, "known_at": known_at}
        connection.execute(
            """
            INSERT INTO defillama_capital_base VALUES (:scope, :subject, :t, :x, :x, :x, NULL, :known_at)
            ON CONFLICT DO UPDATE SET tvl_usd = :x, mcap_usd = :x, circulating_usd = :x, known_at = :known_at
            """,
            row,
        )
        connection.execute(
            """
            INSERT INTO defillama_capital_flows VALUES (:scope, :subject, :t, :x, :x, :x, :x, :x, NULL, :known_at)
            ON CONFLICT DO UPDATE SET change_1h_pct = :x, flow_7d_usd = :x, known_at = :known_at
            """,
            row,
        )
        connection.execute(
            """
            INSERT INTO defillama_economic_throughput
            VALUES (:scope, :subject, :t, :x, :x, :x, :x, :x, :x, :x, :x, NULL, :known_at)
            ON CONFLICT DO UPDATE SET fees_24h_usd = :x, revenue_24h_usd = :x, known_at = :known_at
            """,
            row,
        )


def _market(connection: Connection, market_id: str, question: str, known_at: int) -> None:
    """A market of the event `event`, by its newest wording."""
    connection.execute(
        """
        INSERT INTO polymarket_events (event_id, slug, title, tags, is_active, is_closed, source, first_seen_at,
                                       known_at)
        VALUES ('e', 'event', :question, '[]', 1, 0, 'crawl', :known_at, :known_at)
        ON CONFLICT DO UPDATE SET title = :question, known_at = :known_at
        """,
        {"question": question, "known_at": known_at},
    )
    connection.execute(
        """
        INSERT INTO polymarket_markets (market_id, event_id, slug, question, outcomes, token_ids, is_active, is_closed,
                                        first_seen_at, known_at, prices, sampled_at)
        VALUES (:id, 'e', :id, :question, '["Yes"]', '["1"]', 1, 0, :known_at, :known_at, '["0.5"]', :known_at)
        ON CONFLICT DO UPDATE SET question = :question, known_at = :known_at
        """,
        {"id": market_id, "question": question, "known_at": known_at},
    )


def _quote(connection: Connection, market_id: str, t: int, value: int, known_at: int) -> None:
    prices = json.dumps([str(value)])
    connection.execute(
        """
        INSERT INTO polymarket_quotes (market_id, t, prices, liquidity, is_flagged, book, known_at)
        VALUES (?, ?, ?, ?, 0, 'gamma', ?)
        """,
        (market_id, t, prices, value, known_at),
    )


def _listed(connection: Connection, symbol: str, known_at: int) -> None:
    connection.execute(
        """
        INSERT INTO hyperliquid_assets
        VALUES (:s, :absurd, 'perp', 1, 2, 3, '[]', 0, 1, :absurd, 'USDC', '[]', :absurd, :absurd, '[]', 0, :known_at)
        """,
        {"s": symbol, "absurd": str(ABSURD), "known_at": known_at},
    )
