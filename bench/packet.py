"""Packets and prompts: one branch of 25 assets with `deep` beside bare SQL, and whole waves of 1,000 branches."""

import shutil
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from bench import retrieval as reads
from bench.harness import Bench, Contender
from bench.market_memory import AS_OF, memory, symbols
from clash_pipeline.archive.file_store import FileStore
from clash_pipeline.archive.stores import ArtifactStore, MemoryStore
from clash_pipeline.clock import SettableClock
from clash_pipeline.clones import clones
from clash_pipeline.clones.clones import Version
from clash_pipeline.clones.compiler import Branch, BranchAsset, Compiled
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.decisions import branches, claims, looking, packet, prepare, prompt, waves
from clash_pipeline.decisions.account_state import Facts
from clash_pipeline.decisions.candidates import choose
from clash_pipeline.decisions.packet import Run
from clash_pipeline.decisions.runs import Claim, Due
from clash_pipeline.decisions.sections import Memo
from clash_pipeline.decisions.thinning import fitted
from clash_pipeline.market import listing, retrieval
from clash_pipeline.prop import accounts, policy
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.files import migrate_all, open_clash
from clash_pipeline.storage.sqlite import Database

ASSETS, DAYS, WIDE, ROUNDS = 30, 7, 25, 30
WAVE, TRADED = 1_000, 3
LIMIT = 24_000
Wide = tuple[Database, int, int, tuple[Run, ...], Facts]
"""A memory, the assets asked for, the rows they have, the runs of one branch that trades them, and its account."""
PROMPT = "Trade with the trend of the hour, never against the day. Leave when momentum fades. " * 8


@dataclass
class Box:
    """What prepare asks for: databases, a store, a clock that stands at the end of the memory."""

    settings: Settings
    clock: SettableClock
    clash: Database
    market: Database
    store: ArtifactStore

    @property
    def wall(self) -> SettableClock:
        """The same clock."""
        return self.clock


def benches(quick: bool) -> tuple[Bench, ...]:
    """One wide branch against the floor; branches by size; a wave, stage by stage, into memory and into files."""
    assets, days, wide = (4, 2, 3) if quick else (ASSETS, DAYS, WIDE)
    whole = (
        Contender("bare SQL of the same rows", "floor", lambda: _wide(assets, days, wide)[:3], reads.bare),
        Contender("clash: read, assemble, thin, encode", "ours", lambda: _wide(assets, days, wide), packets),
    )
    sizes = tuple(_branch(profile, min(size, wide), assets, days, 3 if quick else ROUNDS) for profile, size in (
        ("fast", 1), ("balanced", 3), ("balanced", 10), ("deep", 1), ("deep", 10), ("deep", 25),
    ))  # fmt: skip
    count = 20 if quick else WAVE
    stores = (("memory", MemoryStore), ("files", _files))
    wave = tuple(
        _wave(f"{count:,} branches of {TRADED} assets, {name}", count, assets, days, made) for name, made in stores
    )
    return (
        Bench("packet", f"{wide} packets with deep", "rows", whole, 7, aim=0.5, aim_of="bare SQL of the same rows"),
        Bench("packet, by branch", "Packet and prompt of each asset of a branch", "branches", sizes, 1, is_long=True),
        Bench("packet, waves", "One wave prepared, stage by stage", "branches", wave, 1, is_long=True),
    )


def packets(prepared: Wide) -> int:
    """Read memory for a branch and make the bytes of each packet; what counts are the rows behind them."""
    market, _, rows, runs, facts = prepared
    _made(market, runs, facts)
    return rows


def _made(market: Database, runs: tuple[Run, ...], facts: Facts, *, prompts: bool = False) -> None:
    with market.read() as connection:
        found = retrieval.retrieve(connection, [run.asset.plan for run in runs], AS_OF)
    memo = Memo()
    for run in runs:
        made = fitted(packet.assemble(run, found[run.asset.symbol], facts, memo), LIMIT)
        packet.encode(made)
        if prompts:
            prompt.encode(prompt.assemble(made, "0" * 64))


@cache
def _wide(assets: int, days: int, wide: int, profile: str = "deep") -> Wide:
    """A memory, how many assets, how many rows they have, and the runs of one branch that trades them."""
    box = _box(assets, days)
    known = tuple(
        BranchAsset(symbol, "explicit", PROMPT, None, reads.plan(symbol, profile)) for symbol in symbols(wide)
    )
    branch = Branch("prompt-1", 300, 25, 0, 3_600, known)
    account_id = _traders(box, 1)[0]
    with box.clash.read() as connection:
        seen = looking.look(connection, account_id, 1, AS_OF)
    facts = looking.facts(seen, looking.quotes(box, symbols(wide), AS_OF), AS_OF)
    choices = tuple(choose(branch, facts.book, facts.quotes, AS_OF, cap=25))
    version = Version(1, 1, 1, Compiled(1, (branch,)), "0" * 64, True, AS_OF)
    runs = tuple(
        Run(_claim(number, symbol), seen.clone, version, branch, asset, choices)
        for number, (symbol, asset) in enumerate(zip(symbols(wide), known, strict=True))
    )
    return box.market, wide, reads.bare((box.market, wide, 0)), runs, facts


def _claim(number: int, symbol: str) -> Claim:
    return Claim(number, 1, 1, 1, 1, "prompt-1", symbol, AS_OF, "due", 300, "model")


