"""Every recorded minute on its way from the wire into memory: by REST, by the stream, and as the hours it makes."""

import asyncio
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, hour_of, parse_time
from clash_pipeline.market import candles, minutes, rollup
from clash_pipeline.market.candles import StoredCandle
from clash_pipeline.replay.recorded import RecordedMarket
from clash_pipeline.settings import load
from clash_pipeline.storage.files import migrate_all, open_market
from clash_pipeline.storage.sqlite import Database
from tests.conftest import RECORDINGS
from tests.fakes.live_reader import LiveReader
from tests.fakes.recorded_days import FIELDS, differences, recorded_days
from tests.fakes.recorded_venue import PAGE_MINUTES, AlteredTruth, RecordedVenue, Spans

pytestmark = pytest.mark.recordings

PERP_ROWS, PERPS = 1_200_304, 173
SPOT_ROWS, SPOTS = 138_747, 20
CHUNK = 32

ALL_COINS_HOUR = parse_time("2025-07-23T13:00Z")
EVENING = parse_time("2025-07-24T22:00Z")
EVENING_HOURS = 4
"""Over midnight."""
LIQUID = ("BTC", "ETH", "SOL", "HYPE", "DOGE", "kPEPE")
SPARSE = ("FTT", "VVV")
SPOT = ("PURR/USDC", "@107", "@142", "@180")


@pytest.fixture(scope="module")
def truth() -> RecordedMarket:
    return RecordedMarket(RECORDINGS)


@pytest.fixture(scope="module")
def days() -> pl.DataFrame:
    return recorded_days(RECORDINGS)


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, truth: RecordedMarket, days: pl.DataFrame
) -> Iterator[tuple[Database, int]]:
    """A memory filled by REST alone with all there is, and the number of rows that were written."""
    settings = load({"CLASH_HOME": str(tmp_path_factory.mktemp("home"))})
    migrate_all(settings)
    market = open_market(settings)
    written = asyncio.run(RecordedVenue(truth, market).backfill(market, spans(days)))
    yield market, written
    market.close()


def spans(days: pl.DataFrame) -> Spans:
    """From each coin's first recorded minute to the end of its last one."""
    edges = days.group_by("symbol", maintain_order=True).agg(pl.col("t").min(), pl.col("t").max().alias("last"))
    return {symbol: (first, last + MINUTE_MS) for symbol, first, last in edges.rows()}


def stored_minutes(market: Database, days: pl.DataFrame) -> pl.DataFrame:
    """All final minutes of the memory, in the texts it holds."""
    end = days["t"].max() + DAY_MS  # type: ignore[operator]
    with market.read() as connection:
        symbols = candles.followed(connection)
        chunks = [symbols[start : start + CHUNK] for start in range(0, len(symbols), CHUNK)]
        return pl.concat([minutes.final_minutes(connection, chunk, 0, end) for chunk in chunks])


# by REST


def test_every_recorded_minute_arrives_unchanged(filled: tuple[Database, int], days: pl.DataFrame) -> None:
    """Numbers in every bit, texts the shortest exact ones, times exact, no row missing and none added."""
    market, written = filled
    found = stored_minutes(market, days)
    assert differences(days, found) == []
    is_spot = found["symbol"].str.contains("[@/]")
    assert (int((~is_spot).sum()), int(is_spot.sum())) == (PERP_ROWS, SPOT_ROWS)
    assert (found.filter(~is_spot)["symbol"].n_unique(), found.filter(is_spot)["symbol"].n_unique()) == (PERPS, SPOTS)
    assert written == len(found) == len(days) == PERP_ROWS + SPOT_ROWS
    with market.read() as connection:
        rows = connection.execute("SELECT count(*) FROM hyperliquid_candles WHERE interval = '1m'").fetchone()[0]
        refused = connection.execute("SELECT count(*) FROM ingestion_rejections").fetchone()[0]
    assert (rows, refused) == (PERP_ROWS + SPOT_ROWS, 0)


def test_the_venue_never_answers_more_than_5000_rows_so_that_pages_are_needed(
    market: Database, truth: RecordedMarket, days: pl.DataFrame
) -> None:
    venue = RecordedVenue(truth, market)
    from_t, to_t = spans(days)["BTC"]
    assert (to_t - from_t) // MINUTE_MS > 5_000 > PAGE_MINUTES
    venue.turn_to(to_t)
    rows = asyncio.run(venue.rest.candle_snapshot("BTC", "1m", from_t, to_t))
    assert [row.t for row in rows] == list(range(to_t - 4_999 * MINUTE_MS, to_t, MINUTE_MS))


def test_every_altered_cell_is_found(days: pl.DataFrame) -> None:
    """Negative control of the comparison: the last bit of any number, another text, a row less or more."""
    truth = days.filter(pl.col("symbol").is_in(["BTC", "FTT", "@107"]))
    stored = truth.with_columns(pl.col(name).map_elements(repr, pl.String) for name in FIELDS)
    assert differences(truth, stored) == []
    for row, name in enumerate(FIELDS):
        cell = np.nextafter(truth[row, name], np.inf)
        altered = truth.with_columns(
            pl.when(pl.int_range(pl.len()) == row).then(cell).otherwise(pl.col(name)).alias(name)
        )
        assert [(found.t, found.field) for found in differences(altered, stored)] == [(truth[row, "t"], name)]
    longer = stored.with_columns(v=pl.when(pl.int_range(pl.len()) == 7).then(pl.col("v") + "0").otherwise(pl.col("v")))
    assert [(found.t, found.field) for found in differences(truth, longer)] == [(truth[7, "t"], "v")]
    assert [found.stored for found in differences(truth, stored[1:])] == [None]
    assert [found.recorded for found in differences(truth[1:], stored)] == [None]
    assert {found.stored for found in differences(truth, pl.concat([stored, stored[:1]]))} == {"twice"}


