"""DefiLlama of the replay: recorded shapes, values that drift with venue time, recorded values where whole.

Values change once an hour, as the real ones do; daily series are stamped at midnight and their newest point is live.
"""

from typing import Any, NamedTuple

from clash_pipeline.clock import DAY_MS, HOUR_MS, day_of, hour_of
from clash_pipeline.replay.numerals import key_of, unit
from clash_pipeline.replay.recorded_answers import RecordedAnswers

FIRST_DAY_MS = 1_704_067_200_000
"""Series begin on 2024-01-01."""
PERIODS_DAYS = ((41.0, 0.12), (9.0, 0.05), (1.0, 0.02), (0.25, 0.004))


class Chain(NamedTuple):
    """A chain: display name, gecko id, token, chain id, TVL and daily DEX volume in billions of USD."""

    name: str
    gecko_id: str | None
    token: str | None
    chain_id: int | None
    tvl: float
    volume: float


class Protocol(NamedTuple):
    """A protocol; the chains are names of CHAINS, amounts in billions and millions of USD."""

    name: str
    slug: str
    symbol: str
    category: str
    chains: tuple[str, ...]
    tvl: float | None
    volume: float = 0.0
    fees: float = 0.0
    open_interest: float = 0.0


CHAINS = (
    Chain("Ethereum", "ethereum", "ETH", 1, 78.0, 2.9), Chain("Solana", "solana", "SOL", None, 9.6, 3.4),
    Chain("Bitcoin", "bitcoin", "BTC", None, 7.1, 0.0), Chain("BSC", "binancecoin", "BNB", 56, 6.9, 3.1),
    Chain("Tron", "tron", "TRX", None, 5.6, 0.1), Chain("Base", None, None, 8453, 4.2, 1.1),
    Chain("Arbitrum", "arbitrum", "ARB", 42161, 2.9, 0.8), Chain("Sui", "sui", "SUI", None, 2.1, 0.4),
    Chain("Hyperliquid L1", "hyperliquid", "HYPE", 999, 1.9, 0.3),
    Chain("Avalanche", "avalanche-2", "AVAX", 43114, 1.6, 0.3),
    Chain("Polygon", "polygon-ecosystem-token", "POL", 137, 1.1, 0.2), Chain("Aptos", "aptos", "APT", None, 0.9, 0.1),
    Chain("OP Mainnet", "optimism", "OP", 10, 0.5, 0.1), Chain("Berachain", "berachain-bera", "BERA", 80094, 0.4, 0.03),
    Chain("Sonic", "sonic-3", "S", 146, 0.4, 0.05), Chain("Cardano", "cardano", "ADA", None, 0.4, 0.01),
    Chain("Harmony", "harmony", "ONE", 1666600000, 0.004, 0.0),
)  # fmt: skip
PROTOCOLS = (
    Protocol("Aave V3", "aave-v3", "AAVE", "Lending", ("Ethereum", "Arbitrum", "Base", "Avalanche"), 29.0, fees=2.4),
    Protocol("Lido", "lido", "LDO", "Liquid Staking", ("Ethereum", "Solana"), 33.0, fees=2.9),
    Protocol("EigenCloud", "eigencloud", "EIGEN", "Restaking", ("Ethereum",), 17.0, fees=0.2),
    Protocol("Binance CEX", "binance-cex", "-", "CEX", ("Bitcoin", "Ethereum", "Tron", "BSC"), 160.0),
    Protocol("WBTC", "wbtc", "WBTC", "Bridge", ("Bitcoin",), 15.0),
    Protocol("Ethena USDe", "ethena-usde", "ENA", "Basis Trading", ("Ethereum",), 7.5, fees=1.4),
    Protocol("Pendle", "pendle", "PENDLE", "Yield", ("Ethereum", "Arbitrum"), 6.1, fees=0.3),
    Protocol("Morpho V1", "morpho-v1", "MORPHO", "Lending", ("Ethereum", "Base"), 5.4, fees=0.5),
    Protocol("Spark", "spark", "SPK", "Lending", ("Ethereum",), 4.3, fees=0.6),
    Protocol("Uniswap V3", "uniswap-v3", "UNI", "Dexs", ("Ethereum", "Base", "Arbitrum", "Polygon"), 3.1, 1_900, 2.6),
    Protocol("PancakeSwap AMM V3", "pancakeswap-amm-v3", "CAKE", "Dexs", ("BSC", "Base"), 0.9, 2_400, 1.9),
    Protocol("Raydium AMM", "raydium-amm", "RAY", "Dexs", ("Solana",), 2.0, 900, 1.6),
    Protocol("Orca DEX", "orca-dex", "ORCA", "Dexs", ("Solana",), 0.3, 700, 0.5),
    Protocol("Meteora DLMM", "meteora-dlmm", "-", "Dexs", ("Solana",), 0.6, 600, 1.1),
    Protocol("Aerodrome Slipstream", "aerodrome-slipstream", "AERO", "Dexs", ("Base",), 0.4, 500, 0.6),
    Protocol("Curve DEX", "curve-dex", "CRV", "Dexs", ("Ethereum", "Arbitrum"), 2.1, 250, 0.1),
    Protocol("Jito Liquid Staking", "jito-liquid-staking", "JTO", "Liquid Staking", ("Solana",), 2.9, fees=0.9),
    Protocol("Kamino Lend", "kamino-lend", "KMNO", "Lending", ("Solana",), 2.4, fees=0.3),
    Protocol(
        "Marinade Liquid Staking", "marinade-liquid-staking", "MNDE", "Liquid Staking", ("Solana",), 1.8, fees=0.2
    ),
    Protocol("JustLend", "justlend", "JST", "Lending", ("Tron",), 3.6, fees=0.1),
    Protocol("Suilend", "suilend", "SEND", "Lending", ("Sui",), 0.7, fees=0.05),
    Protocol("Hyperliquid Perps", "hyperliquid-perps", "HYPE", "Derivatives", ("Hyperliquid L1",), 0.5, 0, 3.4, 14.0),
    Protocol("GMX V2 Perps", "gmx-v2-perps", "GMX", "Derivatives", ("Arbitrum", "Avalanche"), 0.4, 0, 0.2, 0.2),
    Protocol(
        "Jupiter Perpetual Exchange", "jupiter-perpetual-exchange", "JUP", "Derivatives", ("Solana",), 1.6, 0, 1.0, 0.9
    ),
    Protocol("Drift Trade", "drift-trade", "DRIFT", "Derivatives", ("Solana",), 1.0, 0, 0.1, 0.4),
    Protocol("Marginfi Lending", "marginfi-lending", "-", "Lending", ("Solana",), 0.2),
    Protocol("Etherfuse", "etherfuse", "-", "RWA", ("Solana",), 0.00003),
    Protocol("Unpriced Farm", "unpriced-farm", "-", "Farm", ("Harmony",), None),
)
STABLECOINS = (
    ("1", "Tether", "USDT", "peggedUSD", "fiat-backed", 161.0),
    ("2", "USD Coin", "USDC", "peggedUSD", "fiat-backed", 64.5),
    ("146", "Ethena USDe", "USDe", "peggedUSD", "crypto-backed", 6.4),
    ("5", "Dai", "DAI", "peggedUSD", "crypto-backed", 4.6),
    ("209", "Sky Dollar", "USDS", "peggedUSD", "crypto-backed", 4.7),
    ("119", "First Digital USD", "FDUSD", "peggedUSD", "fiat-backed", 1.2),
    ("120", "PayPal USD", "PYUSD", "peggedUSD", "fiat-backed", 0.9),
    ("50", "Euro Coin", "EURC", "peggedEUR", "fiat-backed", 0.17),
)
ADAPTER_KEYS = {"OP Mainnet": "optimism", "Hyperliquid L1": "hyperliquid", "Avalanche": "avax"}
OVERVIEWS = ("dexs", "fees", "open-interest")
FEE_SHARES = {"dailyFees": 1.0, "dailyRevenue": 0.28, "dailyHoldersRevenue": 0.11}


