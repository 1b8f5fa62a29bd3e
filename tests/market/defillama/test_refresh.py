"""The three tables from a small market written out: totals, the day's changes, what is missing and why."""

import asyncio
from typing import Any

import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, SettableClock, hour_of
from clash_pipeline.market.defillama import store
from clash_pipeline.market.defillama.refresh import CHANNELS, refresh_all
from clash_pipeline.market.defillama.rows import Table
from clash_pipeline.market.http import VenueMalformed, VenueUnavailable
from clash_pipeline.market.report import Report
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.conftest import NOW
from tests.fakes.llama import FakeLlama, raw_overview, raw_turnover

T = hour_of(NOW)


@pytest.fixture
def llama() -> FakeLlama:
    return FakeLlama()


def refresh(
    market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings, **more: Any
) -> dict[Table, Report]:
    return asyncio.run(refresh_all(market, llama.client(), clock, settings, **more))


def row(market: Database, table: Table, scope: str, subject: str, t: int = T, as_of: int | None = None) -> Any:
    with market.read() as connection:
        found = store.read(connection, table, scope, subject, t, t + HOUR_MS, as_of)
    return found[0] if found else None


def everything(market: Database) -> list[Any]:
    with market.read() as connection:
        return [
            tuple(row)
            for table in CHANNELS
            for row in connection.execute(f"SELECT * FROM defillama_{table} ORDER BY scope, subject, t")
        ]


def runs(market: Database) -> dict[str, tuple[str, str | None]]:
    with market.read() as connection:
        found = connection.execute("SELECT channel, status, error FROM ingestion_runs ORDER BY id")
        return {channel: (status, error) for channel, status, error in found}


