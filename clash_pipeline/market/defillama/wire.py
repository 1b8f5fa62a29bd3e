"""DefiLlama's answers into values, without I/O (sources 3.2, 3.3).

Amounts are USD floats: derived statistics, never money.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from clash_pipeline.clock import DAY_MS, SECOND_MS
from clash_pipeline.market.decoding import (
    LATEST_MS,
    Decoded,
    Malformed,
    Refused,
    each,
    listing,
    mapping,
    number,
    sample,
    words,
)
from clash_pipeline.market.defillama.chains import chain_name
from clash_pipeline.market.http import VenueMalformed
from clash_pipeline.market.text import key

SOURCE = "defillama"
NAME_BYTES = 128
SYMBOL_BYTES = 32
LARGEST_CHANGE_PCT = 1e12

_NOT_IN_SLUGS = re.compile(r"[^a-z0-9._~+%()!$&*,;=:@-]+")


class Chain(NamedTuple):
    """A chain and its value locked."""

    name: str
    tvl_usd: float | None


class Protocol(NamedTuple):
    """A protocol with its value locked, market value and changes in percent."""

    slug: str
    name: str
    category: str | None
    tvl_usd: float | None
    mcap_usd: float | None
    change_1h_pct: float | None
    change_1d_pct: float | None
    change_7d_pct: float | None


class Stablecoin(NamedTuple):
    """A stablecoin's supply now, a day and a week ago, in units of its peg worth `unit_usd` each.

    `subject` is its symbol; of several coins with one symbol, all but the oldest add their id.
    """

    coin_id: str
    subject: str
    circulating: float | None
    previous_day: float | None
    previous_week: float | None
    price_usd: float | None
    unit_usd: float | None

    @property
    def circulating_usd(self) -> float | None:
        """The supply in USD, where both are known."""
        return None if self.circulating is None or self.unit_usd is None else self.circulating * self.unit_usd


class Stablecoins(NamedTuple):
    """Stablecoins, what circulates on each chain, every peg counted, and in all, in USD."""

    coins: tuple[Stablecoin, ...]
    chains: tuple[Chain, ...]
    total_usd: float | None


class Turnover(NamedTuple):
    """One protocol's total of the last 24 h, with its share by chain where the answer carries it."""

    slug: str
    total_usd: float | None
    previous_usd: float | None
    change_1d_pct: float | None
    by_chain: Mapping[str, float]


class Overview(NamedTuple):
    """One metric over all protocols."""

    total_usd: float | None
    previous_usd: float | None
    change_1d_pct: float | None
    protocols: tuple[Turnover, ...]


class Point(NamedTuple):
    """TVL at one moment."""

    t: int
    tvl_usd: float


def chains(raw: object) -> Decoded[Chain]:
    """`/v2/chains`."""
    return _list(raw, _chain, "chain_form")


def protocols(raw: object) -> Decoded[Protocol]:
    """`/protocols`."""
    return _list(raw, _protocol, "protocol_form")


def stablecoins(raw: object) -> tuple[Stablecoins, tuple[Refused, ...]]:
    """`/stablecoins?includePrices=true`."""
    found = _object(raw)
    coins = _list(found.get("peggedAssets"), _stablecoin, "stablecoin_form")
    held = _list(found.get("chains") or [], _chain_supply, "stablecoin_chain_form")
    supplies = [supply for coin in coins.items if (supply := coin.circulating_usd) is not None]
    total = sum(supplies) if supplies else None
    return Stablecoins(_named(coins.items), held.items, total), (*coins.refused, *held.refused)


def overview(raw: object, *, may_be_negative: bool = False) -> tuple[Overview, tuple[Refused, ...]]:
    """`/overview/{dexs,fees,open-interest}`; only revenue may be negative."""
    found = _object(raw)
    low = None if may_be_negative else 0.0
    try:
        displayed = [name for name in listing(found.get("allChains"), "overview_chains") if isinstance(name, str)]
        listed = found.get("protocols")
        decoded = each([] if listed is None else listed, partial(_turnover, low, displayed), "overview_protocols")
        totals = _totals(low, found)
    except Malformed as problem:
        raise VenueMalformed(SOURCE, f"not an overview ({problem}): {sample(raw)[:80]}") from None
    return Overview(*totals, decoded.items), decoded.refused


def history(raw: object) -> Decoded[Point]:
    """`/v2/historicalChainTvl[/{chain}]`: the points at 00:00 UTC, oldest first; a live last point is left out."""
    decoded = _list(raw, _point, "history_form")
    daily = {point.t: point for point in decoded.items if point.t % DAY_MS == 0}
    return Decoded(tuple(daily[t] for t in sorted(daily)), decoded.refused)


def slug_of(name: str) -> str | None:
    """The slug of an entry that gives only its name, made as the venue makes it."""
    return key(_NOT_IN_SLUGS.sub("", name.casefold().replace(" ", "-")))


def _list(raw: object, decode: Any, reason: str) -> Decoded[Any]:
    try:
        return each(raw, decode, reason)
    except Malformed as problem:
        raise VenueMalformed(SOURCE, f"not a list ({problem}): {sample(raw)[:80]}") from None


