"""No statement is built from text, and text that looks like a statement stays text (A10)."""

import ast
import contextlib
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clash_pipeline.clones import clones, drafts, entitlements, holds, moderation, public_profiles, reports
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.refusals import CloneError
from clash_pipeline.clones.validation import GraphInvalid
from clash_pipeline.identity import service_tokens
from clash_pipeline.market import ingestion, listing, text
from clash_pipeline.market.defillama import wire as llama_wire
from clash_pipeline.market.polymarket import store as gamma_store
from clash_pipeline.market.polymarket import wire as gamma_wire
from clash_pipeline.prop import accounts, admin
from clash_pipeline.storage import heartbeats
from clash_pipeline.storage.sqlite import Connection, IntegrityError, one
from tests.fakes.gamma import raw_event, raw_market
from tests.fakes.llama import raw_turnover
from tests.fakes.world import World

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("clash_pipeline", "assets", "jobs", "sensors", "resources")
SQL = re.compile(
    r"\b(SELECT\s|INSERT (OR \w+ )?INTO\s|UPDATE \w+\s+SET|DELETE FROM\s|PRAGMA\s|ORDER BY\s|ON CONFLICT|JOIN\s)"
    r"|\s(WHERE)\s"
)
BUILDERS = frozenset({"format", "join", "replace", "format_map"})
OWN_TEXT = {
    "clash_pipeline/archive/tables.py": "names of the catalogue's own tables and columns",
    "clash_pipeline/storage/sqlite.py": "our pragmas, which take no parameters",
    "clash_pipeline/storage/migrations.py": "a count, formatted as a number",
}
"""Where statements are put together, of what; nothing in these files comes from outside."""
CHOSEN = {"clash_pipeline/archive/bookkeeping.py": "change + where"}
"""Two constants of one file, put together by a private function."""


def built(source: str) -> Iterator[str]:
    """Statements that are put together at run time: formatted, added, joined, replaced."""
    for node in ast.walk(ast.parse(source)):
        if SQL.search(_constant_text(node)) and _has_other_parts(node):
            yield ast.unparse(node)[:100]


def _constant_text(node: ast.AST) -> str:
    parts: list[ast.AST] = []
    if isinstance(node, ast.JoinedStr):
        parts = list(node.values)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        parts = [node.left, node.right]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in BUILDERS:
        parts = [node.func.value]
    return " ".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _has_other_parts(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(value, ast.FormattedValue) for value in node.values)
    return not (isinstance(node, ast.BinOp) and all(isinstance(side, ast.Constant) for side in (node.left, node.right)))


