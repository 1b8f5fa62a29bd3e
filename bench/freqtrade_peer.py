"""The peer of the submission bench: freqtrade's own classes, in its own environment, writing fills as its dry run does.

Told a number of seconds on standard input, it makes fills for that long and says how many. A fill is what
`execute_entry` and `execute_trade_exit` persist: the trade with its order, committed; the order's fill and the trade
brought up to date, committed; and what the dry-run wallet reads after each. Nothing else of the bot runs.
"""

import logging
import sys
import time
from datetime import UTC, datetime
from uuid import uuid4


def main() -> None:
    """Serve until standard input ends; the argument is the path of the database."""
    from freqtrade.persistence import init_db

    logging.disable(logging.CRITICAL)
    init_db(f"sqlite:///{sys.argv[1]}")
    print("ready", flush=True)
    for line in sys.stdin:
        until, fills = time.perf_counter() + float(line), 0
        while time.perf_counter() < until:
            leave(enter())
            fills += 2
        print(fills, flush=True)


def enter():
    """One filled entry of a new trade."""
    from freqtrade.enums import TradingMode
    from freqtrade.persistence import Trade

    trade = Trade(
        pair="BTC/USDC:USDC", base_currency="BTC", stake_currency="USDC", stake_amount=10_000.0, amount=0,
        is_open=True, amount_requested=100.0, fee_open=0.00045, fee_close=0.00045, open_rate=100.0,
        open_rate_requested=100.0, open_date=datetime.now(UTC), exchange="hyperliquid", strategy="bench",
        enter_tag="long", timeframe=1, leverage=1.0, is_short=False, trading_mode=TradingMode.FUTURES,
        funding_fees=0.0, amount_precision=0.001, price_precision=0.001, precision_mode=4, precision_mode_price=4,
        contract_size=1.0,
    )  # fmt: skip
    trade.adjust_stop_loss(trade.open_rate, -0.1, initial=True)
    return filled(trade, "buy")


def leave(trade):
    """One filled exit that closes the trade."""
    trade.exit_reason = "signal"
    return filled(trade, "sell")


def filled(trade, side: str):
    """The order as it is made, then as it is filled."""
    from freqtrade.persistence import Order, Trade

    now = datetime.now(UTC)
    order = {
        "id": f"dry_run_{side}_{trade.pair}_{uuid4()}", "symbol": trade.pair, "price": 100.0, "average": 100.0,
        "amount": 100.0, "cost": 10_000.0, "type": "market", "side": side, "filled": 100.0, "remaining": 0.0,
        "datetime": now.isoformat(), "timestamp": int(now.timestamp() * 1000), "status": "closed",
        "fee": {"currency": "USDC", "cost": 4.5, "rate": 0.00045}, "info": {},
    }  # fmt: skip
    made = Order.parse_from_ccxt_object(order, trade.pair, side, 100.0, 100.0)
    trade.orders.append(made)
    if side == "buy":
        trade.recalc_trade_from_orders()
    Trade.session.add(trade)
    Trade.commit()
    wallet()
    trade.update_order(order)
    trade.update_trade(made)
    Trade.commit()
    wallet()
    return trade


def wallet() -> float:
    """The balance as the dry-run wallet finds it."""
    from freqtrade.persistence import Trade

    trades = Trade.get_trades_proxy(is_open=True)
    profit = Trade.get_total_closed_profit() + sum(trade.realized_profit for trade in trades)
    return 100_000 + profit - sum(trade.stake_amount for trade in trades)


if __name__ == "__main__":
    main()
