"""The room an account has left under each limit, from the same objects and rules that the gates use. Pure."""

from collections.abc import Mapping

from clash_pipeline.prop import risk
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.units import RATE, Rounding, mul_div, usd_text

Room = dict[str, str | int]


def room(account: Account, book: Book, *, opened_last_hour: int) -> Room:
    """What is left for orders that raise exposure, whatever they trade, in USD or counts; `book` is at its marks."""
    policy = account.policy
    peak = max(account.high_water_mark, book.equity)
    left = {
        "gross": mul_div(book.equity, policy.max_gross_pct, 100, Rounding.FLOOR) - book.gross,
        "margin": book.free,
        "drawdown": book.equity - policy.equity_floor(account.start_balance, peak),
    }
    if policy.allows_spot:
        left["cash"] = book.cash
    return {
        **{name: usd_text(max(amount, 0)) for name, amount in left.items()},
        "positions": max(policy.max_open_positions - len(book.positions), 0),
        "orders_this_hour": max(policy.max_orders_per_hour - opened_last_hour, 0),
        "min_order": usd_text(policy.min_order),
    }


def room_for(account: Account, book: Book, quotes: Mapping[str, Quote], symbol: str, *, opened_last_hour: int) -> Room:
    """The same, and what is left for one asset: notional of the position, of the risk budget, of the day's volume.

    A limit that the account does not have is left out. `quotes` holds the symbol and everything that is held.
    """
    policy, held = account.policy, book.positions.get(symbol)
    whole = mul_div(book.equity, policy.max_position_pct, 100, Rounding.FLOOR)
    left = {
        "position": whole - (held.value if held else 0),
        "risk": _risk(account, book, quotes, symbol),
        "volume": _volume(account, quotes.get(symbol)),
    }
    texts = {name: usd_text(max(amount, 0)) for name, amount in left.items() if amount is not None}
    return room(account, book, opened_last_hour=opened_last_hour) | texts


def _risk(account: Account, book: Book, quotes: Mapping[str, Quote], symbol: str) -> int | None:
    """The notional of the asset that the risk left would carry."""
    limit = risk.budget(book.equity, account.policy)
    if limit is None:
        return None
    left = limit - risk.at_risk(book.positions.values(), quotes, account.policy)
    per_unit = risk.volatility(quotes.get(symbol), account.policy)
    return mul_div(max(left, 0), RATE, per_unit, Rounding.FLOOR) if per_unit else None


def _volume(account: Account, quote: Quote | None) -> int | None:
    """The largest order that the day's volume allows; an unknown volume allows none."""
    volume = quote.liquidity.day_volume if quote else None
    share = account.policy.max_volume_share
    return None if share is None else mul_div(volume or 0, share, RATE, Rounding.FLOOR)
