"""Mutated DefiLlama answers on the whole way to the rows: no exception, no half row, each one counted (09 §3.4 D5)."""

import asyncio
import math
import random
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clash_pipeline.clock import HOUR_MS, SettableClock
from clash_pipeline.market.defillama import store, wire
from clash_pipeline.market.defillama.client import DefiLlamaClient
from clash_pipeline.market.defillama.refresh import refresh_all
from clash_pipeline.market.defillama.rows import COLUMNS
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database
from tests.fakes.llama import FakeLlama, raw_answers
from tests.fakes.mutation import bent, mutated

ENTRIES = {
    "/v2/chains": 0.1, "/protocols": 0.4, "/stablecoins peggedAssets": 0.2, "/stablecoins chains": 0.05,
    "/overview/dexs protocols": 0.1, "/overview/fees?dailyFees protocols": 0.1, "/v2/historicalChainTvl": 0.05,
}  # fmt: skip
"""Which share of the messages stands in which list."""


class FuzzedLlama(FakeLlama):
    """Lists of mutated entries within whole answers, numbered so that most are subjects of their own."""

    def __init__(self, source: random.Random, seeds: Mapping[str, list[Any]], count: int) -> None:
        super().__init__()
        self.messages = 0
        self.given = 0
        for place, share in ENTRIES.items():
            path, _, key = place.partition(" ")
            encoded = [msgspec.json.encode(seed) for seed in seeds[place]]
            messages = list(mutated(source, encoded, round(count * share)))
            entries = [_numbered(source, message) for is_json, message in messages if is_json]
            self.messages += len(messages)
            self.given += len(entries)
            if key:
                self.answers[path][key] = entries
            else:
                self.answers[path] = entries


class CountingClient(DefiLlamaClient):
    """Checks that each list's entries are taken or refused, none lost without a word."""

    accounted = 0

    async def chains(self) -> Any:
        return self._counted(await super().chains())

    async def protocols(self) -> Any:
        return self._counted(await super().protocols())

    async def stablecoins(self) -> Any:
        found, refused = await super().stablecoins()
        self.accounted += len(found.coins) + len(found.chains) + len(refused)
        return found, refused

    async def overview(self, metric: Any, chain: str | None = None) -> Any:
        found, refused = await super().overview(metric, chain)
        if chain is None and metric in ("dex_volume", "fees"):
            self.accounted += len(found.protocols) + len(refused)
        return found, refused

    def _counted(self, decoded: Any) -> Any:
        self.accounted += len(decoded.items) + len(decoded.refused)
        return decoded


def _numbered(source: random.Random, message: Any) -> Any:
    if isinstance(message, dict) and isinstance(message.get("name"), str) and message.get("slug", "") is not None:
        number = source.randrange(4_000)
        message["name"] = f"{message['name'][:40]} {number}"
        if isinstance(message.get("slug"), str):
            message["slug"] = f"{message['slug'][:40]}-{number}"
    return message


def half_rows(connection: Connection) -> list[str]:
    """Everything in the tables that is not a whole, clean row."""
    found = []
    for table in store.TABLES:
        for row in connection.execute(f"SELECT * FROM defillama_{table}"):
            values = [row[column] for column in COLUMNS[table]]
            reasons = dict(part.split(":", 1) for part in (row["missing_reason"] or "").split())
            absent = {column for column in COLUMNS[table] if row[column] is None}
            is_whole = (
                row["subject"]
                and row["subject"] == row["subject"].strip()
                and len(row["subject"].encode()) <= 200
                and not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs") for letter in row["subject"])
                and all(value is None or math.isfinite(value) for value in values)
                and set(reasons) == absent
            )
            is_negative = table == "capital_base" and any(value is not None and value < 0 for value in values)
            if not is_whole or is_negative:
                found.append(f"{table} {tuple(row)}"[:200])
    return found


def own_seeds() -> dict[str, list[Any]]:
    answers = raw_answers()
    seeds = {}
    for place in ENTRIES:
        path, _, key = place.partition(" ")
        seeds[place] = answers[path][key] if key else answers[path]
    return seeds


