"""A small system with something on every page: channels with a history, clones that traded, profiles, reports."""

import random
from dataclasses import dataclass, field

from clash_pipeline import clone_desk
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SettableClock
from clash_pipeline.clones import images, moderation, public_profiles, reports
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.decisions import waves
from clash_pipeline.identity import service_tokens, users
from clash_pipeline.market import ingestion
from clash_pipeline.prop.marks import mark
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from clash_pipeline.storage import heartbeats
from tests.fakes import market_rows, pictures
from tests.fakes.api_client import T0, Api
from tests.fakes.wallet import Wallet
from tests.fakes.world import RISING, World

STRANGE = '<script>alert("x")</script> & <b>bold</b>'
ALL_SCOPES = ("accounts", "arena", "ingestion", "moderation")
CYCLES = (
    ("hyperliquid", "candles_1m", 400, 900), ("hyperliquid", "indicators", 380, 40), ("hyperliquid", "mids", 400, 350),
    ("polymarket", "immediate", 120, 4_000), ("defillama", "capital_base", 60, 90_000),
)  # fmt: skip
MINUTES = 45


@dataclass
class Showroom:
    """The application over a system that was used; `owner` is the wallet of the one clone that belongs to a user."""

    settings: Settings
    like: "Showroom | None" = None
    """A filled one whose home was copied to this one's; without it, this one is filled."""
    owner: Wallet = field(default_factory=lambda: Wallet(7))

    def __post_init__(self) -> None:
        self.clock, self.wall = SettableClock(T0 - MINUTES * MINUTE_MS), SettableClock(T0)
        self.services = Services(self.settings, self.clock, self.wall)
        self.world = World(self.settings, self.clock, self.services.clash, self.services.market, self.services.store)
        self.api = Api(self.services, self.wall)
        if self.like is None:
            self._fill()
        else:
            self.own, self.other, self.report = self.like.own, self.like.other, self.like.report
            self.waiting = self.like.waiting
            self.clock.set(self.like.clock.now_ms())

    def _fill(self) -> None:
        self._market()
        self._ingestion()
        self._clones()
        self._trade()
        self._profiles()

    def token(self, *scopes: str, name: str = "desk") -> str:
        """The text of a new service token."""
        made = service_tokens.create(
            self.services.clash, name, scopes or ALL_SCOPES, secret=random.Random(name).randbytes(32), actor="test",
            now_ms=T0,
        )  # fmt: skip
        return made[1]

    def _market(self) -> None:
        for symbol, decimals in (("BTC", 3), ("ETH", 2)):
            market_rows.list_asset(self.services.market, symbol, sz_decimals=decimals, max_leverage=25)
            self._history(symbol, random.Random(symbol))

    def _history(self, symbol: str, source: random.Random) -> None:
        """Hours and minutes before the clones begin, around 100."""
        rows = []
        for interval, span, count in (("1h", HOUR_MS, 72), ("1m", MINUTE_MS, 240)):
            first = self.clock.now_ms() // span * span - (count + 1) * span
            price = 100.0
            for number in range(count):
                opened, price = price, max(price + source.uniform(-0.4, 0.4), 95.0) if number < count - 1 else 100.0
                high, low = max(opened, price) + source.uniform(0, 0.3), min(opened, price) - source.uniform(0, 0.3)
                prices = [f"{value:.2f}" for value in (opened, high, low, price)]
                rows.append((symbol, interval, first + number * span, *prices, first + (number + 1) * span))
        with self.services.market.write() as connection:
            connection.executemany(
                """
                INSERT INTO hyperliquid_candles (symbol, interval, t, o, h, l, c, v, n, origin, final, known_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, '10', 1, 'stream', 1, ?) ON CONFLICT DO NOTHING
                """,
                rows,
            )

    def _ingestion(self) -> None:
        source = random.Random(3)
        with self.services.market.write() as connection:
            for name, channel, rows, lag in CYCLES:
                for ago in range(24 * 12, 0, -1):
                    if channel == "candles_1m" and 60 < ago < 84:
                        continue  # two hours of silence
                    at = T0 - ago * 5 * MINUTE_MS + 4 * MINUTE_MS
                    made = ingestion.Cycle(
                        rows=rows + source.randrange(20), covered=rows - source.randrange(3), expected=rows,
                        lags_ms=[lag + source.randrange(lag), 2 * lag + source.randrange(lag)],
                    )  # fmt: skip
                    ingestion.record(connection, name, channel, made, started_at=at, finished_at=at + 50)
            ingestion.record(
                connection, "defillama", "capital_flows", ingestion.Cycle(), started_at=T0 - 900, finished_at=T0 - 800,
                error=f"HTTP 500 {STRANGE}",
            )  # fmt: skip
            ingestion.reject(connection, "hyperliquid", "candles_1m", "high_below_low", "{}", T0, count=3)
        for worker, ago in (("ingester", 4_000), ("decisions", 200_000)):
            heartbeats.beat(
                self.services.clash, worker, instance="one", now_ms=T0 - ago, expected_interval_sec=10, version="0.1.0"
            )

    def _clones(self) -> None:
        with self.services.clash.write() as connection:
            user = users.of_wallet(connection, self.owner.address, now_ms=T0)
        for symbol in ("BTC", "ETH"):
            self.world.minute(symbol, "100", hist=0.5, hist_before=0.3, **RISING)
        graph = simple_graph(("BTC", "ETH"), prompt="Follow the trend, calmly.").wire()
        self.own = clone_desk.create(self.services, "My first", graph, engine="rules", owner=f"user:{user}")
        graph = simple_graph(("BTC",)).wire()
        self.other = clone_desk.create(self.services, "House momentum", graph, engine="rules")

    def _trade(self) -> None:
        """Three quarters of an hour: a trend that is followed, then a fall of BTC that ends it; marks each minute."""
        source = random.Random(11)
        for minute in range(MINUTES):
            self.clock.advance(MINUTE_MS)
            is_over = minute > 30
            price = 100 + minute / 10 + source.uniform(-0.2, 0.2)
            values = {**RISING, "rsi14": 40.0, "ema20": 98.5} if is_over else RISING
            self.world.minute("ETH", f"{price:.2f}", hist=0.5, hist_before=0.3, **RISING)
            self.world.minute("BTC", f"{price - 6 * is_over:.2f}", hist=0.5 - is_over, hist_before=0.3, **values)
            if self.clock.now_ms() % HOUR_MS == 0:
                for symbol in ("BTC", "ETH"):
                    market_rows.oracle(self.services.market, symbol, self.clock.now_ms(), "100")
                    market_rows.funding_rate(
                        self.services.market, symbol, self.clock.now_ms(), 125_000, known_at=self.clock.now_ms()
                    )
            waves.run_once(self.services)
            for account in (self.own.account_id, self.other.account_id):
                mark(self.services.clash, self.services.market, account, self.clock.now_ms())

    def _profiles(self) -> None:
        face = images.put(self.services.store, images.checked(pictures.encoded(pictures.picture(), "PNG")))
        with self.services.clash.write() as connection:
            shown = public_profiles.submit(
                connection, self.own.clone_id, "Ada", actor="test", now_ms=T0, description="Follows trends.", image=face
            )
            moderation.approve(connection, shown.id, actor="test", now_ms=T0)
            self.report = reports.report(
                connection, self.own.clone_id, category="other", text=f"Looks like mine. {STRANGE}", reporter="user:9",
                now_ms=T0,
            )  # fmt: skip
            self.waiting = public_profiles.submit(
                connection, self.other.clone_id, "Bea", actor="test", now_ms=T0, description=STRANGE, image=face
            )
