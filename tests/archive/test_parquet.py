"""The object of a day: the same bytes for the same rows, small, readable in place, and never half believed."""

import io

import duckdb
import polars as pl
import pytest

from clash_pipeline.archive import codec, parquet, rows
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.parquet import DayWriter, Encoded
from clash_pipeline.archive.stores import StoreCorrupt
from clash_pipeline.storage.sqlite import Database
from tests.fakes.market_days import DAY, all_rows, fill_any, fill_minutes

CANDLES = TABLES["hyperliquid_candles_1m"]


def candle_rows(market: Database) -> pl.DataFrame:
    fill_minutes(market)
    with market.read() as connection:
        return pl.concat(rows.of_day(connection, CANDLES, DAY))


def encode(frame: pl.DataFrame, piece: int = 10**9) -> Encoded:
    writer = DayWriter(CANDLES, DAY)
    for part in frame.iter_slices(piece):
        writer.write(part)
    return writer.finish()


def test_the_same_rows_are_the_same_bytes_however_they_arrive(
    market: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = candle_rows(market)
    monkeypatch.setattr(parquet, "GROUP_ROWS", 1_000)
    whole = encode(frame)
    assert encode(frame, 777) == encode(frame, 4_096) == whole
    assert encode(frame[:100], 1) == encode(frame[:100])
    assert whole.row_count == 5_760


@pytest.mark.parametrize("name", TABLES)
def test_each_table_comes_back_group_by_group(market: Database, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 16)
    fill_any(market, name, rows=50)
    table = TABLES[name]
    with market.read() as connection:
        frame = pl.concat(rows.of_day(connection, table, DAY))
    writer = DayWriter(table, DAY)
    writer.write(frame)
    encoded = writer.finish()
    parts = list(parquet.groups(table, encoded.body, "k"))
    assert len(parts) == -(-frame.height // 16)
    assert [row for part in parts for row in part.rows()] == all_rows(market, name)
    assert parquet.content_of(table, encoded.body, "k") == (encoded.row_count, encoded.content_hash)


def test_a_day_of_candles_is_compact(market: Database) -> None:
    frame = candle_rows(market)
    plain = io.BytesIO()
    frame.write_parquet(plain, compression="zstd")
    encoded = encode(frame)
    assert len(encoded.body) / frame.height < 10
    assert len(encoded.body) < len(plain.getvalue()) * 0.6


def test_prices_can_be_computed_in_place_by_any_reader(market: Database, tmp_path) -> None:  # type: ignore[no-untyped-def]
    frame = candle_rows(market)
    path = tmp_path / "day.parquet"
    path.write_bytes(encode(frame).body)
    numbers = pl.col("o", "h", "l", "c", "v").cast(pl.Float64)
    wanted = frame.filter(pl.col("symbol") == "BTC").select(numbers.sum()).row(0)
    by_duckdb = duckdb.sql(
        f"""
        SELECT sum((c + o) * p), sum((greatest(c + o, c) + h) * p), sum((least(c + o, c) - l) * p), sum(c * p),
               sum(v * pow(10.0, -volume_scale))
        FROM (SELECT *, pow(10.0, -price_scale) AS p FROM '{path}' WHERE symbol = 'BTC')
        """
    ).fetchall()[0]
    price = 10.0 ** -pl.col("price_scale")
    by_polars = pl.scan_parquet(path).filter(symbol="BTC").select(((pl.col("c") + pl.col("o")) * price).sum()).collect()
    assert by_duckdb == pytest.approx(wanted)
    assert by_polars.item() == pytest.approx(wanted[0])


def test_the_file_says_what_it_holds(market: Database) -> None:
    import pyarrow.parquet as pq

    encoded = encode(candle_rows(market))
    notes = pq.ParquetFile(io.BytesIO(encoded.body)).metadata.metadata
    assert notes[b"clash.table"] == b"hyperliquid_candles_1m"
    assert notes[b"clash.day"] == b"2025-07-21"
    assert notes[b"clash.rows"] == b"5760"
    assert notes[b"clash.content"].decode().endswith(encoded.content_hash)
    assert b"above_body" in notes[b"clash.decimals.price_scale"]


def test_a_damaged_or_foreign_object_is_never_half_read(market: Database) -> None:
    body = encode(candle_rows(market)).body
    foreign = io.BytesIO()
    pl.DataFrame({"symbol": ["BTC"], "t": ["not a time"]}).write_parquet(foreign)
    for damaged in (b"", b"PAR1", body[:-1], body[:100], body[50:], b"\0" * len(body), foreign.getvalue()):
        with pytest.raises(StoreCorrupt, match="k cannot be read as hyperliquid_candles_1m"):
            parquet.content_of(CANDLES, damaged, "k")


def test_the_stored_types_are_declared(market: Database) -> None:
    frame = candle_rows(market)
    assert dict(codec.pack(CANDLES, frame).schema) == codec.stored_schema(CANDLES)