@pytest.mark.parametrize(
    ("field", "seen_as"), [("v", "v"), ("c", "row")], ids=["a volume", "a price, refused for its digits"]
)
def test_one_altered_cell_at_the_venue_is_found_in_memory(
    market: Database, truth: RecordedMarket, days: pl.DataFrame, field: str, seen_as: str
) -> None:
    """Negative control of the whole way: one number of one minute, by one step of a float."""
    cell = ("SOL", ALL_COINS_HOUR + 7 * MINUTE_MS)
    venue = RecordedVenue(AlteredTruth(truth, *cell, field), market)
    asked = {symbol: span for symbol, span in spans(days).items() if symbol in ("BTC", "SOL")}
    asyncio.run(venue.backfill(market, asked))
    found = differences(days.filter(pl.col("symbol").is_in(list(asked))), stored_minutes(market, days))
    assert [one[:3] for one in found] == [(*cell, seen_as)]


# by the stream


@pytest.mark.parametrize(
    ("coins", "from_t", "hours"),
    [(None, ALL_COINS_HOUR, 1), ((*LIQUID, *SPARSE, *SPOT), EVENING, EVENING_HOURS)],
    ids=["all coins, one hour", "twelve coins, four hours"],
)
def test_the_stream_ends_in_the_rows_of_the_rest_path(
    market: Database,
    truth: RecordedMarket,
    filled: tuple[Database, int],
    coins: tuple[str, ...] | None,
    from_t: int,
    hours: int,
) -> None:
    """Every frame the venue sends, as bytes; then confirmation. Values, trade counts and finality are those of REST."""
    reader = LiveReader(RecordedVenue(truth, market), market)
    symbols = list(coins or reader.venue.symbols)
    to_t = from_t + hours * HOUR_MS
    wanted = {symbol: read(filled[0], symbol, from_t, to_t) for symbol in symbols}
    assert sum(map(len, wanted.values())) == len(symbols) * hours * 60

    asyncio.run(reader.listen(symbols, from_t, to_t))
    assert reader.stream.counts.frames == reader.venue.venue.frames["candle"] > 7_000
    assert reader.stream.counts.refused == reader.stream.counts.older == 0
    before = {symbol: read(market, symbol, from_t, to_t) for symbol in symbols}
    for symbol in symbols:
        assert_live_rows_are_true(before[symbol], wanted[symbol])

    asyncio.run(reader.confirm(to_t))
    for symbol in symbols:
        after = read(market, symbol, from_t, to_t)
        assert [row[:8] for row in after] == [row[:8] for row in wanted[symbol]]
        assert {row.final for row in after} == {1}
        assert {row.known_at for row in after if row.n} == {row.known_at for row in before[symbol] if row.n}


def assert_live_rows_are_true(live: list[StoredCandle], wanted: list[StoredCandle]) -> None:
    """Before confirmation: every minute that traded is there, proven where a later one came; silence stays open."""
    by_t = {row.t: row for row in wanted}
    assert [row[:8] for row in live] == [by_t[row.t][:8] for row in live]
    traded = [row.t for row in wanted if row.n]
    assert [row.t for row in live if row.n] == traded
    silent = {row.t for row in wanted if not row.n and row.t > min(traded, default=row.t)}
    assert {row.t for row in live if not row.n} >= silent, "once there is a price, silence is a flat row"
    proven = [row.t for row in live if row.final]
    assert proven in (traded, traded[:-1]), "the last one may wait for a frame that never came"
    assert {(row.origin, row.final) for row in live if not row.n} <= {("flat", 0)}


def read(market: Database, symbol: str, from_t: int, to_t: int) -> list[StoredCandle]:
    with market.read() as connection:
        return candles.read(connection, symbol, interval="1m", from_t=from_t, to_t=to_t)


# hours


def test_the_hours_of_the_stored_minutes_are_those_of_the_venue(
    filled: tuple[Database, int], market: Database, truth: RecordedMarket, days: pl.DataFrame
) -> None:
    """For all coins: the rows of a rollup of what arrived, against the venue's own 1h history, every field."""
    memory, _ = filled
    first, last = hour_of(days["t"].min()), hour_of(days["t"].max()) + HOUR_MS  # type: ignore[arg-type]
    rollup.backfill(memory, from_t=first, to_t=last, known_at=last)
    venue = RecordedVenue(truth, market)
    venue.turn_to(last + HOUR_MS)
    compared = 0
    for symbol, (from_t, to_t) in spans(days).items():
        with memory.read() as connection:
            ours = candles.read(connection, symbol, interval="1h", from_t=first, to_t=last)
        theirs = asyncio.run(venue.rest.candle_snapshot(symbol, "1h", first, last))
        assert [row.candle for row in ours] == theirs
        whole = {t for t in range(first, last, HOUR_MS) if from_t <= t and t + HOUR_MS <= to_t}
        assert {row.t for row in ours if row.final} == whole
        compared += len(ours)
    assert compared > PERPS * 112
