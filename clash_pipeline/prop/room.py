"""The room an account has left under each limit, from the same objects and rules that the gates use. Pure."""

from collections.abc import Mapping

from clash_pipeline.prop import risk
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.units import RATE, Rounding, mul_div, usd_text

Room = dict[str, str | int | None]


def room(account: Account, book: Book, quotes: Mapping[str, Quote], symbol: str, *, opened_last_hour: int) -> Room:
    """What is left for an order that raises exposure in `symbol`, in USD or counts; None is no limit.

    `book` stands at its marks; `quotes` holds the symbol and everything that is held.
    """
    policy, held = account.policy, book.positions.get(symbol)
    peak = max(account.high_water_mark, book.equity)
    shares = {
        "position": mul_div(book.equity, policy.max_position_pct, 100, Rounding.FLOOR) - (held.value if held else 0),
        "gross": mul_div(book.equity, policy.max_gross_pct, 100, Rounding.FLOOR) - book.gross,
        "margin": book.free,
        "cash": book.cash,
        "drawdown": book.equity - policy.equity_floor(account.start_balance, peak),
    }
    return {
        **{name: usd_text(max(amount, 0)) for name, amount in shares.items()},
        "risk_budget": _risk(account, book, quotes),
        "volume_share": _volume_share(account, quotes.get(symbol)),
        "positions": max(policy.max_open_positions - len(book.positions), 0),
        "orders_this_hour": max(policy.max_orders_per_hour - opened_last_hour, 0),
        "min_order": usd_text(policy.min_order),
    }


def notional_in_budget(account: Account, book: Book, quotes: Mapping[str, Quote], symbol: str) -> int | None:
    """The notional of `symbol` that the risk left would carry, in 1e-8 USD; None where there is no budget."""
    limit = risk.budget(book.equity, account.policy)
    if limit is None:
        return None
    left = limit - risk.at_risk(book.positions.values(), quotes, account.policy)
    return mul_div(max(left, 0), RATE, risk.volatility(quotes.get(symbol), account.policy), Rounding.FLOOR)


def _risk(account: Account, book: Book, quotes: Mapping[str, Quote]) -> str | None:
    limit = risk.budget(book.equity, account.policy)
    if limit is None:
        return None
    return usd_text(max(limit - risk.at_risk(book.positions.values(), quotes, account.policy), 0))


def _volume_share(account: Account, quote: Quote | None) -> str | None:
    """The largest order that the day's volume allows; an unknown volume allows none."""
    volume = quote.liquidity.day_volume if quote else None
    share = account.policy.max_volume_share
    return None if share is None else usd_text(mul_div(volume or 0, share, RATE, Rounding.FLOOR))