def _object(raw: object) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise VenueMalformed(SOURCE, f"not an object: {sample(raw)[:80]}")
    return raw


def _amount(value: object, reason: str, low: float | None = 0.0) -> float | None:
    """A USD amount; below `low` is its own reason, because that is what a broken adapter looks like."""
    amount = number(value, reason)
    if amount is not None and low is not None and amount < low:
        raise Malformed(f"negative_{reason}")
    return amount


def _change(raw: Mapping[str, Any], name: str) -> float | None:
    return number(raw.get(name), name, low=-LARGEST_CHANGE_PCT, high=LARGEST_CHANGE_PCT)


def _name(raw: Mapping[str, Any], reason: str) -> str:
    return words(raw.get("name"), reason, max_bytes=NAME_BYTES)


def _chain(raw: Mapping[str, Any]) -> Chain:
    return Chain(chain_name(_name(raw, "chain_name")), _amount(raw.get("tvl"), "tvl"))


def _protocol(raw: Mapping[str, Any]) -> Protocol:
    name = _name(raw, "protocol_name")
    category = raw.get("category")
    return Protocol(
        slug=_slug(raw, name),
        name=name,
        category=words(category, "protocol_category", max_bytes=NAME_BYTES) if category else None,
        tvl_usd=_amount(raw.get("tvl"), "tvl"),
        mcap_usd=_amount(raw.get("mcap"), "mcap"),
        change_1h_pct=_change(raw, "change_1h"),
        change_1d_pct=_change(raw, "change_1d"),
        change_7d_pct=_change(raw, "change_7d"),
    )


def _slug(raw: Mapping[str, Any], name: str) -> str:
    given = raw.get("slug")
    slug = key(given) if isinstance(given, str) and given else slug_of(name)
    if slug is None:
        raise Malformed("protocol_slug")
    return slug


def _stablecoin(raw: Mapping[str, Any]) -> Stablecoin:
    peg = raw.get("pegType")
    price = _amount(raw.get("price"), "stablecoin_price")
    return Stablecoin(
        coin_id=words(_digits(raw.get("id")), "stablecoin_id", max_bytes=20, at_most=20),
        subject=words(raw.get("symbol"), "stablecoin_symbol", max_bytes=SYMBOL_BYTES),
        circulating=_pegged(raw.get("circulating"), peg),
        previous_day=_pegged(raw.get("circulatingPrevDay"), peg),
        previous_week=_pegged(raw.get("circulatingPrevWeek"), peg),
        price_usd=price,
        unit_usd=1.0 if peg == "peggedUSD" else price,
    )


def _named(coins: tuple[Stablecoin, ...]) -> tuple[Stablecoin, ...]:
    taken: set[str] = set()
    named: list[Stablecoin] = []
    for coin in sorted(coins, key=lambda coin: (len(coin.coin_id), coin.coin_id)):
        is_taken = coin.subject in taken
        taken.add(coin.subject)
        named.append(coin._replace(subject=f"{coin.subject}#{coin.coin_id}") if is_taken else coin)
    return tuple(named)


def _digits(value: object) -> object:
    return str(value) if isinstance(value, int) and 0 <= value < 10**18 else value


def _pegged(value: object, peg: object) -> float | None:
    """The amount in the coin's own peg: `{"peggedUSD": 12.5}`."""
    if value is None:
        return None
    return _amount(mapping(value, "stablecoin_supply").get(str(peg)), "supply")


def _chain_supply(raw: Mapping[str, Any]) -> Chain:
    """Every peg type of a chain, already in USD; the dollar ones alone are not the total."""
    pegs = mapping(raw.get("totalCirculatingUSD"), "stablecoin_chain_supply")
    amounts = [amount for value in pegs.values() if (amount := _amount(value, "supply")) is not None]
    return Chain(chain_name(_name(raw, "chain_name")), sum(amounts) if amounts else None)


def _totals(low: float | None, raw: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    return (
        _amount(raw.get("total24h"), "total", low),
        _amount(raw.get("total48hto24h"), "previous_total", low),
        _change(raw, "change_1d"),
    )


def _turnover(low: float | None, displayed: list[str], raw: Mapping[str, Any]) -> Turnover:
    name = _name(raw, "protocol_name")
    totals = _totals(low, raw)
    by_chain: dict[str, float] = {}
    for written, shares in mapping(raw.get("breakdown24h") or {}, "breakdown").items():
        chain = chain_name(words(written, "chain_name", max_bytes=NAME_BYTES), displayed)
        amounts = [_amount(share, "share", low) or 0.0 for share in mapping(shares, "breakdown").values()]
        by_chain[chain] = by_chain.get(chain, 0.0) + sum(amounts)
    return Turnover(_slug(raw, name), *totals, by_chain)


def _point(raw: Mapping[str, Any]) -> Point:
    seconds = number(raw.get("date"), "history_date", low=0, high=LATEST_MS / SECOND_MS)
    tvl = _amount(raw.get("tvl"), "tvl")
    if seconds is None or tvl is None:
        raise Malformed("history_point")
    return Point(round(seconds) * SECOND_MS, tvl)
