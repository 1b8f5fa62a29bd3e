"""Charts as data: what is drawn, what stands in the table beside it, and where a line breaks."""

from dataclasses import replace

from clash_pipeline.api.pages.candles import trades_chart
from clash_pipeline.api.pages.charts import Bar, Chart, Line, Mark
from clash_pipeline.api.pages.ingestion import WINDOWS, charts
from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.market import health
from clash_pipeline.market.health import CHANNELS, ChannelHealth, Recorded
from clash_pipeline.market.ingestion_series import Step
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows

T = 1_753_099_200_000
SILENT = Recorded(None, None, None, None, 0, 0)


def _step(t: int, rows: int, covered: int | None = None, expected: int | None = None) -> Step:
    return Step(t, 1, 0, rows, 0, covered, expected, None, None)


def _channel(settings: Settings, name: str) -> ChannelHealth:
    spec = next(spec for spec in CHANNELS if f"{spec.source}.{spec.channel}" == name)
    return health.assess(spec, SILENT, settings, T)


def test_the_table_has_the_figures_of_the_picture_newest_first() -> None:
    chart = Chart("x", "X", "says", "usd", [Line("a", [(T, 1.5), (T + 1_000, 2.0)]), Line("b", [(T + 1_000, 3.0)])])
    assert chart.drawing["lines"][0]["points"] == [[T // 1_000, 1.5], [T // 1_000 + 1, 2.0]]
    assert chart.columns == ["a", "b"]
    assert chart.rows == [(T + 1_000, [2.0, 3.0]), (T, [1.5, None])]


def test_a_bar_names_the_trades_that_fell_into_it() -> None:
    chart = Chart("x", "X", "says", "price", bars=[Bar(T, 1, 2, 0.5, 1.5)], marks=[Mark(T, "buy", "buy 1 at 1")] * 2)
    assert chart.rows == [(T, [1, 2, 0.5, 1.5, "buy 1 at 1; buy 1 at 1"])]
    assert not chart.is_empty
    assert Chart("x", "X", "says", "usd", [Line("a", [])]).is_empty


def test_volume_is_summed_by_source_and_unknown_coverage_is_no_point(settings: Settings) -> None:
    minutes, mids = _channel(settings, "hyperliquid.candles_1m"), _channel(settings, "hyperliquid.mids")
    volume, coverage, lag = charts(
        {minutes: [_step(T, 10, 9, 10)], mids: [_step(T, 5), _step(T + 5 * MINUTE_MS, 7)]}, WINDOWS["6h"]
    )
    assert [(line.name, line.points) for line in volume.lines] == [
        ("hyperliquid", [(T, 15), (T + 5 * MINUTE_MS, 7)])
    ]  # fmt: skip
    assert [(line.name, line.points) for line in coverage.lines] == [("hyperliquid.candles_1m", [(T, 90.0)])]
    assert lag.is_empty
    assert "the largest is now not known" in lag.says


def test_a_line_breaks_where_a_channel_was_silent_for_twice_its_cadence(settings: Settings) -> None:
    hourly, minutes = _channel(settings, "hyperliquid.registry"), _channel(settings, "hyperliquid.candles_1m")
    on_demand = replace(minutes, channel="repair", kind="on_demand", expected_cadence_sec=None)
    found = charts({one: [_step(T, 1, 1, 1)] for one in (hourly, minutes, on_demand)}, WINDOWS["6h"])
    gaps = {line.name: line.gap_ms for line in found[1].lines}
    assert gaps["hyperliquid.registry"] == 2 * HOUR_MS
    assert gaps["hyperliquid.candles_1m"] == 10 * MINUTE_MS
    assert (gaps["hyperliquid.repair"] or 0) > 24 * HOUR_MS
    assert found[0].lines[0].gap_ms == 10 * MINUTE_MS  # of a source: its quickest channel


def test_trades_stand_at_the_candle_they_happened_in(market: Database) -> None:
    for number in range(3):
        market_rows.candle(market, "BTC", T + number * MINUTE_MS, "100")
    fill = {"id": 1, "symbol": "BTC", "side": "buy", "size": "1", "price": "100", "filled_at": T + 90_000}
    others = [{**fill, "id": 2, "symbol": "ETH"}, {**fill, "id": 3, "filled_at": T - 24 * HOUR_MS}]
    chart = trades_chart(market, "BTC", [fill, *others], "6h", T + 3 * MINUTE_MS)
    assert [bar.t for bar in chart.bars] == [T, T + MINUTE_MS, T + 2 * MINUTE_MS]
    assert chart.marks == [Mark(T + MINUTE_MS, "buy", "buy 1 at 100")]
    assert chart.says == "BTC over six hours: 3 candles of 1m and one trade of this clone."
