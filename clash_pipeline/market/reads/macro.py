"""DefiLlama's hours of a subject, as known then: a later sample of an hour is not seen before it came."""

from collections.abc import Callable, Mapping

from clash_pipeline.market.reads.windows import Key, Row, grouped, packed, select
from clash_pipeline.storage.sqlite import Connection

CHANNELS: dict[str, tuple[str, ...]] = {
    "capital_base": ("t", "tvl_usd", "mcap_usd", "circulating_usd", "missing_reason"),
    "capital_flows": (
        "t", "change_1h_pct", "change_1d_pct", "change_7d_pct", "flow_1d_usd", "flow_7d_usd", "missing_reason",
    ),
    "economic_throughput": (
        "t", "dex_volume_24h_usd", "dex_volume_change_1d_pct", "fees_24h_usd", "fees_change_1d_pct", "revenue_24h_usd",
        "revenue_change_1d_pct", "open_interest_usd", "open_interest_change_1d_pct", "missing_reason",
    ),
}  # fmt: skip

Read = Callable[[Connection, Mapping[Key, int], int], dict[Key, list[Row]]]


def base(connection: Connection, windows: Mapping[Key, int], as_of: int) -> dict[Key, list[Row]]:
    """TVL and supply by (scope, subject)."""
    return grouped(select(connection, _BASE, {"windows": packed(windows), "as_of": as_of}), 2)


def flows(connection: Connection, windows: Mapping[Key, int], as_of: int) -> dict[Key, list[Row]]:
    """Changes by (scope, subject)."""
    return grouped(select(connection, _FLOWS, {"windows": packed(windows), "as_of": as_of}), 2)


def throughput(connection: Connection, windows: Mapping[Key, int], as_of: int) -> dict[Key, list[Row]]:
    """Volumes, fees and revenue by (scope, subject)."""
    return grouped(select(connection, _THROUGHPUT, {"windows": packed(windows), "as_of": as_of}), 2)


READERS: dict[str, Read] = {"capital_base": base, "capital_flows": flows, "economic_throughput": throughput}

_BASE = """
    WITH w AS MATERIALIZED (
      SELECT value ->> 0 AS scope, value ->> 1 AS subject, value ->> 2 AS since FROM json_each(:windows)
    )
    SELECT d.scope, d.subject, d.t, d.tvl_usd, d.mcap_usd, d.circulating_usd, d.missing_reason
    FROM w CROSS JOIN defillama_capital_base d ON d.scope = w.scope AND d.subject = w.subject
    WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of
    UNION ALL
    SELECT d.scope, d.subject, d.t, d.tvl_usd, d.mcap_usd, d.circulating_usd, d.missing_reason
    FROM w CROSS JOIN defillama_capital_base_versions d ON d.scope = w.scope AND d.subject = w.subject
    WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of AND d.superseded_at > :as_of
    ORDER BY 1, 2, 3
"""
_FLOWS = """
    WITH w AS MATERIALIZED (
      SELECT value ->> 0 AS scope, value ->> 1 AS subject, value ->> 2 AS since FROM json_each(:windows)
    )
    SELECT d.scope, d.subject, d.t, d.change_1h_pct, d.change_1d_pct, d.change_7d_pct, d.flow_1d_usd, d.flow_7d_usd,
           d.missing_reason
    FROM w CROSS JOIN defillama_capital_flows d ON d.scope = w.scope AND d.subject = w.subject
    WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of
    UNION ALL
    SELECT d.scope, d.subject, d.t, d.change_1h_pct, d.change_1d_pct, d.change_7d_pct, d.flow_1d_usd, d.flow_7d_usd,
           d.missing_reason
    FROM w CROSS JOIN defillama_capital_flows_versions d ON d.scope = w.scope AND d.subject = w.subject
    WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of AND d.superseded_at > :as_of
    ORDER BY 1, 2, 3
"""
_THROUGHPUT = """
    WITH w AS MATERIALIZED (
      SELECT value ->> 0 AS scope, value ->> 1 AS subject, value ->> 2 AS since FROM json_each(:windows)
    )
    SELECT d.scope, d.subject, d.t, d.dex_volume_24h_usd, d.dex_volume_change_1d_pct, d.fees_24h_usd,
           d.fees_change_1d_pct, d.revenue_24h_usd, d.revenue_change_1d_pct, d.open_interest_usd,
           d.open_interest_change_1d_pct, d.missing_reason
    FROM w CROSS JOIN defillama_economic_throughput d ON d.scope = w.scope AND d.subject = w.subject
    WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of
    UNION ALL
    SELECT d.scope, d.subject, d.t, d.dex_volume_24h_usd, d.dex_volume_change_1d_pct, d.fees_24h_usd,
           d.fees_change_1d_pct, d.revenue_24h_usd, d.revenue_change_1d_pct, d.open_interest_usd,
           d.open_interest_change_1d_pct, d.missing_reason
    FROM w CROSS JOIN defillama_economic_throughput_versions d ON d.scope = w.scope AND d.subject = w.subject
    WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of AND d.superseded_at > :as_of
    ORDER BY 1, 2, 3
"""