def executed(source: str) -> Iterator[str]:
    """What is run and is neither a constant nor a name, an attribute, an entry or a choice of such."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and (statement := _statement(node)) is not None and not _is_named(statement):
            yield ast.unparse(statement)[:100]


def _statement(call: ast.Call) -> ast.expr | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in {"execute", "executemany", "read_database"} and call.args:
        return call.args[0]
    return call.args[1] if name == "one" and len(call.args) > 1 else None


def _is_named(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return _is_named(node.body) and _is_named(node.orelse)
    return isinstance(node, ast.Constant | ast.Name | ast.Attribute | ast.Subscript)


def found_in(check: Callable[[str], Iterator[str]]) -> dict[str, list[str]]:
    files = (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
    found = {path.relative_to(ROOT).as_posix(): list(check(path.read_text("utf-8"))) for path in files}
    assert len(found) > 150
    return {name: lines for name, lines in found.items() if lines}


def test_no_statement_is_built_from_text() -> None:
    assert found_in(built).keys() == OWN_TEXT.keys()


def test_what_is_run_has_a_name() -> None:
    found = found_in(executed)
    for name, expression in CHOSEN.items():
        assert found.pop(name) == [expression]
    assert all(re.fullmatch(r"text\(_[A-Z_]+\)", said) for said in found.pop("jobs/dagster_history.py"))
    assert found.keys() <= OWN_TEXT.keys()


@pytest.mark.parametrize(
    "offence",
    [
        "connection.execute(f'SELECT * FROM clones WHERE name = {name!r}')",
        "connection.execute('SELECT * FROM clones WHERE id = ' + str(clone_id))",
        "connection.execute('DELETE FROM clones WHERE id = %s' % clone_id)",
        "connection.execute('SELECT * FROM {} WHERE id = 1'.format(table))",
        "query = f'INSERT INTO {table} VALUES (1)'",
        "connection.execute(f'SELECT 1 ORDER BY {column}')",
    ],
)
def test_control_a_statement_built_from_text_is_found(offence: str) -> None:
    assert list(built(offence)) != []


def test_control_an_expression_that_is_run_is_found() -> None:
    assert list(executed("connection.execute(statement_for(table))")) != []
    assert list(executed("one(connection, head + tail)")) != []
    assert list(executed("connection.execute(A if x else B, (1,))")) == []


# --- texts of people

PAYLOADS = (
    "'; DROP TABLE clones; --", '"; DELETE FROM prop_accounts; --', "x' OR '1'='1", "1; ATTACH 'x' AS y",
    "Robert'); --", "%' UNION SELECT token_hash FROM service_tokens --", "a\x00b", "\u202egnp.exe", "\ufeffBOM", "名前",
    "🦊" * 10, "a\nb\rc\td", "NULL", "?1", ":name", "@x", "$x", "{{7*7}}", "${jndi:ldap://x}",
    "<script>alert(1)</script>", "\ud800", "x'41'", "\\'; --", "/* */", "a" * 5_000, "-- ", "''", "\uff21" * 30,
)  # fmt: skip
REFUSALS = (CloneError, GraphInvalid, ValueError, IntegrityError)
TABLES = ("clones", "prop_accounts", "service_tokens", "clone_profiles", "clone_entitlements", "clone_holds")


def clone_name(world: World, payload: str) -> str:
    clones.rename(world.clash, 1, payload, now_ms=9)
    return column(world, "SELECT name FROM clones WHERE id = 1")


def owner(world: World, payload: str) -> str:
    clone_id = clones.create(world.clash, "Other", engine="hold", now_ms=9, owner=payload)
    return column(world, "SELECT owner FROM clones WHERE id = ?", clone_id)


def prompt(world: World, payload: str) -> str:
    graph = simple_graph(("BTC",)).wire()
    next(node for node in graph["nodes"] if node["type"] == "trading_prompt")["config"]["customBehaviorPrompt"] = (
        payload
    )
    return draft(world, graph, "customBehaviorPrompt")


def node_id(world: World, payload: str) -> str:
    graph = simple_graph(("BTC",)).wire()
    known = graph["nodes"][0]["id"]
    graph["nodes"][0]["id"] = payload
    for edge in graph["edges"]:
        edge.update({end: payload for end in ("source", "target") if edge[end] == known})
    return draft(world, graph, "id")


def draft(world: World, graph: dict[str, object], name: str) -> str:
    with world.market.read() as connection:
        listed = listing.read(connection)
    clones.save_draft(world.clash, 1, graph, listed, now_ms=9)
    with world.clash.read() as connection:
        stored = drafts.of(connection, 1)
        found = clones.draft_graph(connection, 1)
    assert stored is not None
    assert found is not None
    texts = [node["config"].get(name, "") if name != "id" else node["id"] for node in found["nodes"]]
    return max(texts, key=len) if name != "id" else str(found["nodes"][0]["id"])


def public_name(world: World, payload: str) -> str:
    with world.clash.write() as connection:
        return public_profiles.submit(connection, 1, payload, actor="ada", now_ms=9).name


def description(world: World, payload: str) -> str:
    with world.clash.write() as connection:
        return public_profiles.submit(connection, 1, "Tide", description=payload, actor="ada", now_ms=9).description


def report_text(world: World, payload: str) -> str:
    with world.clash.write() as connection:
        made = public_profiles.submit(connection, 1, "Ebb", actor="ada", now_ms=9)
        moderation.approve(connection, made.id, actor="root", now_ms=9)
        return reports.report(connection, 1, category="other", text=payload, reporter="bea", now_ms=9).text


def retirement(world: World, payload: str) -> str:
    with world.clash.write() as connection:
        moderation.retire(connection, 1, actor="root", reason=payload, now_ms=9)
        return str(one(connection, "SELECT reason FROM clone_retirements WHERE clone_id = 1"))


def purchase(world: World, payload: str) -> str:
    with world.clash.write() as connection:
        entitlements.grant(connection, 1, "pro", 1, source="purchase", ref=payload, now_ms=9)
        return str(one(connection, "SELECT ref FROM clone_entitlements"))


def race(world: World, payload: str) -> str:
    with world.clash.write() as connection:
        holds.place(connection, 1, "race", payload, now_ms=9)
        return str(one(connection, "SELECT ref FROM clone_holds"))


def halt_reason(world: World, payload: str) -> str:
    admin.halt(world.clash, actor="op", reason=payload, now_ms=9, account_id=1)
    return column(world, "SELECT reason FROM prop_halts")


def halt_actor(world: World, payload: str) -> str:
    accounts.halt(world.clash, actor=payload, reason="r", now_ms=9, account_id=1)
    return column(world, "SELECT actor FROM prop_halts")


def token_name(world: World, payload: str) -> str:
    service_tokens.create(world.clash, payload, ("admin.read",), secret=b"s" * 32, actor="root", now_ms=9)
    return column(world, "SELECT name FROM service_tokens")


def heartbeat(world: World, payload: str) -> str:
    heartbeats.beat(world.clash, "ingester", instance=payload, now_ms=9, expected_interval_sec=10, version="0.1.0")
    return column(world, "SELECT instance FROM worker_heartbeats")


def rejected_sample(world: World, payload: str) -> str:
    with world.market.write() as connection:
        reason = f"r{zlib.crc32(payload.encode('utf-8', 'replace'))}"
        ingestion.reject(connection, "hyperliquid", "stream", reason, payload, 9)
        return str(one(connection, "SELECT sample FROM ingestion_rejections WHERE reason = ?", (reason,)))


def market_question(world: World, payload: str) -> str:
    return of_gamma(world, raw_event("1", "Bitcoin", raw_market("7", payload)), "question")


def market_outcome(world: World, payload: str) -> str:
    market = raw_market("8", "Will it?", outcomes=json.dumps([payload, "No"]))
    return str(json.loads(of_gamma(world, raw_event("1", "Bitcoin", market), "outcomes"))[0])


def market_slug(world: World, payload: str) -> str:
    return of_gamma(world, raw_event("1", "Bitcoin", raw_market("9", "Will it?", slug=payload)), "slug")


def event_title(world: World, payload: str) -> str:
    of_gamma(world, raw_event("1", payload, raw_market("10", "Will it?")), "question")
    with world.market.read() as connection:
        return str(one(connection, "SELECT title FROM polymarket_events"))


def protocol_slug(world: World, payload: str) -> str:
    decoded, refused = llama_wire.overview({"total24h": 1, "protocols": [raw_turnover("Uniswap", 1.0, slug=payload)]})
    if refused:
        raise ValueError("refused")
    return decoded.protocols[0].slug


FIELDS: tuple[Callable[[World, str], str], ...] = (
    clone_name, owner, prompt, node_id, public_name, description, report_text, retirement, purchase, race, halt_reason,
    halt_actor, heartbeat, token_name, rejected_sample, market_question, market_outcome, market_slug, event_title,
    protocol_slug,
)  # fmt: skip
NARROW = frozenset({node_id, token_name, market_slug, protocol_slug})
"""Fields with an alphabet of their own, which refuse nearly every payload."""


def of_gamma(world: World, event: dict[str, object], name: str) -> str:
    page = gamma_wire.page([event])
    if page.refused:
        raise ValueError("refused")
    with world.market.write() as connection:
        gamma_store.keep(connection, page, source="crawl", now_ms=9)
        row = connection.execute("SELECT * FROM polymarket_markets WHERE market_id = ?", (page.markets[0].market_id,))
        return str(row.fetchone()[name])


def column(world: World, statement: str, *parameters: object) -> str:
    with world.clash.read() as connection:
        return str(one(connection, statement, parameters))


def whole(connection: Connection) -> list[int]:
    assert one(connection, "PRAGMA quick_check") == "ok"
    return [int(one(connection, f"SELECT count(*) FROM {table}")) for table in TABLES]


def as_stored(payload: str) -> set[str]:
    """Literal, or cleaned and cut as every stranger's text is."""
    cleaned = text.clean(payload, max_bytes=20_000)
    lined = re.sub(r"\s+", " ", cleaned).strip()
    replaced = payload.encode("utf-8", "replace").decode()
    return {payload, payload.strip(), cleaned, lined, replaced[: ingestion.SAMPLE_CHARACTERS]}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.__name__)
def test_text_that_looks_like_a_statement_stays_text(world: World, field: Callable[[World, str], str]) -> None:
    world.clone("BTC")
    taken = 0
    for payload in PAYLOADS:
        with world.clash.read() as connection:
            before = whole(connection)
        stored = asked(world, field, payload)
        if stored is not None:
            assert stored in as_stored(payload) or text.clean(payload, max_bytes=20_000).startswith(stored[:40])
            taken += 1
        with world.clash.read() as connection:
            assert whole(connection) == before
    assert (taken < 5) == (field in NARROW), f"{field.__name__} took {taken} payloads"


def asked(world: World, field: Callable[[World, str], str], payload: str) -> str | None:
    """What became of a payload, None where it was refused; undone again, so that each meets the same world."""
    stored = None
    with contextlib.suppress(*REFUSALS, _Undone), world.clash.together():
        stored = field(world, payload)
        raise _Undone
    return stored


class _Undone(Exception):
    pass
