"""What prepare knows before it assembles a packet, for one asset of a world: run, memory and facts, to be varied."""

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from clash_pipeline.clones import clones
from clash_pipeline.decisions import candidates, looking, packet, prompt
from clash_pipeline.decisions.account_state import Facts
from clash_pipeline.decisions.packet import Packet, Run
from clash_pipeline.decisions.prompt import Prompt
from clash_pipeline.decisions.runs import Claim
from clash_pipeline.decisions.thinning import fitted
from clash_pipeline.market import retrieval
from clash_pipeline.market.read_plan import ReadEntry
from clash_pipeline.market.retrieval import Found
from tests.fakes.world import World


@dataclass(frozen=True)
class Briefing:
    """The three ingredients of a packet."""

    run: Run
    found: Found
    facts: Facts

    def packet(self, limit_tokens: int = 24_000) -> Packet:
        """The packet that they make."""
        return fitted(packet.assemble(self.run, self.found, self.facts), limit_tokens)

    def prompt(self, limit_tokens: int = 24_000) -> Prompt:
        """The prompt of that packet."""
        return prompt.assemble(self.packet(limit_tokens))

    def told(self, custom: str) -> "Briefing":
        """The same with another custom prompt."""
        asset = msgspec.structs.replace(self.run.asset, prompt=custom)
        return replace(self, run=replace(self.run, asset=asset))

    def named(self, name: str) -> "Briefing":
        """The same of a clone with another private name."""
        return replace(self, run=replace(self.run, clone=replace(self.run.clone, name=name)))

    def reading(self, *sections: retrieval.Section) -> "Briefing":
        """The same with other reads."""
        return replace(self, found=Found(self.found.symbol, self.found.as_of, sections))


def briefing(world: World, account_id: int, symbol: str = "BTC") -> Briefing:
    """The ingredients of one asset of the account's clone, now."""
    now_ms = world.clock.now_ms()
    with world.clash.read() as connection:
        clone_id = looking.intake.look(connection, account_id, now_ms=now_ms).account.clone_id
        seen = looking.look(connection, account_id, clone_id, now_ms)
        version = clones.active_version(connection, clone_id)
    assert version is not None
    branch = version.compiled.branches[0]
    quotes = looking.quotes(world, version.compiled.symbols, now_ms)
    facts = looking.facts(seen, quotes, now_ms)
    choices = tuple(candidates.choose(branch, facts.book, quotes, now_ms))
    asset = next(asset for asset in branch.assets if asset.symbol == symbol)
    claim = Claim(1, 1, account_id, clone_id, version.id, branch.id, symbol, now_ms, "due", branch.cadence_sec, "model")
    with world.market.read() as connection:
        found = retrieval.retrieve(connection, [asset.plan], now_ms)[symbol]
    return Briefing(Run(claim, seen.clone, version, branch, asset, choices), found, facts)


def market_read(columns: tuple[str, ...], *rows: tuple[Any, ...], **entry: Any) -> retrieval.Section:
    """A read of Polymarket rows that were sampled a minute ago."""
    named: dict[str, Any] = {
        "symbol": "BTC", "context_symbol": "BTC", "source": "polymarket", "channel": "immediate",
        "lookback_sec": 3_600, "granularity_sec": 0, "points": 100, "inclusion": "auto",
    }  # fmt: skip
    newest = max((row[0] for row in rows), default=None)
    return retrieval.Section(
        ReadEntry(**named | entry), ("t", *columns), rows, newest, None if newest is None else 60_000, None, len(rows)
    )


def texts_in(value: Any) -> list[str]:
    """Every text in a plain JSON value, keys of objects included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.items() for text in texts_in(list(item))]
    return [text for item in value for text in texts_in(item)] if isinstance(value, list) else []