class DefiLlama:
    """Macro answers at a moment."""

    def __init__(self, seed: int, recorded: RecordedAnswers) -> None:
        self._seed = seed
        self._recorded = recorded

    def chains(self, now_ms: int) -> list[dict[str, Any]]:
        """`/v2/chains`."""
        return [
            {
                "gecko_id": chain.gecko_id, "tvl": self._value(chain.tvl * 1e9, "chain", chain.name, at=now_ms),
                "tokenSymbol": chain.token, "cmcId": None if chain.token is None else str(len(chain.name) * 137),
                "name": chain.name, "chainId": chain.chain_id,
            }
            for chain in CHAINS
        ]  # fmt: skip

    def protocols(self, now_ms: int) -> list[dict[str, Any]]:
        """`/protocols`: the recorded ones with their values, or the made-up list with moving ones."""
        if self._recorded.protocols_lite:
            return [
                self._recorded_entry(place, lite, now_ms) for place, lite in enumerate(self._recorded.protocols_lite)
            ]
        entries = []
        for place, protocol in enumerate(PROTOCOLS):
            tvl = None if protocol.tvl is None else self._tvl(protocol, now_ms)
            entries.append(self._entry(str(100 + place), protocol.name, protocol.slug, protocol.symbol,
                                       protocol.category, list(protocol.chains), tvl, now_ms))  # fmt: skip
        return entries

    def protocol(self, slug: str, now_ms: int) -> dict[str, Any] | None:
        """`/protocol/{slug}`: the daily series, ending in a live point that is not at midnight."""
        if slug in self._recorded.protocols:
            return self._recorded.protocols[slug]
        found = next((protocol for protocol in PROTOCOLS if protocol.slug == slug), None)
        if found is None or found.tvl is None:
            return None
        days = [{"date": t // 1000, "totalLiquidityUSD": self._tvl(found, t)} for t in _days(now_ms)]
        live = {"date": now_ms // 1000, "totalLiquidityUSD": self._tvl(found, now_ms)}
        shares = self._by_chain(found.slug, list(found.chains), self._tvl(found, now_ms))
        return {"name": found.name, "tvl": [*days, live], "currentChainTvls": shares}

    def tvl(self, slug: str, now_ms: int) -> float | None:
        """`/tvl/{slug}`: a bare number."""
        found = next((protocol for protocol in PROTOCOLS if protocol.slug == slug), None)
        return None if found is None or found.tvl is None else self._tvl(found, now_ms)

    def chain_history(self, name: str | None, now_ms: int) -> list[dict[str, Any]] | None:
        """`/v2/historicalChainTvl[/{chain}]`: one point a day."""
        chains = [chain for chain in CHAINS if name is None or chain.name.lower() == name.lower()]
        if not chains:
            return None
        return [
            {"date": t // 1000, "tvl": sum(self._value(chain.tvl * 1e9, "chain", chain.name, at=t) for chain in chains)}
            for t in _days(now_ms)
        ]

    def overview(self, kind: str, chain: str | None, query: dict[str, str], now_ms: int) -> dict[str, Any] | None:
        """`/overview/{dexs|fees|open-interest}[/{chain}]`; None for a chain nobody knows."""
        known = next((known.name for known in CHAINS if chain and chain.lower() in _names(known.name)), None)
        if chain is not None and known is None:
            return None
        share = FEE_SHARES.get(query.get("dataType", "dailyFees"), 1.0) if kind == "fees" else 1.0
        chosen = [p for p in PROTOCOLS if _amount(p, kind) and (known is None or known in p.chains)]
        totals = self._totals(
            [(p, _amount(p, kind) * share / (len(p.chains) if known else 1)) for p in chosen], kind, now_ms
        )
        entries = [
            self._totals([(p, _amount(p, kind) * share)], kind, now_ms) | self._dimension_entry(p, place, kind, now_ms)
            for place, p in enumerate(chosen)
        ]
        chart = [] if query.get("excludeTotalDataChart") == "true" else [
            [t // 1000, round(self._daily(chosen, kind, t) * share)] for t in _days(now_ms)
        ]  # fmt: skip
        breakdown = [] if query.get("excludeTotalDataChartBreakdown") == "true" else [
            [t // 1000, {p.name: round(self._daily([p], kind, t) * share) for p in chosen}] for t in _days(now_ms)[-30:]
        ]  # fmt: skip
        return {
            "totalDataChart": chart, "totalDataChartBreakdown": breakdown, "breakdown24h": None, "breakdown30d": None,
            "chain": known, "allChains": sorted({name for p in chosen for name in p.chains}), **totals,
            "protocols": entries,
        }  # fmt: skip

    def stablecoins(self, now_ms: int) -> dict[str, Any]:
        """`/stablecoins`: the recorded answer, or eight coins and the chains they live on."""
        if self._recorded.stablecoins is not None:
            return self._recorded.stablecoins
        return {
            "peggedAssets": [self._stablecoin(coin, now_ms) for coin in STABLECOINS],
            "chains": self.stablecoin_chains(now_ms),
        }

    def stablecoin_chains(self, now_ms: int) -> list[dict[str, Any]]:
        """`/stablecoinchains`: USD in circulation by peg type on each chain."""
        shown = []
        for chain in CHAINS:
            circulating = {"peggedUSD": self._value(chain.tvl * 0.9e9, "stable", chain.name, at=now_ms)}
            if chain.tvl > 1:
                circulating["peggedEUR"] = self._value(chain.tvl * 1e6, "stable-eur", chain.name, at=now_ms)
            shown.append({"gecko_id": chain.gecko_id, "totalCirculatingUSD": circulating, "tokenSymbol": chain.token,
                          "name": chain.name})  # fmt: skip
        return shown

    def stablecoin_chart(self, name: str, now_ms: int) -> list[dict[str, Any]] | None:
        """`/stablecoincharts/{all|chain}`: one point a day, the date as text."""
        chains = [chain for chain in CHAINS if name == "all" or chain.name.lower() == name.lower()]
        if not chains:
            return None
        points = []
        for t in _days(now_ms):
            total = round(sum(self._value(chain.tvl * 0.9e9, "stable", chain.name, at=t) for chain in chains), 2)
            pegged = {"peggedUSD": total}
            points.append({"date": str(t // 1000), "totalCirculating": pegged, "totalCirculatingUSD": pegged})
        return points

    def _value(self, base: float, *name: str, at: int) -> float:
        """A base amount times smooth noise over the days, fixed within the hour."""
        days = hour_of(at) / DAY_MS
        drift = sum(
            size * _eased(key_of(self._seed, *name, index), days / period)
            for index, (period, size) in enumerate(PERIODS_DAYS)
        )
        return round(base * (1 + drift), 2)

    def _tvl(self, protocol: Protocol, at: int) -> float:
        return self._value((protocol.tvl or 0.0) * 1e9, "protocol", protocol.slug, at=at)

    def _entry(
        self, number: str, name: str, slug: str, symbol: str, category: str | None, chains: list[str],
        tvl: float | None, now_ms: int,
    ) -> dict[str, Any]:  # fmt: skip
        present = self._value(1e9, "protocol", slug, at=now_ms)

        def change(hours: int) -> float | None:
            if tvl is None:
                return None
            return (present / self._value(1e9, "protocol", slug, at=now_ms - hours * HOUR_MS) - 1) * 100

        shares = self._by_chain(slug, chains, tvl) if tvl is not None else {}
        extra = {"borrowed": round(tvl * 0.4, 2), "staking": 0} if tvl and category == "Lending" else {}
        return {
            "id": number, "name": name, "address": None, "symbol": symbol, "url": f"https://{slug}.example",
            "description": f"{name}, replayed.", "chain": "Multi-Chain" if len(chains) > 1 else "".join(chains[:1]),
            "logo": f"https://icons.llama.fi/{slug}.jpg", "audits": "0", "audit_note": None, "gecko_id": None,
            "cmcId": None, "category": category, "chains": chains, "module": f"{slug}/index.js", "twitter": slug,
            "forkedFrom": [], "oracles": [], "listedAt": FIRST_DAY_MS // 1000, "methodology": "Counts what is locked.",
            "slug": slug, "tvl": tvl, "chainTvls": shares | extra, "change_1h": change(1), "change_1d": change(24),
            "change_7d": change(168), "tokenBreakdowns": {}, "mcap": None,
        }  # fmt: skip

    def _recorded_entry(self, place: int, lite: dict[str, Any], now_ms: int) -> dict[str, Any]:
        slug = lite["name"].lower().replace(" ", "-").replace(".", "-")
        entry = self._entry(str(place + 1), lite["name"], slug, "-", lite.get("category"), lite.get("chains") or [],
                            lite.get("tvl"), now_ms)  # fmt: skip
        return entry | {"url": lite.get("url", "")}

    def _by_chain(self, slug: str, chains: list[str], tvl: float) -> dict[str, float]:
        weights = [0.2 + unit(key_of(self._seed, slug, chain)) for chain in chains]
        return {chain: round(tvl * weight / sum(weights), 2) for chain, weight in zip(chains, weights, strict=True)}

    def _daily(self, protocols: list[Protocol], kind: str, day: int) -> float:
        return sum(self._value(_amount(p, kind) * 1e6, kind, p.slug, at=day) for p in protocols)

    def _totals(self, amounts: list[tuple[Protocol, float]], kind: str, now_ms: int) -> dict[str, Any]:
        def days(first: int, count: int) -> int:
            spans = (now_ms - (first + place) * DAY_MS for place in range(count))
            return round(sum(self._value(size * 1e6, kind, p.slug, at=at) for at in spans for p, size in amounts))

        day, before, week, week_before = days(0, 1), days(1, 1), days(0, 7), days(7, 7)
        month, month_before = days(0, 30), days(30, 30)
        week_ago, month_ago = days(7, 1), days(30, 1)
        return {
            "total24h": day, "total48hto24h": before, "total7d": week, "total14dto7d": week_before,
            "total60dto30d": month_before, "total30d": month, "total1y": month * 12,
            "change_1d": _percent(day, before), "change_7d": _percent(day, week_ago),
            "change_1m": _percent(day, month_ago), "change_7dover7d": _percent(week, week_before),
            "change_30dover30d": _percent(month, month_before), "total7DaysAgo": week_ago,
            "total30DaysAgo": month_ago, "totalAllTime": month * 20,
        }  # fmt: skip

    def _dimension_entry(self, protocol: Protocol, place: int, kind: str, now_ms: int) -> dict[str, Any]:
        total = round(self._value(_amount(protocol, kind) * 1e6, kind, protocol.slug, at=now_ms))
        return {
            "average1y": total * 1.0, "breakdown24h": {
                adapter_key(chain): {protocol.name: amount}
                for chain, amount in self._by_chain(protocol.slug, list(protocol.chains), total).items()
            },
            "breakdown30d": None, "defillamaId": str(100 + place), "name": protocol.name, "displayName": protocol.name,
            "module": protocol.slug, "category": protocol.category,
            "logo": f"https://icons.llamao.fi/icons/protocols/{protocol.slug}.png", "chains": list(protocol.chains),
            "protocolType": "protocol", "methodologyURL": "", "methodology": {}, "latestFetchIsOk": True,
            "parentProtocol": None, "slug": protocol.slug, "linkedProtocols": [protocol.name], "id": str(100 + place),
        }  # fmt: skip

    def _stablecoin(self, coin: tuple[str, str, str, str, str, float], now_ms: int) -> dict[str, Any]:
        number, name, symbol, peg, mechanism, billions = coin

        def circulating(days: int) -> dict[str, float]:
            return {peg: self._value(billions * 1e9, "stablecoin", symbol, at=now_ms - days * DAY_MS)}

        return {
            "id": number, "name": name, "symbol": symbol, "gecko_id": name.lower().replace(" ", "-"), "pegType": peg,
            "pegMechanism": mechanism, "circulating": circulating(0), "circulatingPrevDay": circulating(1),
            "circulatingPrevWeek": circulating(7), "circulatingPrevMonth": circulating(30), "chainCirculating": {},
            "chains": [chain.name for chain in CHAINS[:6]],
            "price": round(1.0 + (unit(key_of(self._seed, symbol, hour_of(now_ms))) - 0.5) * 0.002, 6),
        }  # fmt: skip


def adapter_key(chain: str) -> str:
    """How breakdowns name a chain (sources 3.3)."""
    return ADAPTER_KEYS.get(chain, chain.lower())


def _names(chain: str) -> tuple[str, str]:
    return chain.lower(), adapter_key(chain)


def _amount(protocol: Protocol, kind: str) -> float:
    """The base amount of a day in millions of USD; open interest is kept in billions."""
    return {"dexs": protocol.volume, "fees": protocol.fees, "open-interest": protocol.open_interest * 1_000}[kind]


def _days(now_ms: int) -> list[int]:
    return list(range(max(FIRST_DAY_MS, day_of(now_ms) - 540 * DAY_MS), day_of(now_ms) + 1, DAY_MS))


def _percent(now: int, then: int) -> float | None:
    return round((now / then - 1) * 100, 2) if then else None


def _eased(key: int, at: float) -> float:
    left = int(at // 1)
    part = at - left
    eased = part * part * (3 - 2 * part)
    a, b = unit(key + left) * 2 - 1, unit(key + left + 1) * 2 - 1
    return a + (b - a) * eased
