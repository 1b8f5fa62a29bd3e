"""Durable submissions: gates, order, fill, position, balance and ledger in one transaction with `synchronous=FULL`.

The floor writes as many rows of the same columns in bare tables, one transaction a submission. The peer is freqtrade's
persistence of its dry run, in an environment of its own that the first run of this bench makes: its releases pin
libraries beside which ours cannot be installed. Each contender works for a fixed time.
"""

import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pysqlite3

from bench.harness import Bench, Contender
from clash_pipeline.clock import SettableClock
from clash_pipeline.prop import intake
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.settings import load
from clash_pipeline.storage.files import migrate_all, open_clash, open_market
from tests.fakes import market_rows
from tests.fakes.desk import Desk

NOW, SECONDS, TEN = 1_753_747_203_000, 1.5, 10
FREQTRADE = "freqtrade==2026.9"
ENVIRONMENT = Path(__file__).resolve().parents[1] / ".venv-freqtrade"
HASH, JSON = "0" * 64, '{"action":"open_long","leverage":1,"size_pct":"5","symbol":"C000"}'


class Given(NamedTuple):
    """An account that trades so many assets at once, for some time."""

    desk: Desk
    symbols: tuple[str, ...]
    seconds: float


def benches(quick: bool) -> tuple[Bench, ...]:
    """One action a submission, and ten of one account; in both cases actions are counted."""
    seconds = 0.2 if quick else SECONDS
    return (
        _bench("submission", "Durable submission of one action", 1, seconds, _peer(seconds)),
        _bench("submission of ten", "Durable submission of one account's ten actions", TEN, seconds),
    )


def _bench(name: str, title: str, size: int, seconds: float, *peers: Contender) -> Bench:
    contenders = (
        Contender("bare rows in bare tables", "floor", Tables, partial(bare, size, seconds)),
        Contender("clash submit", "ours", partial(_desk, size, seconds), submitted),
        Contender("clash, account and quotes at hand", "ours", partial(_desk, size, seconds), within),
    )
    return Bench(name, title, "actions", contenders + peers, 3, has_memory=False)


def submitted(given: Given) -> int:
    """The whole way: funding, a look at account and market, gates and rows."""

    def once(proposals: list[Proposal]) -> Any:
        given.desk.run_id += 1
        return given.desk.submit(*proposals)

    return _for_some_time(given, once)


def within(given: Given) -> int:
    """The transaction alone, as a wave makes it: quotes are read once for all accounts."""
    desk = given.desk
    quotes = desk.venue.quotes(given.symbols, NOW)

    def once(proposals: list[Proposal]) -> Any:
        desk.run_id += 1
        with desk.clash.write() as connection:
            return intake.submit_within(connection, desk.account_id, desk.run_id, proposals, quotes, now_ms=NOW)

    return _for_some_time(given, once)


def _for_some_time(given: Given, once: Callable[[list[Proposal]], Any]) -> int:
    """Open and close all of it in turn."""
    until, done = time.perf_counter() + given.seconds, 0
    while time.perf_counter() < until:
        for action in ("open_long", "close"):
            results = once([Proposal(symbol, action, "5", 1) for symbol in given.symbols])
            done += sum(result.status == "filled" for result in results)
    if done % (2 * len(given.symbols)):
        raise RuntimeError(f"an action was refused: {results}")
    return done


def bare(size: int, seconds: float, tables: "Tables") -> int:
    """Action, order, fill, position, ledger group and line for each action, the account once; no look, no gate."""
    connection, until, done = tables.connection, time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        connection.execute("BEGIN IMMEDIATE")
        for number in range(size):
            connection.execute(_ACTION, (1, done, number, "C000", "open_long", JSON, HASH, "filled", JSON, NOW))
            connection.execute(_ORDER, (1, "decision", done, 0, "C000", "buy", 50_000, 3, 1, 1, NOW))
            connection.execute(
                _FILL,
                (done, 1, "C000", "buy", 50_000, 3, 100_000, 3, 10**12, 450_000_000, 45_000, "2025", 50_000_000, 50,
                 "100.0", "mid", NOW, 1_000, JSON, 0, 50_000, 10**12, done, NOW),
            )  # fmt: skip
            connection.execute(
                _POSITION, (1, f"C{number:03}", "perp", 50_000, 3, 3, 10**12, 1, 0, 450_000_000, 0, 1, NOW, 100_000,
                            "venue", NOW, None, None, NOW),
            )  # fmt: skip
            connection.execute(_GROUP, (1, done, "fill", "fill", done, "decision", "open_long", HASH, NOW, HASH, HASH))
            connection.execute(_LINE, (1, done, 0, "fee", "C000", -450_000_000))
            done += 1
        connection.execute(_ACCOUNT, (10**13 - done, done, HASH, HASH, NOW))
        connection.execute("COMMIT")
    return done


