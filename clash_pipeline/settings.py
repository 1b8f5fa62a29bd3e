"""One typed settings model, read once from `CLASH_*` variables and shared by every door.

Every product figure (cadences, limits, retention, policy) stands here with its default. `clash env --explain` prints
this page. Unknown keys and impossible values refuse to start, naming the key and the limit.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import (
    AnyHttpUrl,
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "CLASH_"
Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=8)]
"""An amount of real USD."""
Capability = Literal["auto", "schema", "reasoning", "schema_old", "object", "plain"]
"""How a model is asked: a row of `decisions.engines.capabilities`, or by its id."""
_PRICES = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,8})?,[0-9]{1,6}(?:\.[0-9]{1,8})?", re.ASCII)
_ETHER = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,18})?", re.ASCII)
NOT_SETTINGS = frozenset({"CLASH_FAULT", "CLASH_RECORDINGS", "CLASH_SOAK"})
"""Variables of the tests and tools, allowed beside the settings."""


class SettingsError(ValueError):
    """The environment does not describe a system that could run; one line for each problem."""


class Settings(BaseSettings):
    """Everything that can be set. Times carry their unit in the name."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    # where things are kept
    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("clash-of-clones", appauthor=False)),
        description="Folder of the databases, the Dagster home and local artifacts.",
    )

    busy_timeout_ms: int = Field(
        1_500, ge=10, le=60_000, description="A try to write waits this long for another writer; there are three."
    )
    disk_floor_mib: int = Field(
        256, ge=0, description="Market memory stops growing when less is free on the disk; 0: never."
    )
    disk_reserve_mib: int = Field(
        64, ge=0, le=65_536, description="Space laid aside that is given up for money when the disk is full; 0: none."
    )

    # venues
    hyperliquid_url: AnyHttpUrl = Field(
        AnyHttpUrl("https://api.hyperliquid.xyz"), description="Base of the REST `/info` endpoint."
    )
    hyperliquid_ws_url: str = Field("wss://api.hyperliquid.xyz/ws", description="WebSocket endpoint, ws:// or wss://.")
    polymarket_gamma_url: AnyHttpUrl = Field(
        AnyHttpUrl("https://gamma-api.polymarket.com"), description="Discovery: events, markets, search."
    )
    polymarket_clob_url: AnyHttpUrl = Field(AnyHttpUrl("https://clob.polymarket.com"), description="Books and prices.")
    defillama_url: AnyHttpUrl = Field(AnyHttpUrl("https://api.llama.fi"), description="TVL, protocols and overviews.")
    defillama_stablecoins_url: AnyHttpUrl = Field(
        AnyHttpUrl("https://stablecoins.llama.fi"), description="Stablecoins."
    )
    venue_clock_url: AnyHttpUrl | None = Field(
        None, description="`/clock` of a replayed venue; unset means the machine's clock."
    )
    symbols: str = Field("", description="Comma-separated wire symbols to follow; empty follows every listed asset.")

    # Hyperliquid link
    rest_weight_per_minute: int = Field(
        1_100, ge=120, le=1_200, description="REST weight spent in any 60 s; the venue allows 1,200."
    )
    stream_silence_sec: float = Field(15, gt=0, description="No message at all for this long: reconnect.")
    stream_ping_sec: float = Field(
        30, gt=0, le=50, description="Keep-alive interval; the venue closes after 60 s of its own silence."
    )
    stream_subscribe_timeout_sec: float = Field(
        30, gt=0, description="A subscription without an answer by then is sent again."
    )
    reconnect_min_sec: float = Field(0.25, gt=0, description="First back-off after a disconnect.")
    reconnect_max_sec: float = Field(30, gt=0, description="Longest back-off, with full jitter below it.")
    minute_grace_sec: int = Field(5, ge=1, le=30, description="A minute closes this long after its end, by venue time.")
    http_timeout_sec: float = Field(10, gt=0, description="Total time of one venue request.")
    http_max_bytes: int = Field(8_388_608, ge=65_536, description="Largest answer read from a REST venue.")
    stream_final: bool = Field(
        True,
        description="Whether a healthy stream makes a minute final; off leaves every minute to confirmation by REST.",
    )
    price_jump_pct: int = Field(
        20, ge=1, description="A close this far from both the previous close and the mid is quarantined."
    )
    future_tolerance_sec: int = Field(120, ge=1, description="A message from further ahead than this is rejected.")

    # cadences of the polls, seconds
    registry_every_sec: int = Field(3_600, ge=1, description="Hyperliquid asset registry.")
    funding_every_sec: int = Field(300, ge=1, description="Funding, current and predicted.")
    asset_ctxs_every_sec: int = Field(60, ge=1, description="Marks, oracle, volumes.")
    rollup_every_sec: int = Field(60, ge=1, description="One-hour candles of the running hours.")
    polymarket_discovery_every_sec: int = Field(3_600, ge=1, description="Crypto-tag crawl and public search.")
    polymarket_immediate_every_sec: int = Field(300, ge=1, description="Immediate market of each linked asset.")
    polymarket_later_every_sec: int = Field(1_800, ge=1, description="Later market of each linked asset.")
    polymarket_later_days: int = Field(60, ge=1, description="How far ahead a later market may end.")
    polymarket_targets: str = Field("", description="Comma-separated market or event slugs that are always refreshed.")
    polymarket_tags: str = Field("crypto", description="Comma-separated Gamma tags that discovery crawls.")
    polymarket_page_size: int = Field(
        100, ge=1, le=500, description="Events asked for in one page; a page too large to read is halved."
    )
    polymarket_max_pages: int = Field(400, ge=1, description="Pages after which a crawl stops as endless.")
    polymarket_searches: int = Field(30, ge=0, description="Assets without a market that one discovery searches for.")
    polymarket_books: bool = Field(
        True, description="Take best bid and ask from the CLOB's book; Gamma's lag behind it."
    )
    defillama_every_sec: int = Field(3_600, ge=1, description="All three macro tables.")
    defillama_protocols: int = Field(
        100, ge=0, le=10_000, description="How many protocols, by TVL, are kept as subjects."
    )
    defillama_stablecoins: int = Field(
        100, ge=0, le=10_000, description="How many stablecoins, by circulation, are kept as subjects."
    )
    defillama_chain_histories: int = Field(
        20, ge=0, description="Largest chains whose daily history is asked while our own rows are too young."
    )
    defillama_chain_overviews: int = Field(
        5, ge=0, description="Largest chains whose own overview is asked while our rows are younger than a day."
    )
    defillama_pause_sec: float = Field(1, ge=0, description="Pause between two requests; free limits are unpublished.")
    defillama_max_bytes: int = Field(
        33_554_432, ge=65_536, description="Largest answer of DefiLlama; its protocol list alone is above 8 MB."
    )
    heartbeat_every_sec: int = Field(10, ge=1, description="Worker heartbeat.")
    lease_ttl_sec: int = Field(60, ge=1, description="A silent holder loses its lease after this long.")

    # health
    stream_stale_after_sec: int = Field(120, ge=1, description="A stream channel without rows for this long is stale.")
    poll_stale_grace_sec: int = Field(300, ge=1, description="A polled channel is stale after its cadence plus this.")
    clock_skew_alert_sec: float = Field(2, gt=0, description="Skew against venue time that is reported.")

    # retention
    minute_hot_days: int = Field(
        1, ge=1, description="Whole UTC days of 1m candles and indicators kept beside the running day."
    )
    hour_hot_days: int = Field(7, ge=1, description="Days of 1h candles kept.")
    context_hot_days: int = Field(7, ge=1, description="Days of funding, contexts, Polymarket and DefiLlama rows kept.")
    ingestion_history_days: int = Field(
        30, ge=1, description="How long ingestion cycles and rejections are remembered."
    )
    restored_pin_days: int = Field(7, ge=1, description="A restored day is not pruned for this long.")
    gap_lost_after_hours: int = Field(
        72, ge=1, description="A gap older than this, and older than the venue keeps, is lost."
    )
    venue_keeps_candles: int = Field(5_000, ge=1, description="Candles of an interval the venue still answers for.")
    dagster_run_hours: int = Field(
        24, ge=1, description="Finished runs of minute cadence are deleted from Dagster's history after this."
    )
    dagster_history_days: int = Field(14, ge=1, description="All other finished runs, after this.")

    # artifact store and archive
    store: Literal["file", "s3", "memory"] = Field("file", description="Where artifacts and archived partitions go.")
    store_bucket: str = Field("clash", description="Bucket of an S3 store.")
    store_prefix: str = Field("", description="Key prefix of an S3 store, or subfolder of a file store.")
    store_endpoint_url: AnyHttpUrl | None = Field(None, description="S3 endpoint; unset means AWS itself.")
    store_region: str = Field("auto", description="S3 region; R2 calls it auto.")
    store_access_key_id: SecretStr | None = Field(
        None, description="S3 key id; unset, with the secret, means AWS's usual chain: its variables, profile or role."
    )
    store_secret_access_key: SecretStr | None = Field(None, description="S3 secret; needed together with the key id.")

    # decisions and accounts
    engine: Literal["hold", "rules", "model"] = Field("hold", description="Engine of a clone that names none.")
    default_cadence_sec: int = Field(300, ge=60, le=86_400, description="Decision cadence of a prompt that names none.")
    prompt_budget_tokens: int = Field(
        24_000, ge=2_000, le=1_000_000, description="Estimated tokens of one prompt; reads above it are thinned."
    )
    prepare_uploads: int = Field(8, ge=1, le=64, description="Packets and prompts of a wave stored at the same time.")
    start_balance_usd: int = Field(100_000, ge=1, le=1_000_000_000, description="Start balance of a prop account.")
    max_leverage: int = Field(5, ge=1, le=50, description="Policy: highest leverage, never above the asset's own.")
    max_position_pct: int = Field(100, ge=1, description="Policy: notional per symbol, % of equity.")
    max_gross_pct: int = Field(300, ge=1, description="Policy: gross exposure, % of equity.")
    max_open_positions: int = Field(10, ge=1, description="Policy: open positions.")
    min_order_usd: int = Field(10, ge=1, description="Policy: smallest order.")
    max_orders_per_hour: int = Field(60, ge=1, description="Policy: opening orders in an hour.")
    mid_max_age_sec: int = Field(15, ge=1, description="Policy: oldest mid or mark a fill may use.")
    candle_max_age_sec: int = Field(75, ge=1, description="Policy: oldest candle close a fill may use.")
    max_drawdown_pct: int = Field(
        10, ge=1, le=100, description="Policy: drawdown from the high-water mark that liquidates."
    )
    mark_max_age_sec: int = Field(90, ge=1, description="Policy: oldest venue mark that marks a position.")
    closes_max_age_sec: int = Field(
        600, ge=60, description="Policy: oldest of the five closes that stand in for a mark; then the last is carried."
    )
    price_max_age_by_symbol: str = Field(
        "", description="Policy: comma-separated SYMBOL=seconds, for assets whose prices must be younger than that."
    )
    slippage_cap_bp: int = Field(100, ge=1, le=5_000, description="Policy: slippage is never computed above this.")
    max_volume_share_bp: int = Field(
        50, ge=1, le=10_000, description="Policy: largest opening order, basis points of 24 h volume."
    )
    min_cadence_sec: int = Field(60, ge=60, le=86_400, description="Policy: fastest decision cadence.")
    oracle_after_sec: int = Field(
        600, ge=60, description="Policy: a held asset without a mark for this long is priced by the oracle at the end."
    )

    # the fair arena: terms of audition and race accounts, where they differ
    fair_max_leverage: int = Field(5, ge=1, le=50, description="Fair terms: highest leverage.")
    fair_max_gross_pct: int = Field(
        300, ge=1, description="Fair terms: gross exposure, % of equity; one symbol may have all of it."
    )
    fair_max_orders_per_hour: int = Field(30, ge=1, description="Fair terms: opening orders in an hour.")
    fair_max_slippage_bp: int = Field(
        100, ge=1, le=5_000, description="Fair terms: an opening order that would slip more is refused."
    )
    fair_slippage_cap_bp: int = Field(
        300, ge=1, le=5_000, description="Fair terms: a reduction, which is never refused, slips at most this."
    )
    fair_max_volume_share_bp: int = Field(
        50, ge=1, le=10_000, description="Fair terms: largest opening order, basis points of 24 h volume."
    )
    fair_risk_budget_pct: int = Field(
        3, ge=1, le=100, description="Fair terms: sum of notional times six-hour volatility, % of equity."
    )
    fair_volatility_floor_pct: int = Field(1, ge=0, le=100, description="Fair terms: least six-hour volatility.")
    fair_unknown_volatility_pct: int = Field(
        15, ge=1, le=100, description="Fair terms: six-hour volatility of an asset with too few stored hours."
    )
    fair_fill_delay_sec: int = Field(
        60, ge=0, le=600, multiple_of=60, description="Fair terms: runs of a tick are filled this long after it."
    )
    fair_last_order_before_end_sec: int = Field(
        600, ge=0, description="Fair terms: the last order is accepted this long before the end."
    )
    fair_fixing_sec: int = Field(
        240, ge=0, description="Fair terms: final equity takes the median of the marks of this long before the end."
    )
    fair_funding_credit_window_sec: int = Field(
        600, ge=0, description="Fair terms: funding is credited on the smallest position of this long before the hour."
    )
    audition_max_drawdown_pct: int = Field(
        4, ge=1, le=100, description="Auditions: drawdown from the high-water mark that liquidates."
    )
    race_max_drawdown_pct: int = Field(
        10, ge=1, le=100, description="Races: drawdown from the start balance that liquidates."
    )
    race_min_cadence_sec: int = Field(300, ge=60, le=86_400, description="Races: fastest decision cadence.")

    # auditions, queue and slots
    audition_length_sec: int = Field(
        86_400, ge=3_600, le=2_592_000, multiple_of=60, description="Auditions: how long one runs."
    )
    audition_min_return_bp: int = Field(200, ge=0, le=100_000, description="Auditions: least return, basis points.")
    audition_min_fills: int = Field(6, ge=0, description="Auditions: fewest fills of the least size.")
    audition_min_fill_pct: int = Field(5, ge=0, le=100, description="Auditions: least size of a fill, % of equity.")
    audition_min_hours: int = Field(4, ge=0, le=24, description="Auditions: different UTC hours with such a fill.")
    audition_max_hour_share_pct: int = Field(
        60, ge=1, le=100, description="Auditions: most of the profit that one UTC hour may have made, %."
    )
    arena_slots: int = Field(20, ge=0, le=1_000, description="Slots of the Arena.")
    queue_expiry_sec: int = Field(
        604_800, ge=60, description="A queue head whose gate fails is passed over and expires after this."
    )
    strikes_to_retire: int = Field(8, ge=1, le=1_000, description="So many strikes in a row retire a clone.")

    # races
    race_length_sec: int = Field(
        21_600, ge=3_600, le=604_800, multiple_of=3_600, description="Races: how long one runs; starts lie on its grid."
    )
    race_sales_close_before_sec: int = Field(
        600, ge=60, le=3_600, description="Races: sales close this long before the start, for finality and the watcher."
    )
    race_hidden_sec: int = Field(
        1_800, ge=0, description="Races: counts per clone are hidden this long before the close."
    )
    race_least_sales_sec: int = Field(
        1_800, ge=60, description="Races: a start that leaves less time to buy is passed over for the next one."
    )
    race_late_sec: int = Field(1_800, ge=60, description="Races: a launch later than this cancels and refunds.")
    race_silence_sec: int = Field(
        1_800, ge=60, description="Races: a venue silent for this long, or a kill switch, cancels and refunds."
    )
    race_least_volume_usd: int = Field(
        10_000_000, ge=0, description="Races: 24 h volume from which a perp belongs to the universe."
    )
    race_archive_after_sec: int = Field(
        3_600, ge=0, description="Races: a settled one is looked at once more and archived after this."
    )
    execution_venue: Literal["paper"] = Field("paper", description="Only paper fills exist; a live venue is refused.")

    # the model engine
    model_url: AnyHttpUrl = Field(
        AnyHttpUrl("https://api.openai.com/v1"), description="Base of an OpenAI-compatible endpoint."
    )
    model_key: SecretStr | None = Field(
        None, description="Key of the endpoint; without one no clone decides by model. A local server takes any text."
    )
    model_1: str = Field("", max_length=128, description="Model id of tier 1, the cheapest; empty: the tier has none.")
    model_2: str = Field("", max_length=128, description="Model id of tier 2.")
    model_3: str = Field("", max_length=128, description="Model id of tier 3, the strongest.")
    model_1_prices: str = Field("", description="Tier 1: USD a million tokens, input and output, as in `0.15,0.60`.")
    model_2_prices: str = Field("", description="Tier 2: the same.")
    model_3_prices: str = Field("", description="Tier 3: the same.")
    model_1_takes: Capability = Field("auto", description="Tier 1: a row of the capability table; auto: by its id.")
    model_2_takes: Capability = Field("auto", description="Tier 2: the same.")
    model_3_takes: Capability = Field("auto", description="Tier 3: the same.")
    model_max_output_tokens: int = Field(2_000, ge=100, le=16_000, description="Most tokens of an answer.")
    model_deadline_sec: float = Field(
        45, gt=0, le=300, description="From the start of a wave until the last model must have answered."
    )
    model_connect_sec: float = Field(5, gt=0, le=60, description="Time to connect to the endpoint.")
    model_backoff_sec: float = Field(0.5, ge=0, le=30, description="Longest wait before the one retry, full jitter.")
    model_concurrency: int = Field(128, ge=1, le=10_000, description="Calls, and connections, of one tier at a time.")
    model_breaker_failures: int = Field(5, ge=1, description="Failures in the window that open the circuit.")
    model_breaker_window_sec: int = Field(60, ge=1, description="The window in which failures count.")
    model_breaker_open_sec: int = Field(60, ge=1, description="An open circuit lets one call through after this long.")
    model_reservation_sec: int = Field(
        300, ge=10, description="A reservation that nobody settled is released after this; longer than the deadline."
    )
    model_reserve_bytes_per_token: int = Field(
        2, ge=1, le=4, description="Prompt bytes a reserved token; lower reserves more than will be used."
    )
    model_clone_tokens_minute: int = Field(400_000, ge=0, description="Tokens of one clone in any 60 s.")
    model_clone_tokens_day: int = Field(20_000_000, ge=0, description="Tokens of one clone in a UTC day.")
    model_clone_usd_minute: Usd = Field(Decimal("0.50"), description="Cost of one clone in any 60 s.")
    model_clone_usd_day: Usd = Field(Decimal(10), description="Cost of one clone in a UTC day.")
    model_user_tokens_minute: int = Field(800_000, ge=0, description="Tokens of all clones of a user in any 60 s.")
    model_user_tokens_day: int = Field(60_000_000, ge=0, description="Tokens of all clones of a user in a UTC day.")
    model_user_usd_minute: Usd = Field(Decimal(1), description="Cost of all clones of a user in any 60 s.")
    model_user_usd_day: Usd = Field(Decimal(30), description="Cost of all clones of a user in a UTC day.")
    model_tier_tokens_minute: int = Field(4_000_000, ge=0, description="Tokens of one tier in any 60 s.")
    model_tier_tokens_day: int = Field(1_000_000_000, ge=0, description="Tokens of one tier in a UTC day.")
    model_tier_usd_minute: Usd = Field(Decimal(5), description="Cost of one tier in any 60 s.")
    model_tier_usd_day: Usd = Field(Decimal(300), description="Cost of one tier in a UTC day.")
    model_system_tokens_minute: int = Field(8_000_000, ge=0, description="Tokens of everybody in any 60 s.")
    model_system_tokens_day: int = Field(2_000_000_000, ge=0, description="Tokens of everybody in a UTC day.")
    model_system_usd_minute: Usd = Field(Decimal(10), description="Cost of everybody in any 60 s.")
    model_system_usd_day: Usd = Field(Decimal(500), description="Cost of everybody in a UTC day.")

    # alerts
    alert_urls: SecretStr = Field(
        SecretStr(""), description="Where alerts go: Apprise URLs, separated by spaces; empty writes them to the log."
    )
    alert_every_sec: int = Field(60, ge=5, description="How often the rules are asked.")
    alert_failed_pct: int = Field(
        20, ge=1, le=100, description="Share of an engine's decisions in an hour that may fail."
    )
    audit_every_sec: int = Field(600, ge=10, description="How often changed accounts are audited.")

    # prices and quotes of the economy
    fees_model_1: str = Field(
        "0.01,0.015,0.02", description="Audition fees with a model of tier 1: ETH for starter, builder and pro."
    )
    fees_model_2: str = Field("0.02,0.03,0.04", description="Model tier 2: the same.")
    fees_model_3: str = Field("0.04,0.06,0.08", description="Model tier 3: the same.")
    ticket_price_eth: str = Field("0.01", description="Price of a ticket in ETH; a race keeps what it opened with.")
    quote_sec: int = Field(900, ge=60, le=86_400, description="A quote may be paid for this long.")
    quote_grace_sec: int = Field(
        120, ge=0, le=3_600, description="A deposit may be in a block this much later than its quote allows."
    )
    pending_sec: int = Field(
        86_400, ge=900, description="A purchase whose deposit nobody found expires this long after its quote."
    )

    # Dagster
    dagster_port: int = Field(3000, ge=1, le=65_535, description="Web server of the Dagster UI.")
    dagster_grpc_port: int = Field(4266, ge=1, le=65_535, description="Code server.")
    dagster_compute_logs: Literal["none", "local", "store"] = Field(
        "none",
        description="Output of runs: kept nowhere (a process a run cheaper), in the Dagster home, or in the store.",
    )
    observe_every_sec: int = Field(60, ge=5, description="How often ingestion is reported to Dagster.")
    arena_every_sec: int = Field(15, ge=5, description="How often due auditions, slots and retirements are looked for.")
    decide_every_sec: int = Field(15, ge=5, description="How often due decisions are looked for.")
    decision_shards: int = Field(
        1, ge=1, le=64, description="Waves an engine's due accounts are cut into, by account id; one Dagster run each."
    )
    decision_steps: int = Field(
        25, ge=1, le=1_000, description="Most steps of a wave in Dagster; each applies whole accounts, one if they fit."
    )

    @field_validator("home")
    @classmethod
    def _absolute_home(cls, home: Path) -> Path:
        try:
            return home.expanduser().absolute()
        except RuntimeError:
            raise ValueError(f"{home} names a user without a home folder") from None

    @field_validator("hyperliquid_ws_url")
    @classmethod
    def _is_websocket(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise ValueError(f"must be ws://HOST or wss://HOST, not {url[:60]!r}")
        return url

    @field_validator("price_max_age_by_symbol")
    @classmethod
    def _ages_are_seconds(cls, text: str) -> str:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        names = [part.rpartition("=")[0] for part in parts]
        for part in parts:
            symbol, _, sec = part.rpartition("=")
            if not symbol or not (sec.isascii() and sec.isdigit()) or not 1 <= len(sec) <= 6 or int(sec) < 1:
                raise ValueError(f"must be SYMBOL=seconds, comma-separated, not {part[:40]!r}")
        if len(set(names)) < len(names):
            raise ValueError("names a symbol twice")
        return text

    @model_validator(mode="after")
    def _store_is_complete(self) -> Self:
        if self.store == "s3" and (self.store_access_key_id is None) != (self.store_secret_access_key is None):
            raise ValueError("CLASH_STORE_ACCESS_KEY_ID and CLASH_STORE_SECRET_ACCESS_KEY are needed together")
        return self

    @field_validator("model_1_prices", "model_2_prices", "model_3_prices")
    @classmethod
    def _are_prices(cls, prices: str) -> str:
        if prices and _PRICES.fullmatch(prices) is None:
            raise ValueError(f"must be two amounts in USD, input and output, as in 0.15,0.60, not {prices[:40]!r}")
        return prices

    @field_validator("fees_model_1", "fees_model_2", "fees_model_3", "ticket_price_eth")
    @classmethod
    def _are_ether(cls, text: str, info: ValidationInfo) -> str:
        parts, wanted = text.split(","), 1 if info.field_name == "ticket_price_eth" else 3
        if len(parts) != wanted or not all(_ETHER.fullmatch(part) and part.strip("0.") for part in parts):
            raise ValueError(f"must be {wanted} positive amounts of ETH with at most 18 decimals, not {text[:40]!r}")
        return text

    @model_validator(mode="after")
    def _model_is_complete(self) -> Self:
        for tier, (model, prices, _) in self.model_tiers.items():
            if model and not prices:
                raise ValueError(f"{PREFIX}MODEL_{tier}_PRICES is needed with CLASH_MODEL_{tier}: unknown is not free")
        if self.engine == "model" and (self.model_key is None or not self.model_1):
            raise ValueError("CLASH_ENGINE=model needs CLASH_MODEL_KEY and CLASH_MODEL_1")
        if self.model_reservation_sec <= self.model_deadline_sec:
            raise ValueError("CLASH_MODEL_RESERVATION_SEC must be longer than CLASH_MODEL_DEADLINE_SEC")
        return self

    @property
    def model_tiers(self) -> dict[int, tuple[str, str, str]]:
        """Id, prices and capability of each tier's model, as they were given."""
        return {
            1: (self.model_1, self.model_1_prices, self.model_1_takes),
            2: (self.model_2, self.model_2_prices, self.model_2_takes),
            3: (self.model_3, self.model_3_prices, self.model_3_takes),
        }

    @property
    def alert_channels(self) -> tuple[str, ...]:
        """The Apprise URLs that alerts go to; they may hold secrets."""
        return tuple(self.alert_urls.get_secret_value().split())

    @property
    def clash_db(self) -> Path:
        """The file of accounts, ledger, clones and decisions."""
        return self.home / "clash.db"

    @property
    def market_db(self) -> Path:
        """The file of the market memory."""
        return self.home / "market.db"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own, disposable history."""
        return self.home / "dagster"

    @property
    def file_store(self) -> Path:
        """Folder of the local artifact store."""
        return self.home / "store"

    @property
    def followed_symbols(self) -> frozenset[str] | None:
        """The symbols to follow, or None for all of them."""
        return frozenset(filter(None, (part.strip() for part in self.symbols.split(",")))) or None

    @property
    def price_max_ages(self) -> tuple[tuple[str, int], ...]:
        """The symbols with an age limit of their own, with it in seconds, by symbol."""
        parts = filter(None, (part.strip() for part in self.price_max_age_by_symbol.split(",")))
        return tuple(sorted((symbol, int(sec)) for symbol, _, sec in (part.rpartition("=") for part in parts)))

    # the API
    api_host: str = Field("127.0.0.1", description="Address that `clash serve` listens on.")
    api_port: int = Field(8787, ge=1, le=65_535, description="Port that `clash serve` listens on.")
    api_url: AnyHttpUrl = Field(
        AnyHttpUrl("http://127.0.0.1:8787/"), description="Where people reach us; stands in every sign-in message."
    )
    sign_in_statement: str = Field(
        "Sign in to Clash of Clones. This costs nothing and sends no transaction.",
        min_length=1,
        max_length=280,
        pattern=r"^[\x20-\x7e]+$",
        description="The sentence a wallet shows.",
    )
    session_key: SecretStr | None = Field(
        None, description="Secret of all sessions, 32 bytes or more as hexadecimal; unset keeps one in the home folder."
    )
    chains: str = Field("4326,6343", description="Comma-separated chain ids that may sign in and pay.")
    dev_chain: bool = Field(False, description="Also allow the development chains 31337 and 1337.")
    api_cors_origins: str = Field("", description="Comma-separated origins of browsers; empty allows none.")
    api_trusted_proxies: str = Field("", description="Comma-separated addresses whose X-Forwarded-For is believed.")
    api_body_bytes: int = Field(262_144, ge=1_024, description="Largest request body.")
    api_image_bytes: int = Field(1_100_000, ge=1_024, description="Largest body of an image.")
    api_receive_sec: float = Field(10, gt=0, description="Time in which a head, and then a body, must arrive.")
    api_answer_sec: float = Field(15, gt=0, description="Time in which an answer must begin and end.")
    api_reads_per_minute: int = Field(600, ge=1, description="Reads of one principal in any minute.")
    api_writes_per_minute: int = Field(60, ge=1, description="Writes of one principal in any minute.")
    api_challenges_per_minute: int = Field(5, ge=1, description="Sign-in messages for one address or wallet.")
    api_verifies_per_minute: int = Field(10, ge=1, description="Sign-in attempts from one address.")
    api_streams: int = Field(500, ge=1, description="Event streams that are open at the same time.")
    api_streams_each: int = Field(10, ge=1, description="Of these, those of one principal.")
    api_stream_sec: float = Field(600, gt=0, description="After this an event stream ends; clients come back.")
    api_stream_look_sec: float = Field(1, gt=0, description="How often an event stream looks for something new.")
    api_stream_heartbeat_sec: float = Field(15, gt=0, description="A quiet event stream says that it lives this often.")

    # the chain that pays, and what may leave it
    chain_urls: SecretStr = Field(
        SecretStr(""),
        description="Comma-separated JSON-RPC endpoints, two or more, each of another operator; empty: nobody can pay.",
    )
    chain_id: int = Field(4326, ge=1, description="The chain of the vault; one of those that may pay.")
    chain_contract: str = Field("", description="Address of the vault contract.")
    chain_code_hash: str = Field("", description="Keccak-256 of the vault's code, as `0x` and 64 digits.")
    chain_resolver: str = Field("", description="Our address in the vault: deposits are to it, payouts signed by it.")
    chain_native: str = Field("0x" + "ee" * 20, description="Address that stands for the chain's own coin.")
    chain_first_block: int = Field(0, ge=0, description="The watcher begins at this block: the vault's own, or later.")
    chain_finality: Literal["finalized", "depth"] = Field(
        "finalized", description="When a deposit counts: as the chain says, or small ones also by depth."
    )
    chain_depth: int = Field(64, ge=1, description="Blocks above a deposit that count as final, where depth is taken.")
    chain_depth_most_wei: int = Field(
        10**17, ge=0, description="Largest deposit that may count by depth, in wei; a larger one waits for finality."
    )
    chain_timeout_sec: float = Field(10, gt=0, le=60, description="Time of one call to an endpoint.")
    chain_max_bytes: int = Field(4_194_304, ge=65_536, description="Largest answer read from an endpoint.")
    chain_log_blocks: int = Field(2_000, ge=1, le=100_000, description="Blocks whose events are asked for at once.")
    chain_recheck_sec: int = Field(300, ge=1, description="How often an endpoint's pinned facts are checked again.")
    economy_every_sec: int = Field(5, ge=1, description="How often the chain is watched.")
    reconcile_every_sec: int = Field(600, ge=1, description="How often the books are compared with the chain.")
    reconcile_full_every_sec: int = Field(86_400, ge=1, description="How often all of it is compared, from the start.")
    payout_key: SecretStr | None = Field(
        None, description="Key of the resolver, `0x` and 64 digits; without one nothing is paid out from here."
    )
    payout_signer_url: SecretStr | None = Field(
        None, description="JSON-RPC address of a service that keeps the resolver's key and signs in its place."
    )
    payout_signer_method: Literal["eth_signTypedData_v4", "eth_signTypedData", "account_signTypedData"] = Field(
        "eth_signTypedData_v4", description="What that service calls the signing of typed data."
    )
    payout_valid_sec: int = Field(86_400, ge=60, description="An authorisation may be used for this long.")
    payout_hour_most_wei: int = Field(5 * 10**18, ge=0, description="Most that is authorised in any hour, in wei.")
    payout_day_most_wei: int = Field(20 * 10**18, ge=0, description="Most that is authorised in any 24 hours, in wei.")

    @field_validator("chain_contract", "chain_resolver", "chain_native")
    @classmethod
    def _is_address(cls, text: str) -> str:
        if text and re.fullmatch(r"0x[0-9a-fA-F]{40}", text, re.ASCII) is None:
            raise ValueError("must be 0x and 40 hexadecimal digits")
        return text.lower()

    @field_validator("chain_code_hash")
    @classmethod
    def _is_hash(cls, text: str) -> str:
        if text and re.fullmatch(r"0x[0-9a-fA-F]{64}", text, re.ASCII) is None:
            raise ValueError("must be 0x and 64 hexadecimal digits")
        return text.lower()

    @field_validator("payout_key")
    @classmethod
    def _is_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and re.fullmatch(r"0x[0-9a-fA-F]{64}", key.get_secret_value(), re.ASCII) is None:
            raise ValueError("must be 0x and 64 hexadecimal digits")
        return key

    @model_validator(mode="after")
    def _one_signer(self) -> Self:
        if self.payout_signer_url is None:
            return self
        if self.payout_key is not None:
            raise ValueError("CLASH_PAYOUT_KEY and CLASH_PAYOUT_SIGNER_URL exclude each other: set one")
        url = urlsplit(self.payout_signer_url.get_secret_value())
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError("CLASH_PAYOUT_SIGNER_URL must be http://HOST or https://HOST")
        return self

    @model_validator(mode="after")
    def _chain_is_whole(self) -> Self:
        if self.payout_day_most_wei < self.payout_hour_most_wei:
            raise ValueError("CLASH_PAYOUT_DAY_MOST_WEI must be at least CLASH_PAYOUT_HOUR_MOST_WEI")
        urls = self.chain_endpoints
        if not urls:
            return self
        for name in ("chain_contract", "chain_code_hash", "chain_resolver"):
            if not getattr(self, name):
                raise ValueError(f"{PREFIX}{name.upper()} is needed with CLASH_CHAIN_URLS")
        if self.chain_id not in self.chain_ids:
            allowed = ", ".join(map(str, sorted(self.chain_ids)))
            raise ValueError(f"CLASH_CHAIN_ID {self.chain_id} is not allowed: one of {allowed}")
        if len(urls) < 2 or len(set(urls)) < len(urls):
            raise ValueError("CLASH_CHAIN_URLS needs two endpoints or more, each once")
        hosts = [urlsplit(url).hostname or "" for url in urls]
        if any(
            urlsplit(url).scheme not in {"http", "https"} or not host for url, host in zip(urls, hosts, strict=True)
        ):
            raise ValueError("CLASH_CHAIN_URLS must be http://HOST or https://HOST, comma-separated")
        operators = {".".join(host.split(".")[-2:]) for host in hosts}
        if not self.dev_chain and len(operators) < len(urls):
            raise ValueError("CLASH_CHAIN_URLS names one operator twice: no endpoint may speak for another")
        return self

    @property
    def chain_endpoints(self) -> tuple[str, ...]:
        """The addresses of the endpoints; they may carry keys."""
        return tuple(filter(None, (part.strip() for part in self.chain_urls.get_secret_value().split(","))))

    @property
    def api_domain(self) -> str:
        """The authority that sign-in messages name."""
        return urlsplit(str(self.api_url)).netloc

    @property
    def chain_ids(self) -> frozenset[int]:
        """Chains that may sign in and pay."""
        named = {int(part) for part in self.chains.split(",") if part.strip()}
        return frozenset(named | ({31_337, 1_337} if self.dev_chain else set()))

    @property
    def targets(self) -> tuple[str, ...]:
        """Polymarket slugs that are always refreshed."""
        return tuple(filter(None, (part.strip() for part in self.polymarket_targets.split(","))))


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of an environment (default: this process's).

    Raises:
        SettingsError: unknown keys, missing secrets or impossible values; names each key and its limit.
    """
    source = os.environ if environment is None else environment
    given = {key: value for key, value in source.items() if key.startswith(PREFIX) and key not in NOT_SETTINGS}
    known = {f"{PREFIX}{name.upper()}": name for name in Settings.model_fields}
    problems = [
        f"{key}: no such setting (clash env --explain lists them)" for key in sorted(given.keys() - known.keys())
    ]
    values: dict[str, Any] = {known[key]: value for key, value in given.items() if key in known and value != ""}
    try:
        settings = _Explicit(**values)
    except ValidationError as error:
        problems += [_sentence(problem) for problem in error.errors(include_url=False, include_input=False)]
        raise SettingsError("\n".join(problems)) from None
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


@contextmanager
def usable_home(settings: Settings) -> Iterator[Path]:
    """The home, made when it is absent.

    Raises:
        SettingsError: the file system refuses it, or something below it; names the path and why.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        yield settings.home
    except OSError as error:
        reason = "is not a folder" if isinstance(error, FileExistsError) else error.strerror
        raise SettingsError(f"{PREFIX}HOME {error.filename or settings.home}: {reason}") from None


class _Explicit(Settings):
    """Settings from the given values only; the process environment was already looked through by `load`."""

    def __init__(self, **values: Any) -> None:
        BaseModel.__init__(self, **values)  # the library would look for sources, which takes six times as long


def _sentence(problem: Any) -> str:
    place = "_".join(str(part) for part in problem["loc"])
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{place.upper()}: {said}" if place else said
