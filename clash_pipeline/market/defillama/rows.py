"""What DefiLlama's answers say of each subject, as rows of the three tables. Pure.

A value is a number or None with its reason. `unread` is special: the endpoint failed, so a value of the same hour that
is already in memory stands. Totals come from `/v2/chains`, never from adding protocols, which count much twice.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, NamedTuple, TypeVar

from clash_pipeline.clock import DAY_MS
from clash_pipeline.market.decoding import LARGEST
from clash_pipeline.market.defillama.client import METRICS, Metric
from clash_pipeline.market.defillama.wire import (
    LARGEST_CHANGE_PCT,
    Chain,
    Overview,
    Point,
    Protocol,
    Stablecoin,
    Stablecoins,
)

T = TypeVar("T")

Scope = Literal["global", "chain", "protocol", "stablecoin"]
Subject = tuple[Scope, str]
Table = Literal["capital_base", "capital_flows", "economic_throughput"]

DEFI: Subject = ("global", "defi")
UNREAD = "unread"
STALE_HISTORY_MS = 2 * DAY_MS
WEEK_MS = 7 * DAY_MS

COLUMNS: dict[Table, tuple[str, ...]] = {
    "capital_base": ("tvl_usd", "mcap_usd", "circulating_usd"),
    "capital_flows": ("change_1h_pct", "change_1d_pct", "change_7d_pct", "flow_1d_usd", "flow_7d_usd"),
    "economic_throughput": (
        "dex_volume_24h_usd",
        "dex_volume_change_1d_pct",
        "fees_24h_usd",
        "fees_change_1d_pct",
        "revenue_24h_usd",
        "revenue_change_1d_pct",
        "open_interest_usd",
        "open_interest_change_1d_pct",
    ),
}
METRIC_COLUMNS: dict[Metric, tuple[str, str]] = {
    "dex_volume": ("dex_volume_24h_usd", "dex_volume_change_1d_pct"),
    "fees": ("fees_24h_usd", "fees_change_1d_pct"),
    "revenue": ("revenue_24h_usd", "revenue_change_1d_pct"),
    "open_interest": ("open_interest_usd", "open_interest_change_1d_pct"),
}
CHAIN_METRICS: tuple[Metric, ...] = ("dex_volume", "fees", "revenue")
"""Those with an overview of a single chain."""


class Value(NamedTuple):
    """A number, or None and why."""

    amount: float | None
    reason: str | None = None


Values = Mapping[str, Value]
Rows = dict[Subject, Values]
Earlier = Mapping[Subject, Mapping[str, float]]
"""What our own rows of an earlier hour say: subject, column, amount."""


class Past(NamedTuple):
    """Our own rows one hour, one day and one week ago."""

    hour: Earlier
    day: Earlier
    week: Earlier


def known(amount: float | None, reason: str = "null") -> Value:
    """A number of the venue, or that it gave none."""
    return Value(None, reason) if amount is None else Value(amount)


def change_pct(now: float | None, before: float | None) -> Value:
    """The change in percent; from zero there is none."""
    if now is None:
        return Value(None, "null")
    if before is None:
        return Value(None, "no_previous")
    if before == 0:
        return Value(None, "previous_zero")
    return bounded((now - before) / before * 100, LARGEST_CHANGE_PCT)


def bounded(amount: float, limit: float = LARGEST) -> Value:
    """A computed number, unless a tiny divisor made it meaningless."""
    return Value(amount) if math.isfinite(amount) and abs(amount) <= limit else Value(None, "out_of_range")


def flow_usd(now: float | None, before: float | None) -> Value:
    """The change in USD."""
    if now is None:
        return Value(None, "null")
    return Value(None, "no_previous") if before is None else Value(now - before)


def largest(items: Iterable[T], amount: Callable[[T], float | None], name: Callable[[T], str], most: int) -> list[T]:
    """The `most` largest, unknown amounts last, ties by name."""

    def order(item: T) -> tuple[bool, float, str]:
        found = amount(item)
        return found is None, -(found or 0.0), name(item)

    return sorted(items, key=order)[:most]


def capital_base(
    chains: Iterable[Chain] | None, protocols: Iterable[Protocol] | None, stablecoins: Stablecoins | None
) -> Rows:
    """Value locked, market value and circulating stablecoins; None is an answer that failed."""
    held = {chain.name: chain.tvl_usd for chain in stablecoins.chains} if stablecoins else None
    rows: Rows = {}
    if chains is not None:
        tvls = {chain.name: chain.tvl_usd for chain in chains}
        rows[DEFI] = _base(_sum(tvls.values()), "not_applicable", _circulating_in_all(stablecoins))
        for name in (*tvls, *(name for name in held or () if name not in tvls)):
            tvl = known(tvls[name]) if name in tvls else Value(None, "not_listed")
            circulating = Value(None, UNREAD) if held is None else known(held.get(name), "not_listed")
            rows["chain", name] = _base(tvl, "not_applicable", circulating)
    for protocol in protocols or ():
        mcap = known(protocol.mcap_usd)
        rows["protocol", protocol.slug] = _base(known(protocol.tvl_usd), mcap, Value(None, "not_applicable"))
    if stablecoins is not None:
        for coin in stablecoins.coins:
            mcap = _product(coin.circulating, coin.price_usd)
            circulating = _product(coin.circulating, coin.unit_usd)
            rows["stablecoin", coin.subject] = _base(Value(None, "not_applicable"), mcap, circulating)
    return rows


def capital_flows(
    base: Rows,
    protocols: Iterable[Protocol] | None,
    stablecoins: Stablecoins | None,
    past: Past,
    histories: Mapping[Subject, Iterable[Point]],
    now_ms: int,
) -> Rows:
    """Changes of a day and a week: the venue's own where it gives them, else against our own rows, else its history."""
    rows: Rows = {}
    for subject in base:
        if subject[0] in ("global", "chain"):
            rows[subject] = _chain_flows(subject, base[subject]["tvl_usd"], past, histories.get(subject), now_ms)
    for protocol in protocols or ():
        rows["protocol", protocol.slug] = _protocol_flows(protocol)
    if stablecoins is not None:
        for coin in stablecoins.coins:
            hour_ago_usd = past.hour.get(("stablecoin", coin.subject), {}).get("circulating_usd")
            rows["stablecoin", coin.subject] = _stablecoin_flows(coin, hour_ago_usd)
    return rows


