"""The three macro tables in market memory: idempotent writes by hour, reads as of a time."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from clash_pipeline.clock import DAY_MS, HOUR_MS
from clash_pipeline.market.defillama.rows import COLUMNS, UNREAD, WEEK_MS, Earlier, Past, Rows, Subject, Table, Value
from clash_pipeline.storage.sqlite import Connection, Row

EVER = 2**62
TABLES: tuple[Table, ...] = ("capital_base", "capital_flows", "economic_throughput")

UPSERT: dict[Table, str] = {
    "capital_base": """
INSERT INTO defillama_capital_base (scope, subject, t, tvl_usd, mcap_usd, circulating_usd, missing_reason, known_at)
VALUES (:scope, :subject, :t, :tvl_usd, :mcap_usd, :circulating_usd, :missing_reason, :known_at)
ON CONFLICT (scope, subject, t) DO UPDATE SET
  tvl_usd = excluded.tvl_usd, mcap_usd = excluded.mcap_usd, circulating_usd = excluded.circulating_usd,
  missing_reason = excluded.missing_reason, known_at = excluded.known_at
WHERE (tvl_usd, mcap_usd, circulating_usd, missing_reason) IS NOT
  (excluded.tvl_usd, excluded.mcap_usd, excluded.circulating_usd, excluded.missing_reason)
""",
    "capital_flows": """
INSERT INTO defillama_capital_flows (scope, subject, t, change_1h_pct, change_1d_pct, change_7d_pct, flow_1d_usd,
                                     flow_7d_usd, missing_reason, known_at)
VALUES (:scope, :subject, :t, :change_1h_pct, :change_1d_pct, :change_7d_pct, :flow_1d_usd, :flow_7d_usd,
        :missing_reason, :known_at)
ON CONFLICT (scope, subject, t) DO UPDATE SET
  change_1h_pct = excluded.change_1h_pct, change_1d_pct = excluded.change_1d_pct,
  change_7d_pct = excluded.change_7d_pct, flow_1d_usd = excluded.flow_1d_usd, flow_7d_usd = excluded.flow_7d_usd,
  missing_reason = excluded.missing_reason, known_at = excluded.known_at
WHERE (change_1h_pct, change_1d_pct, change_7d_pct, flow_1d_usd, flow_7d_usd, missing_reason) IS NOT
  (excluded.change_1h_pct, excluded.change_1d_pct, excluded.change_7d_pct, excluded.flow_1d_usd,
   excluded.flow_7d_usd, excluded.missing_reason)
""",
    "economic_throughput": """
INSERT INTO defillama_economic_throughput (
  scope, subject, t, dex_volume_24h_usd, dex_volume_change_1d_pct, fees_24h_usd, fees_change_1d_pct, revenue_24h_usd,
  revenue_change_1d_pct, open_interest_usd, open_interest_change_1d_pct, missing_reason, known_at)
VALUES (:scope, :subject, :t, :dex_volume_24h_usd, :dex_volume_change_1d_pct, :fees_24h_usd, :fees_change_1d_pct,
        :revenue_24h_usd, :revenue_change_1d_pct, :open_interest_usd, :open_interest_change_1d_pct, :missing_reason,
        :known_at)
ON CONFLICT (scope, subject, t) DO UPDATE SET
  dex_volume_24h_usd = excluded.dex_volume_24h_usd, dex_volume_change_1d_pct = excluded.dex_volume_change_1d_pct,
  fees_24h_usd = excluded.fees_24h_usd, fees_change_1d_pct = excluded.fees_change_1d_pct,
  revenue_24h_usd = excluded.revenue_24h_usd, revenue_change_1d_pct = excluded.revenue_change_1d_pct,
  open_interest_usd = excluded.open_interest_usd,
  open_interest_change_1d_pct = excluded.open_interest_change_1d_pct,
  missing_reason = excluded.missing_reason, known_at = excluded.known_at