class TestCapitalBase:
    def test_totals_come_from_chains_not_from_protocols(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        defi = row(market, "capital_base", "global", "defi")
        assert defi.values == {"tvl_usd": 900.5, "mcap_usd": None, "circulating_usd": 170.0}
        assert defi.missing == {"mcap_usd": "not_applicable"}

    def test_each_scope_has_its_subjects(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        ethereum = row(market, "capital_base", "chain", "Ethereum")
        assert (ethereum.values["tvl_usd"], ethereum.values["circulating_usd"]) == (600, 150)
        aave = row(market, "capital_base", "protocol", "aave-v3")
        assert (aave.values["tvl_usd"], aave.values["mcap_usd"]) == (500, 50)
        usdt = row(market, "capital_base", "stablecoin", "USDT")
        assert (usdt.values["circulating_usd"], usdt.values["mcap_usd"]) == (110, 55)
        euro = row(market, "capital_base", "stablecoin", "EURX")
        assert euro.values["circulating_usd"] == 60

    def test_unknown_is_stored_as_unknown_with_its_reason(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        optimism = row(market, "capital_base", "chain", "OP Mainnet")
        assert optimism.values["tvl_usd"] is None
        assert optimism.missing["tvl_usd"] == "null"
        tron = row(market, "capital_base", "chain", "Tron")
        assert (tron.missing["tvl_usd"], tron.values["circulating_usd"]) == ("not_listed", 20)
        assert row(market, "capital_base", "protocol", "no-slug").missing["tvl_usd"] == "null"

    def test_a_negative_tvl_is_a_counted_rejection_without_a_row(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        llama.answers["/v2/chains"].append({"name": "Debt", "tvl": -1})
        report = refresh(market, llama, clock, settings)["capital_base"]
        assert (report.rejected, report.expected) == (1, (report.covered or 0) + 1)
        assert row(market, "capital_base", "chain", "Debt") is None

    def test_a_new_chain_and_a_renamed_protocol_are_new_subjects(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        clock.advance(HOUR_MS)
        llama.answers["/v2/chains"].append({"name": "Brandnew", "tvl": 5})
        llama.answers["/protocols"][0] |= {"name": "Aave V4", "slug": "aave-v4"}
        refresh(market, llama, clock, settings)
        hours = [
            [row(market, "capital_base", scope, subject, t) is not None for t in (T, T + HOUR_MS)]
            for scope, subject in (("chain", "Brandnew"), ("protocol", "aave-v4"), ("protocol", "aave-v3"))
        ]
        assert hours == [[False, True], [False, True], [True, False]]

    def test_only_the_largest_and_the_wanted_protocols_are_kept(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        llama.answers["/protocols"] = [{"name": f"P{size}", "slug": f"p{size}", "tvl": size} for size in range(20)]
        few = settings.model_copy(update={"defillama_protocols": 4})
        refresh(market, llama, clock, few, wanted=[("protocol", "p3")])

        def kept() -> set[str]:
            with market.read() as connection:
                known = store.subjects(connection, "protocol")
            hour = hour_of(clock.now_ms())
            return {subject for _, subject, t in known if t == hour and subject.startswith("p")}

        assert kept() == {"p19", "p18", "p17", "p16", "p3"}
        llama.answers["/protocols"][17]["tvl"] = 12.5  # near the edge now: keeps its rows
        llama.answers["/protocols"][19]["tvl"] = None  # fell silent: its absence is a row
        clock.advance(HOUR_MS)
        refresh(market, llama, clock, few)
        assert kept() == {"p18", "p16", "p15", "p14", "p17", "p19"}


class TestCapitalFlows:
    def test_the_venues_own_changes(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        aave = row(market, "capital_flows", "protocol", "aave-v3").values
        assert aave == {
            "change_1h_pct": 0.1, "change_1d_pct": 25, "change_7d_pct": -50, "flow_1d_usd": 100, "flow_7d_usd": -500,
        }  # fmt: skip
        usdt = row(market, "capital_flows", "stablecoin", "USDT")
        assert (usdt.values["change_1d_pct"], usdt.values["flow_1d_usd"]) == (10, 10)
        assert usdt.missing["change_7d_pct"] == "previous_zero"
        assert usdt.values["flow_7d_usd"] == 110
        euro = row(market, "capital_flows", "stablecoin", "EURX")
        assert (euro.values["change_1d_pct"], euro.values["flow_1d_usd"]) == (50, 20)
        assert euro.missing["flow_7d_usd"] == "no_previous"

    def test_a_loss_of_everything_has_no_way_back(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        exchange = row(market, "capital_flows", "protocol", "binance-cex")
        assert exchange.values["change_1d_pct"] == -100
        assert exchange.missing["flow_1d_usd"] == "previous_unknown"

    def test_on_the_first_day_chains_use_the_venues_history(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        defi = row(market, "capital_flows", "global", "defi")
        assert defi.values["change_1d_pct"] == 25
        assert (defi.values["flow_1d_usd"], defi.values["flow_7d_usd"]) == (200, -1_000)
        assert defi.missing == {"change_1h_pct": "no_previous"}
        ethereum = row(market, "capital_flows", "chain", "Ethereum")
        assert (ethereum.values["change_1d_pct"], ethereum.missing["change_7d_pct"]) == (20, "previous_zero")

    def test_afterwards_they_use_our_own_rows_and_ask_for_no_history(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        clock.set(NOW + 6 * DAY_MS)
        refresh(market, llama, clock, settings)
        llama.answers["/v2/chains"][0]["tvl"] = 660
        clock.set(NOW + 7 * DAY_MS - HOUR_MS)
        refresh(market, llama, clock, settings)
        clock.set(NOW + 7 * DAY_MS)
        llama.asked.clear()
        refresh(market, llama, clock, settings)
        flows = row(market, "capital_flows", "chain", "Ethereum", T + 7 * DAY_MS).values
        assert flows["change_1h_pct"] == 0
        assert flows["change_1d_pct"] == flows["change_7d_pct"] == pytest.approx(10)
        assert flows["flow_1d_usd"] == 60
        assert [path for path in llama.asked if "historical" in path and "Optimism" not in path] == []

    def test_a_history_that_is_refused_costs_only_that_chain(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        del llama.answers["/v2/historicalChainTvl/Solana"]
        report = refresh(market, llama, clock, settings)["capital_flows"]
        assert (report.error, report.rejected) == (None, 1)
        assert row(market, "capital_flows", "chain", "Solana").missing["change_1d_pct"] == "no_previous"

    def test_an_old_history_is_no_history(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        clock.advance(3 * DAY_MS)
        refresh(market, llama, clock, settings)
        assert row(market, "capital_flows", "global", "defi", T + 3 * DAY_MS).missing["change_1d_pct"] == "no_previous"


class TestThroughput:
    def test_all_protocols_and_chains(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        defi = row(market, "economic_throughput", "global", "defi")
        assert (defi.values["dex_volume_24h_usd"], defi.values["dex_volume_change_1d_pct"]) == (1_000, 1.5)
        assert (defi.values["revenue_24h_usd"], defi.values["open_interest_usd"]) == (-5, 7_000)
        assert defi.missing == {"fees_change_1d_pct": "no_previous"}
        uniswap = row(market, "economic_throughput", "protocol", "uniswap-v3")
        assert (uniswap.values["dex_volume_24h_usd"], uniswap.missing["fees_24h_usd"]) == (700, "not_listed")
        optimism = row(market, "economic_throughput", "chain", "OP Mainnet")
        assert optimism.values["dex_volume_24h_usd"] == 100
        assert optimism.missing["dex_volume_change_1d_pct"] == "no_previous"

    def test_a_chains_own_overview_stands_before_the_sum(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        ethereum = row(market, "economic_throughput", "chain", "Ethereum").values
        assert (ethereum["dex_volume_24h_usd"], ethereum["dex_volume_change_1d_pct"]) == (650, 30)

    def test_the_next_day_a_chains_change_is_against_our_own_row(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        clock.advance(DAY_MS)
        llama.asked.clear()
        llama.answers["/overview/dexs"]["protocols"][1]["breakdown24h"] = {"solana": {"c": 330}}
        refresh(market, llama, clock, settings)
        solana = row(market, "economic_throughput", "chain", "Solana", T + DAY_MS).values
        assert solana["dex_volume_change_1d_pct"] == pytest.approx(10)
        assert [path for path in llama.asked if path.startswith("/overview/dexs/")] == []

    def test_a_change_without_its_own_field_comes_from_the_day_before(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        grown = raw_turnover("A", 10, change_1d=None, total48hto24h=8)
        new = raw_turnover("B", 10, change_1d=None, total48hto24h=0)
        llama.answers["/overview/dexs"] = raw_overview(120, grown, new)
        refresh(market, llama, clock, settings)
        column = "dex_volume_change_1d_pct"
        assert row(market, "economic_throughput", "protocol", "a").values[column] == 25
        assert row(market, "economic_throughput", "protocol", "b").missing[column] == "previous_zero"


class TestFailures:
    @pytest.mark.parametrize(
        ("path", "failed"),
        [
            ("/v2/chains", {"capital_base", "capital_flows"}),
            ("/protocols", {"capital_base", "capital_flows"}),
            ("/stablecoins", {"capital_base", "capital_flows"}),
            ("/v2/historicalChainTvl", {"capital_flows"}),
            ("/overview/dexs", {"economic_throughput"}),
            ("/overview/open-interest", {"economic_throughput"}),
        ],
    )
    def test_one_endpoint_fails_only_the_channels_that_need_it(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings, path: str, failed: set[str]
    ) -> None:
        llama.answers[path] = VenueUnavailable("defillama", f"{path} answered 502")
        reports = refresh(market, llama, clock, settings)
        assert {channel for channel, report in reports.items() if report.error} == failed
        assert {channel for channel, (status, _) in runs(market).items() if status == "failed"} == failed
        assert all(report.rows > 0 for report in reports.values()), "the rest is written"

    def test_all_down_is_failed_and_not_empty(self, market: Database, clock: SettableClock, settings: Settings) -> None:
        nothing = FakeLlama({})
        reports = refresh(market, nothing, clock, settings)
        assert {status for status, _ in runs(market).values()} == {"failed"}
        assert all(report.rows == 0 and report.error for report in reports.values())
        assert everything(market) == []

    def test_what_was_known_in_the_hour_stands_when_an_endpoint_fails_later(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        before = everything(market)
        llama.answers["/stablecoins"] = VenueMalformed("defillama", "the answer is not JSON")
        llama.answers["/overview/dexs"] = VenueUnavailable("defillama", "busy")
        clock.advance(MINUTE_MS)
        refresh(market, llama, clock, settings)
        assert everything(market) == before

    def test_an_endpoint_not_read_is_not_a_zero(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        llama.answers["/stablecoins"] = VenueUnavailable("defillama", "busy")
        refresh(market, llama, clock, settings)
        ethereum = row(market, "capital_base", "chain", "Ethereum")
        assert (ethereum.values["tvl_usd"], ethereum.values["circulating_usd"]) == (600, None)
        assert ethereum.missing["circulating_usd"] == "unread"

    def test_one_channel_can_be_asked_for_alone(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        assert list(refresh(market, llama, clock, settings, channels=["economic_throughput"])) == [
            "economic_throughput"
        ]
        assert all(path.startswith("/overview") for path in llama.asked)


class TestHours:
    def test_the_same_hour_twice_is_the_same_rows(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        before = everything(market)
        clock.advance(MINUTE_MS)
        assert {report.rows for report in refresh(market, llama, clock, settings).values()} == {0}
        assert everything(market) == before

    def test_a_later_sample_takes_the_hour_over_and_reads_as_of_see_the_first(
        self, market: Database, llama: FakeLlama, clock: SettableClock, settings: Settings
    ) -> None:
        refresh(market, llama, clock, settings)
        clock.advance(20 * MINUTE_MS)
        llama.answers["/v2/chains"][0]["tvl"] = 700
        refresh(market, llama, clock, settings)
        seen = {
            as_of: found and found.values["tvl_usd"]
            for as_of in (NOW - 1, NOW, NOW + 20 * MINUTE_MS - 1, NOW + 20 * MINUTE_MS, None)
            for found in [row(market, "capital_base", "chain", "Ethereum", as_of=as_of)]
        }
        assert list(seen.values()) == [None, 600, 600, 700, 700]