def economic_throughput(
    overviews: Mapping[Metric, Overview | None],
    chain_overviews: Mapping[tuple[Metric, str], Overview],
    yesterday: Earlier,
    followed: Collection[str],
    most: int,
) -> Rows:
    """Turnover of all, of each chain that a breakdown names, and of `followed` and the largest protocols.

    A chain's own overview, where it was asked for, stands before the sum of the breakdown: it knows yesterday.
    """
    by_metric = {metric: _by_subject(overviews.get(metric), followed, most) for metric in METRICS}
    for (metric, chain), own in chain_overviews.items():
        by_metric[metric]["chain", chain] = _Total(own.total_usd, own.previous_usd, own.change_1d_pct)
    subjects = sorted({subject for found in by_metric.values() for subject in found})
    return {subject: _throughput(subject, by_metric, overviews, yesterday) for subject in subjects}


def needs_history(base: Rows, past: Past, wanted: Collection[Subject], most: int) -> list[Subject]:
    """Whose history to ask for: all of DeFi, wanted chains and the largest, as far as our own rows are too young."""
    chains = [subject for subject in base if subject[0] == "chain" and base[subject]["tvl_usd"].amount is not None]
    top = largest(chains, lambda subject: base[subject]["tvl_usd"].amount, lambda subject: subject[1], most)
    asked = [subject for subject in (DEFI, *top, *(chain for chain in chains if chain in wanted)) if subject in base]
    complete = {subject for subject in past.day if subject in past.week}
    return [subject for subject in dict.fromkeys(asked) if subject not in complete]


def needs_overview(
    overviews: Mapping[Metric, Overview | None], yesterday: Earlier, wanted: Collection[Subject], most: int
) -> list[tuple[Metric, str]]:
    """Which chains' own overviews to ask for: the largest of each metric and wanted ones that we lack a day of."""
    asked: list[tuple[Metric, str]] = []
    for metric in CHAIN_METRICS:
        totals = _by_subject(overviews.get(metric), (), 0)
        shares = [(name, total.amount) for (scope, name), total in totals.items() if scope == "chain"]
        top = [chain for chain, _ in largest(shares, lambda share: share[1], lambda share: share[0], most)]
        named = [chain for chain, _ in shares if ("chain", chain) in wanted]
        column = METRIC_COLUMNS[metric][0]
        young = [chain for chain in (*top, *named) if column not in yesterday.get(("chain", chain), {})]
        asked += [(metric, chain) for chain in dict.fromkeys(young)]
    return asked


def _base(tvl: Value, mcap: Value | str, circulating: Value) -> Values:
    market_value = Value(None, mcap) if isinstance(mcap, str) else mcap
    return {"tvl_usd": tvl, "mcap_usd": market_value, "circulating_usd": circulating}


def _sum(amounts: Iterable[float | None]) -> Value:
    found = [amount for amount in amounts if amount is not None]
    return Value(sum(found)) if found else Value(None, "null")