WHERE (dex_volume_24h_usd, dex_volume_change_1d_pct, fees_24h_usd, fees_change_1d_pct, revenue_24h_usd,
       revenue_change_1d_pct, open_interest_usd, open_interest_change_1d_pct, missing_reason) IS NOT
  (excluded.dex_volume_24h_usd, excluded.dex_volume_change_1d_pct, excluded.fees_24h_usd, excluded.fees_change_1d_pct,
   excluded.revenue_24h_usd, excluded.revenue_change_1d_pct, excluded.open_interest_usd,
   excluded.open_interest_change_1d_pct, excluded.missing_reason)
""",
}
AT_HOUR: dict[Table, str] = {
    "capital_base": "SELECT * FROM defillama_capital_base WHERE t = ?",
    "capital_flows": "SELECT * FROM defillama_capital_flows WHERE t = ?",
    "economic_throughput": "SELECT * FROM defillama_economic_throughput WHERE t = ?",
}
# The row as it stood at :as_of: itself, or the version that a later sample of the hour replaced.
READ: dict[Table, str] = {
    "capital_base": """
SELECT scope, subject, t, tvl_usd, mcap_usd, circulating_usd, missing_reason, known_at FROM defillama_capital_base
WHERE scope = :scope AND subject = :subject AND t >= :from_t AND t < :to_t AND known_at <= :as_of
UNION ALL
SELECT scope, subject, t, tvl_usd, mcap_usd, circulating_usd, missing_reason, known_at
FROM defillama_capital_base_versions
WHERE scope = :scope AND subject = :subject AND t >= :from_t AND t < :to_t AND known_at <= :as_of
  AND superseded_at > :as_of
ORDER BY t
""",
    "capital_flows": """
SELECT scope, subject, t, change_1h_pct, change_1d_pct, change_7d_pct, flow_1d_usd, flow_7d_usd, missing_reason,
       known_at
FROM defillama_capital_flows
WHERE scope = :scope AND subject = :subject AND t >= :from_t AND t < :to_t AND known_at <= :as_of
UNION ALL
SELECT scope, subject, t, change_1h_pct, change_1d_pct, change_7d_pct, flow_1d_usd, flow_7d_usd, missing_reason,
       known_at
FROM defillama_capital_flows_versions
WHERE scope = :scope AND subject = :subject AND t >= :from_t AND t < :to_t AND known_at <= :as_of
  AND superseded_at > :as_of
ORDER BY t
""",
    "economic_throughput": """
SELECT scope, subject, t, dex_volume_24h_usd, dex_volume_change_1d_pct, fees_24h_usd, fees_change_1d_pct,
       revenue_24h_usd, revenue_change_1d_pct, open_interest_usd, open_interest_change_1d_pct, missing_reason, known_at
FROM defillama_economic_throughput
WHERE scope = :scope AND subject = :subject AND t >= :from_t AND t < :to_t AND known_at <= :as_of
UNION ALL
SELECT scope, subject, t, dex_volume_24h_usd, dex_volume_change_1d_pct, fees_24h_usd, fees_change_1d_pct,
       revenue_24h_usd, revenue_change_1d_pct, open_interest_usd, open_interest_change_1d_pct, missing_reason, known_at
FROM defillama_economic_throughput_versions
WHERE scope = :scope AND subject = :subject AND t >= :from_t AND t < :to_t AND known_at <= :as_of
  AND superseded_at > :as_of
