"""The declared tables are the tables of the schema, and no table that grows by time was forgotten."""

import pytest

from clash_pipeline.archive.catalogue import TABLES, table_named
from clash_pipeline.archive.tables import Kind
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database

TYPES = {"TEXT": Kind.TEXT, "INTEGER": Kind.INT, "REAL": Kind.REAL}
NOT_ARCHIVED = {"candle_gaps"}
"""Tables with a venue time that stay: gaps say why a day may be archived at all."""


@pytest.mark.parametrize("name", TABLES)
def test_columns_and_key_are_those_of_the_schema(market: Database, name: str) -> None:
    table = TABLES[name]
    with market.read() as connection:
        info = connection.execute(f"PRAGMA table_info({table.table})").fetchall()
    columns = {row["name"]: TYPES[row["type"]] for row in info if row["name"] != "interval" or not table.interval}
    keys = [row["name"] for row in sorted(info, key=lambda row: row["pk"]) if row["pk"] and row["name"] in columns]
    assert table.columns == columns
    assert list(table.key) == keys


def test_every_table_of_market_time_is_archived(market: Database) -> None:
    with market.read() as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        timed = {name for name in names if "t" in {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}}
    assert timed - NOT_ARCHIVED == {table.table for table in TABLES.values()}


def test_days_stay_hot_as_the_settings_say(settings: Settings) -> None:
    hot = {name: getattr(settings, table.hot) for name, table in TABLES.items()}
    assert hot["hyperliquid_candles_1m"] == hot["hyperliquid_technical_indicators"] == 1
    assert hot["hyperliquid_candles_1h"] == hot["hyperliquid_funding_rates"] == hot["defillama_capital_flows"] == 7


def test_companions_are_tables_too() -> None:
    for table in TABLES.values():
        assert table.companion is None or TABLES[table.companion].key[-1] == "known_at"


def test_an_unknown_table_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'candles' is not an archived table: hyperliquid_candles_1m, "):
        table_named("candles")
