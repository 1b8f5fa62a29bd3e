"""The application over a system in which a little has happened: two users, clones that traded, profiles, a report.

`owner` (wallet 1) owns clone 1, which traded in account 1; `other` (wallet 2) owns clone 2, whose account 2 has ended.
A home in which this happened before, because it is a copy, is taken as it is.
"""

import random
from dataclasses import dataclass, field

from clash_pipeline import clone_desk
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SettableClock
from clash_pipeline.clones import images, moderation, public_profiles, reports
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.decisions import dry_run, waves
from clash_pipeline.identity import service_tokens, users
from clash_pipeline.market import ingestion
from clash_pipeline.prop import admin
from clash_pipeline.prop.marks import mark
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from clash_pipeline.storage import heartbeats
from tests.fakes import market_rows, pictures
from tests.fakes.api_client import T0, Api
from tests.fakes.wallet import Wallet
from tests.fakes.world import RISING, World

CANARY = "canary-4f1d7c"
"""Stands in the private prompt and names of everything that is private."""
GENEROUS = {
    "api_challenges_per_minute": 1_000_000,
    "api_verifies_per_minute": 1_000_000,
    "api_reads_per_minute": 10_000_000,
    "api_writes_per_minute": 10_000_000,
    "api_stream_sec": 0.05,
    "api_stream_look_sec": 0.01,
    "api_stream_heartbeat_sec": 0.02,
}
SCOPES = service_tokens.SCOPES


@dataclass
class StockedApi:
    """The system and its people."""

    settings: Settings
    owner: Wallet = field(default_factory=lambda: Wallet(1))
    other: Wallet = field(default_factory=lambda: Wallet(2))

    def __post_init__(self) -> None:
        self.clock, self.wall = SettableClock(T0), SettableClock(T0)
        self.services = Services(self.settings.model_copy(update=GENEROUS), self.clock, self.wall)
        self.world = World(
            self.services.settings, self.clock, self.services.clash, self.services.market, self.services.store
        )
        self.api = Api(self.services, self.wall)
        with self.services.clash.read() as connection:
            is_empty = connection.execute("SELECT 1 FROM clones").fetchone() is None
        if is_empty:
            self._fill()

    def _fill(self) -> None:
        self._market()
        self._strangers()
        self._operations()
        for wallet in (self.owner, self.other):
            self._clone(wallet)
        self._trade()
        self._profiles()

    def bearer(self, wallet: Wallet | None = None) -> dict[str, str]:
        """The header of a signed-in user, the owner without one named."""
        return self.api.bearer(wallet or self.owner)

    def service(self, *scopes: str) -> dict[str, str]:
        """The header of a new service token with some scopes, all of them without one named."""
        name = "-".join(scopes) or "everything"
        secret = random.Random(name).randbytes(32)
        _, text = service_tokens.create(
            self.services.clash, name, scopes or SCOPES, secret=secret, actor="test", now_ms=T0
        )
        return {"x-service-token": text}

    def _market(self) -> None:
        market = self.services.market
        for symbol, decimals in (("BTC", 3), ("ETH", 2)):
            market_rows.list_asset(market, symbol, sz_decimals=decimals, max_leverage=25)
            market_rows.candle(market, symbol, T0 - HOUR_MS, "100", interval="1h")
            for minutes in range(10, 1, -1):
                market_rows.candle(market, symbol, T0 - minutes * MINUTE_MS, f"{100 - minutes / 10:.1f}")
            self.world.minute(symbol, "100", hist=0.5, hist_before=0.3, **RISING)
        market_rows.list_asset(market, "PURR/USDC", kind="spot", category="meme", subcategory="hyperliquid_native")

    def _strangers(self) -> None:
        with self.services.market.write() as connection:
            connection.execute(
                """
                INSERT INTO polymarket_events (event_id, slug, title, tags, is_active, is_closed, source, first_seen_at,
                                               known_at)
                VALUES ('e1', 'bitcoin-soon', 'Bitcoin soon', '[]', 1, 0, 'crawl', ?1, ?1)
                """,
                (T0,),
            )
            for number in (1, 2, 3):
                connection.execute(
                    """
                    INSERT INTO polymarket_markets
                      (market_id, event_id, slug, question, outcomes, token_ids, end_at, is_active, is_closed,
                       first_seen_at, known_at, prices, liquidity, sampled_at)
                    VALUES (?1, 'e1', 'btc-above-' || ?1, 'Will Bitcoin be above ' || ?1 || '00,000?', '["Yes","No"]',
                            '["1","2"]', ?2 + ?1 * 3600000, 1, 0, ?2, ?2, '["0.4","0.6"]', 1500.5, ?2)
                    """,
                    (str(number), T0),
                )
            connection.execute(
                """
                INSERT INTO polymarket_market_asset_links (market_id, symbol, matched, known_at)
                VALUES ('1', 'BTC', 'Bitcoin', ?)
                """,
                (T0,),
            )
            for scope, subject in (("global", "defi"), ("chain", "Solana"), ("chain", "Ethereum")):
                connection.execute(
                    """
                    INSERT INTO defillama_capital_base (scope, subject, t, tvl_usd, known_at) VALUES (?, ?, ?, 1e9, ?)
                    """,
                    (scope, subject, T0 - HOUR_MS, T0),
                )

    def _operations(self) -> None:
        with self.services.market.write() as connection:
            for ago in (3, 2, 1):
                cycle = ingestion.Cycle(rows=2, covered=2, expected=2, lags_ms=[40, 60])
                at = T0 - ago * MINUTE_MS + 5_000
                ingestion.record(connection, "hyperliquid", "candles_1m", cycle, started_at=at, finished_at=at + 20)
        heartbeats.beat(
            self.services.clash, "ingester", instance="one", now_ms=T0, expected_interval_sec=10, version="0.1.0"
        )

    def _clone(self, wallet: Wallet) -> None:
        with self.services.clash.write() as connection:
            user = users.of_wallet(connection, wallet.address, now_ms=T0)
        graph = simple_graph(("BTC", "ETH"), prompt=f"Follow the trend. {CANARY}-{wallet.number}").wire()
        name = f"{CANARY} {wallet.number}"
        clone_desk.create(self.services, name, graph, engine="rules", owner=f"user:{user}")

    def _trade(self) -> None:
        waves.run_once(self.services, clone_id=1, force=True)
        mark(self.services.clash, self.services.market, 1, T0)
        dry_run.dry_run(self.services, 1)
        venue = PaperVenue(self.services.market)
        admin.complete(self.services.clash, venue, 2, actor="test", reason="a test", now_ms=T0)

    def _profiles(self) -> None:
        face = images.put(self.services.store, images.checked(pictures.encoded(pictures.picture(), "PNG")))
        with self.services.clash.write() as connection:
            for clone_id, name in ((1, "Ada"), (2, "Bea")):
                profile = public_profiles.submit(
                    connection, clone_id, name, actor="test", now_ms=T0, description="Calm.", image=face
                )
                moderation.approve(connection, profile.id, actor="test", now_ms=T0)
            reports.report(connection, 1, category="other", text="Looks like mine.", reporter="user:9", now_ms=T0)
            public_profiles.submit(connection, 2, "Bea the second", actor="test", now_ms=T0, image=face)