def check(market: Database, clock: SettableClock, settings: Settings, count: int, seeds: dict[str, list[Any]]) -> None:
    wide = settings.model_copy(update={"defillama_protocols": 10_000, "defillama_stablecoins": 10_000})
    llama = FuzzedLlama(random.Random(6), seeds, count)
    client = CountingClient(llama, base_url="llama:", stablecoins_url="stable:")  # type: ignore[arg-type]
    reports = asyncio.run(refresh_all(market, client, clock, wide))
    assert llama.messages == pytest.approx(count, abs=5)
    assert {report.error for report in reports.values()} == {None}
    history = len(llama.answers["/v2/historicalChainTvl"])
    assert client.accounted == llama.given - history
    with market.read() as connection:
        assert half_rows(connection) == []
        counted = connection.execute("SELECT sum(count) FROM ingestion_rejections").fetchone()[0]
        samples = [row[0] for row in connection.execute("SELECT sample FROM ingestion_rejections")]
    assert counted == sum(report.rejected for report in reports.values()) > count * 0.1
    assert all(samples)
    assert len(samples) > 15


def test_fifty_thousand_mutated_messages(market: Database, clock: SettableClock, settings: Settings) -> None:
    check(market, clock, settings, 50_000, own_seeds())


@pytest.mark.recordings
def test_mutated_recordings(market: Database, clock: SettableClock, settings: Settings, recordings: Path) -> None:
    folder = recordings / "defillama"
    names = {
        "/v2/chains": "v2_chains_one_entry", "/protocols": "protocols_one_full_entry",
        "/v2/historicalChainTvl": "historical_chain_tvl_solana_3days",
    }  # fmt: skip
    seeds = {place: msgspec.json.decode((folder / f"{name}.json").read_bytes()) for place, name in names.items()}
    coins = msgspec.json.decode((folder / "stablecoins.json").read_bytes())
    overview = msgspec.json.decode((folder / "overview_derivatives_official_example.json").read_bytes())
    seeds |= {f"/stablecoins {key}": coins[key] for key in ("peggedAssets", "chains")}
    seeds |= {f"/overview/{kind} protocols": overview["protocols"] for kind in ("dexs", "fees?dailyFees")}
    check(market, clock, settings, 5_000, seeds)


@pytest.mark.soak
def test_a_million_mutated_messages(market: Database, clock: SettableClock, settings: Settings) -> None:
    check(market, clock, settings, 1_000_000, own_seeds())


def test_whole_answers_bent_at_any_place(market: Database, clock: SettableClock, settings: Settings) -> None:
    """A bent top level fails its channels, with a row that says so, and leaves no half row."""
    source = random.Random(7)
    failed = 0
    for _ in range(400):
        answers = raw_answers()
        for path in source.sample(sorted(answers), 3):
            answers[path] = bent(source, answers[path])
        reports = asyncio.run(refresh_all(market, FakeLlama(answers).client(), clock, settings))
        failed += sum(report.error is not None for report in reports.values())
        clock.advance(HOUR_MS // 3)
    with market.read() as connection:
        assert half_rows(connection) == []
        recorded = connection.execute("SELECT count(*) FROM ingestion_runs WHERE status = 'failed'").fetchone()[0]
    assert failed == recorded > 20


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE defillama_capital_base SET tvl_usd = NULL",
        "UPDATE defillama_capital_base SET tvl_usd = -1",
        "UPDATE defillama_capital_flows SET change_1d_pct = 9e999",
        "UPDATE defillama_capital_flows SET missing_reason = NULL",
        "UPDATE defillama_economic_throughput SET subject = subject || char(0x202E)",
    ],
)
def test_the_check_notices_a_half_row(market: Database, clock: SettableClock, settings: Settings, damage: str) -> None:
    """The negative control: whole rows pass, one damaged place does not."""
    asyncio.run(refresh_all(market, FakeLlama().client(), clock, settings))
    with market.write() as connection:
        assert half_rows(connection) == []
        connection.execute(damage)
        assert half_rows(connection) != []


def test_names_fit_their_bound() -> None:
    assert wire.NAME_BYTES <= 200