def _branch(profile: str, size: int, assets: int, days: int, rounds: int) -> Contender:
    taken: list[float] = []

    def run(prepared: Wide) -> int:
        for _ in range(rounds):
            started = time.perf_counter()
            _made(prepared[0], prepared[3], prepared[4], prompts=True)
            taken.append(time.perf_counter() - started)
        return rounds

    def figures(_: Any) -> Mapping[str, float]:
        ordered = sorted(taken)
        return {"p50 ms": ordered[len(ordered) // 2] * 1e3, "p99 ms": ordered[int(len(ordered) * 0.99)] * 1e3}

    name = f"{profile}, {size} asset{'s' if size > 1 else ''}"
    return Contender(name, "ours", lambda: _wide(assets, days, size, profile), run, figures)


# waves

STAGES: tuple[tuple[str, Any, str], ...] = (
    ("claim", claims, "claim_all"),
    ("look", branches, "_read"),
    ("memory", looking, "memory"),
    ("assemble", branches, "_assembled"),
    ("encode and store", branches, "_store"),
    ("write", prepare._Wave, "_write"),
)


def _wave(name: str, count: int, assets: int, days: int, store: Callable[[], ArtifactStore]) -> Contender:
    spent: Counter[str] = Counter()

    def ready() -> tuple[Box, list[Due]]:
        box = _box(assets, days)
        box = replace(box, store=store())
        _traders(box, count)
        return box, waves.due(box)

    def run(made: tuple[Box, list[Due]]) -> int:
        box, due = made
        with _timed(spent):
            prepared, _ = prepare.prepare(box, due, worker="bench")
        if len(prepared) != len(due):
            raise RuntimeError(f"{len(due) - len(prepared)} of {len(due)} runs were not prepared")
        return count

    def figures(_: Any) -> Mapping[str, float]:
        return {f"{stage} ms": spent[stage] * 1e3 / count for stage, *_ in STAGES}

    return Contender(name, "ours", ready, run, figures)


@contextmanager
def _timed(spent: Counter[str]) -> Iterator[None]:
    """Add up the seconds of each stage; those of the store's threads overlap with the others."""
    real = [(owner, name, getattr(owner, name)) for _, owner, name in STAGES]
    for (stage, owner, name), (*_, work) in zip(STAGES, real, strict=True):
        setattr(
            owner,
            name,
            partial(_clocked, spent, stage, work) if owner is not prepare._Wave else _method(spent, stage, work),
        )
    try:
        yield
    finally:
        for owner, name, work in real:
            setattr(owner, name, work)


def _clocked(spent: Counter[str], stage: str, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    started = time.perf_counter()
    try:
        return work(*args, **kwargs)
    finally:
        spent[stage] += time.perf_counter() - started  # type: ignore[assignment]


def _method(spent: Counter[str], stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args: _clocked(spent, stage, work, self, *args)


def _files() -> FileStore:
    home = tempfile.mkdtemp(prefix="clash-bench-store-")
    store = FileStore(Path(home))
    weakref.finalize(store, shutil.rmtree, home, ignore_errors=True)
    return store


def _box(assets: int, days: int) -> Box:
    """A new home for accounts beside the shared memory, whose assets are listed and quoted."""
    home = tempfile.mkdtemp(prefix="clash-bench-")
    settings = load({"CLASH_HOME": home})
    migrate_all(settings)
    clash = open_clash(settings)
    weakref.finalize(clash, shutil.rmtree, home, ignore_errors=True)
    market = memory(assets, days)
    with market.write() as connection:
        connection.executemany(_LISTED, [(symbol, symbol, symbol) for symbol in symbols(assets)])
        connection.executemany(_QUOTED, [(symbol, AS_OF - AS_OF % 60_000, AS_OF - 900) for symbol in symbols(assets)])
    return Box(settings, SettableClock(AS_OF), clash, market, MemoryStore())


_LISTED = """
    INSERT OR REPLACE INTO hyperliquid_assets
      (symbol, display_name, kind, venue_index, sz_decimals, max_leverage, margin_tiers, is_only_isolated, is_delisted,
       base_token, quote_token, channels, category, subcategory, search_terms, first_seen_at, known_at)
    VALUES (?, ?, 'perp', 0, 2, 20, '[{"lowerBound":"0.0","maxLeverage":20}]', 0, 0, ?, 'USDC',
            '["ohlcv","rsi","bollinger","sma_ema","macd","funding"]', 'crypto_major', 'layer_1', '[]', 0, 0)
"""
_QUOTED = """
    INSERT OR REPLACE INTO hyperliquid_asset_ctxs
      (symbol, t, oracle_px, mark_px, mid_px, impact_bid, impact_ask, day_ntl_volume, known_at)
    VALUES (?, ?, '100', '100', '100', '99.9', '100.1', '50000000', ?)
"""


def _traders(box: Box, count: int) -> list[int]:
    """So many hold clones with a sandbox account each, trading three of the assets in turn; their account ids."""
    opened, now_ms = [], AS_OF - 3_600_000
    with box.market.read() as connection:
        listed = listing.read(connection)
    known = sorted(listed)
    for number in range(count):
        traded = tuple(known[(number * TRADED + place) % len(known)] for place in range(min(TRADED, len(known))))
        clone_id = clones.create(box.clash, f"Clone {number}", engine="hold", now_ms=now_ms)
        graph = simple_graph(traded, prompt=PROMPT)
        clones.save_draft(box.clash, clone_id, graph.wire(), listed, now_ms=now_ms)
        clones.publish(box.clash, clone_id, listed, now_ms=now_ms)
        clones.set_trading(box.clash, clone_id, True, now_ms=now_ms)
        opened.append(
            accounts.open_sandbox(
                box.clash, clone_id, policy.sandbox(box.settings), start_balance_usd=100_000, now_ms=now_ms
            )
        )
    return opened