ORDER BY t
""",
}


class Stored(NamedTuple):
    """One hour of a subject: amounts by column, and why the missing ones are missing."""

    scope: str
    subject: str
    t: int
    values: dict[str, float | None]
    missing: dict[str, str]
    known_at: int


class Known(NamedTuple):
    """A subject that has rows, and the newest hour of them."""

    scope: str
    subject: str
    t: int


def write(connection: Connection, table: Table, rows: Rows, *, t: int, known_at: int) -> int:
    """Write the rows of an hour; returns how many are new or changed. What was not read this time stays as it was."""
    standing = at_hour(connection, table, t)
    written = 0
    for (scope, subject), values in rows.items():
        merged = _merged(values, standing.get((scope, subject)))
        row = {column: merged[column].amount for column in COLUMNS[table]}
        reason = _joined({column: merged[column] for column in COLUMNS[table]})
        written += connection.execute(
            UPSERT[table],
            row | {"scope": scope, "subject": subject, "t": t, "missing_reason": reason, "known_at": known_at},
        ).rowcount
    return written


def read(
    connection: Connection,
    table: Table,
    scope: str,
    subject: str,
    from_t: int = 0,
    to_t: int = EVER,
    as_of: int | None = None,
) -> list[Stored]:
    """The hours of a subject in `[from_t, to_t)`, oldest first, as they were known at `as_of`."""
    values = {"scope": scope, "subject": subject, "from_t": from_t, "to_t": to_t}
    found = connection.execute(READ[table], values | {"as_of": EVER if as_of is None else as_of})
    return [_stored(table, row) for row in found]


def subjects(connection: Connection, scope: str | None = None) -> list[Known]:
    """Every subject of any of the tables, with the newest hour that has a row."""
    rows = connection.execute(
        """
        SELECT scope, subject, max(t) FROM (
          SELECT scope, subject, max(t) AS t FROM defillama_capital_base GROUP BY scope, subject
          UNION ALL SELECT scope, subject, max(t) FROM defillama_capital_flows GROUP BY scope, subject
          UNION ALL SELECT scope, subject, max(t) FROM defillama_economic_throughput GROUP BY scope, subject
        ) WHERE :scope IS NULL OR scope = :scope
        GROUP BY scope, subject ORDER BY scope, subject
        """,
        {"scope": scope},
    )
    return [Known(*row) for row in rows]


def at_hour(connection: Connection, table: Table, t: int) -> dict[Subject, Stored]:
    """All rows of one hour."""
    return {(row["scope"], row["subject"]): _stored(table, row) for row in connection.execute(AT_HOUR[table], (t,))}


def past(connection: Connection, table: Table, t: int) -> Past:
    """Our own amounts one hour, one day and one week before an hour; an hour next to it stands in for a missing one."""
    return Past(
        _earlier(connection, table, (t - HOUR_MS,)),
        _earlier(connection, table, _around(t - DAY_MS)),
        _earlier(connection, table, _around(t - WEEK_MS)),
    )


def followed(connection: Connection, scope: str, *, since_t: int) -> set[str]:
    """Subjects with a known TVL or supply since a time; they keep their rows while they last near the top."""
    rows = connection.execute(
        """
        SELECT DISTINCT subject FROM defillama_capital_base
        WHERE scope = ? AND t >= ? AND (tvl_usd IS NOT NULL OR circulating_usd IS NOT NULL)
        """,
        (scope, since_t),
    )
    return {subject for (subject,) in rows}


def _around(t: int) -> tuple[int, int, int]:
    return t + HOUR_MS, t - HOUR_MS, t


def _earlier(connection: Connection, table: Table, hours: Iterable[int]) -> Earlier:
    """Later hours of the list win."""
    found: dict[Subject, Mapping[str, float]] = {}
    for t in hours:
        for subject, row in at_hour(connection, table, t).items():
            found[subject] = {column: amount for column, amount in row.values.items() if amount is not None}
    return found


def _merged(values: Mapping[str, Value], standing: Stored | None) -> Mapping[str, Value]:
    if standing is None:
        return values
    return {
        column: Value(standing.values[column], standing.missing.get(column)) if value.reason == UNREAD else value
        for column, value in values.items()
    }


def _joined(values: Mapping[str, Value]) -> str | None:
    return " ".join(f"{column}:{value.reason}" for column, value in values.items() if value.amount is None) or None


def _stored(table: Table, row: Row) -> Stored:
    missing = dict(part.split(":", 1) for part in (row["missing_reason"] or "").split())
    values = {column: row[column] for column in COLUMNS[table]}
    return Stored(row["scope"], row["subject"], row["t"], values, missing, row["known_at"])