def _circulating_in_all(stablecoins: Stablecoins | None) -> Value:
    return Value(None, UNREAD) if stablecoins is None else known(stablecoins.total_usd)


def _product(amount: float | None, unit: float | None) -> Value:
    if amount is None:
        return Value(None, "null")
    return Value(None, "no_price") if unit is None else Value(amount * unit)


def _chain_flows(subject: Subject, tvl: Value, past: Past, history: Iterable[Point] | None, now_ms: int) -> Values:
    """Each span from our own rows of the same source; where they are too young, from the venue's daily points."""
    before = {
        span: earlier.get(subject, {}).get("tvl_usd")
        for span, earlier in (("1h", past.hour), ("1d", past.day), ("7d", past.week))
    }
    points = {point.t: point.tvl_usd for point in history or ()}
    last = max(points, default=0)
    is_fresh = last > now_ms - STALE_HISTORY_MS
    values = {"change_1h_pct": change_pct(tvl.amount, before["1h"])}
    for span, span_ms in (("1d", DAY_MS), ("7d", WEEK_MS)):
        now, then = tvl.amount, before[span]
        if then is None and is_fresh and last - span_ms in points:
            now, then = points[last], points[last - span_ms]
        values[f"change_{span}_pct"] = change_pct(now, then)
        values[f"flow_{span}_usd"] = flow_usd(now, then)
    return values


def _protocol_flows(protocol: Protocol) -> Values:
    return {
        "change_1h_pct": known(protocol.change_1h_pct),
        "change_1d_pct": known(protocol.change_1d_pct),
        "change_7d_pct": known(protocol.change_7d_pct),
        "flow_1d_usd": _flow_of_change(protocol.tvl_usd, protocol.change_1d_pct),
        "flow_7d_usd": _flow_of_change(protocol.tvl_usd, protocol.change_7d_pct),
    }


def _flow_of_change(now: float | None, change: float | None) -> Value:
    """The USD behind a percentage: `now - now / (1 + change)`; a loss of everything leaves no way back."""
    if now is None or change is None:
        return Value(None, "null")
    if change <= -100:
        return Value(None, "previous_unknown")
    return bounded(now - now / (1 + change / 100))


def _stablecoin_flows(coin: Stablecoin, hour_ago_usd: float | None) -> Values:
    now_usd = _product(coin.circulating, coin.unit_usd).amount
    return {
        "change_1h_pct": change_pct(now_usd, hour_ago_usd),
        "change_1d_pct": change_pct(coin.circulating, coin.previous_day),
        "change_7d_pct": change_pct(coin.circulating, coin.previous_week),
        "flow_1d_usd": _in_usd(flow_usd(coin.circulating, coin.previous_day), coin.unit_usd),
        "flow_7d_usd": _in_usd(flow_usd(coin.circulating, coin.previous_week), coin.unit_usd),
    }


def _in_usd(flow: Value, unit: float | None) -> Value:
    return flow if flow.amount is None else _product(flow.amount, unit)


class _Total(NamedTuple):
    """One metric of one subject; a chain's share comes without its past."""

    amount: float | None
    previous: float | None
    change_pct: float | None


def _by_subject(overview: Overview | None, followed: Collection[str], most: int) -> dict[Subject, _Total]:
    if overview is None:
        return {}
    found: dict[Subject, _Total] = {DEFI: _Total(overview.total_usd, overview.previous_usd, overview.change_1d_pct)}
    shares: dict[str, float] = {}
    for protocol in overview.protocols:
        for chain, share in protocol.by_chain.items():
            shares[chain] = shares.get(chain, 0.0) + share
    found |= {("chain", chain): _Total(share, None, None) for chain, share in shares.items()}
    top = largest(overview.protocols, lambda one: one.total_usd, lambda one: one.slug, most)
    for one in (*top, *(one for one in overview.protocols if one.slug in followed)):
        found.setdefault(("protocol", one.slug), _Total(one.total_usd, one.previous_usd, one.change_1d_pct))
    return found


def _throughput(
    subject: Subject,
    by_metric: Mapping[Metric, Mapping[Subject, _Total]],
    overviews: Mapping[Metric, Overview | None],
    yesterday: Earlier,
) -> Values:
    values: dict[str, Value] = {}
    for metric, (total_column, change_column) in METRIC_COLUMNS.items():
        total = by_metric[metric].get(subject)
        if total is None:
            absent = Value(None, UNREAD if overviews.get(metric) is None else "not_listed")
            values[total_column] = values[change_column] = absent
            continue
        values[total_column] = known(total.amount)
        before = total.previous if total.previous is not None else yesterday.get(subject, {}).get(total_column)
        given = total.change_pct
        values[change_column] = Value(given) if given is not None else change_pct(total.amount, before)
    return values