def _desk(size: int, seconds: float) -> Given:
    """A fresh account without an hourly limit, beside assets that are listed and quoted."""
    home = tempfile.mkdtemp(prefix="clash-bench-submission-")
    settings = load({"CLASH_HOME": home})
    migrate_all(settings)
    market, clock = open_market(settings), SettableClock(NOW)
    desk = Desk(settings, clock, open_clash(settings), market, PaperVenue(market))
    weakref.finalize(desk, shutil.rmtree, home, ignore_errors=True)
    symbols = tuple(f"C{number:03}" for number in range(size))
    for symbol in symbols:
        market_rows.list_asset(market, symbol, sz_decimals=3, max_leverage=20)
        desk.price(symbol, "100")
    desk.open(max_orders_per_hour=10**9, max_open_positions=TEN)
    return Given(desk, symbols, seconds)


class Tables:
    """The barest tables of the same columns, in a file of their own."""

    def __init__(self) -> None:
        home = tempfile.mkdtemp(prefix="clash-bench-bare-")
        weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
        self.connection = pysqlite3.connect(f"{home}/bare.db", isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.executescript(_BARE)


_BARE = """
CREATE TABLE actions (id INTEGER PRIMARY KEY, account_id, run_id, action_index, symbol, action, payload, payload_hash,
                      status, figures, created_at);
CREATE TABLE orders (id INTEGER PRIMARY KEY, account_id, origin, action_id, leg, symbol, side, size, sz_decimals,
                     leverage, is_opening, created_at);
CREATE TABLE fills (id INTEGER PRIMARY KEY, order_id, account_id, symbol, side, size, sz_decimals, price, px_decimals,
                    notional, fee, fee_rate, fee_schedule, slippage, slippage_rate, reference_price, price_source,
                    price_at, price_age_ms, inputs, realized, size_after, cost_after, ledger_seq, filled_at);
CREATE TABLE positions (account_id, symbol, kind, size, sz_decimals, px_decimals, cost, leverage, realized, fees,
                        funding, fills, opened_at, mark, mark_source, mark_at, stop, target, updated_at,
                        PRIMARY KEY (account_id, symbol));
CREATE TABLE ledger_groups (account_id, seq, kind, ref_type, ref_id, actor, reason, ref_hash, known_at, prev_hash, hash,
                            PRIMARY KEY (account_id, seq));
CREATE TABLE ledger (account_id, seq, line, kind, symbol, amount, PRIMARY KEY (account_id, seq, line));
CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance, ledger_seq, ledger_hash, positions_hash, updated_at);
INSERT INTO accounts VALUES (1, 0, 0, '', '', 0);
"""
_ACTION = "INSERT INTO actions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ORDER = "INSERT INTO orders VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FILL = "INSERT INTO fills VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_POSITION = "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_GROUP = "INSERT INTO ledger_groups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LINE = "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?)"
_ACCOUNT = "UPDATE accounts SET balance = ?, ledger_seq = ?, ledger_hash = ?, positions_hash = ?, updated_at = ?"


# the peer


def _peer(seconds: float) -> Contender:
    def run(bot: Any) -> int:
        bot.stdin.write(f"{seconds}\n")
        bot.stdin.flush()
        return int(bot.stdout.readline())

    return Contender("freqtrade's dry-run persistence", "peer", _bot, run)


@cache
def _bot() -> Any:
    """The peer in its own interpreter; it ends when this process does.

    Raises:
        ImportError: it could not be installed.
    """
    python = ENVIRONMENT / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)  # noqa: S603
        if subprocess.run([python, "-c", "import freqtrade"], capture_output=True).returncode:  # noqa: S603
            subprocess.run([python, "-m", "pip", "install", "-qq", FREQTRADE], check=True, timeout=900)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise ImportError(str(error), name=FREQTRADE) from error
    home = tempfile.mkdtemp(prefix="clash-bench-freqtrade-")
    bot = subprocess.Popen(  # noqa: S603
        [python, str(Path(__file__).with_name("freqtrade_peer.py")), f"{home}/trades.sqlite"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    weakref.finalize(bot, shutil.rmtree, home, ignore_errors=True)
    if bot.stdout is None or bot.stdout.readline().strip() != "ready":
        raise ImportError("it did not start", name=FREQTRADE)
    return bot
