"""One name for each chain: DefiLlama writes them differently in lists, breakdowns and older entries (sources 3.3)."""

import functools
from collections.abc import Iterable
from importlib import resources

import yaml


@functools.cache
def aliases() -> dict[str, str]:
    """Every known spelling, case-folded, with the display name it stands for."""
    file = resources.files("clash_pipeline.market.defillama") / "chains.yaml"
    listed: dict[str, list[str]] = yaml.safe_load(file.read_text("utf-8"))
    return {str(spelling).casefold(): str(name) for name, others in listed.items() for spelling in (name, *others)}


def chain_name(written: str, displayed: Iterable[str] = ()) -> str:
    """The display name of a chain; one that nobody listed is a new chain and keeps its own spelling.

    `displayed` are names of the same answer, for adapter keys that differ from them only in case.
    """
    folded = written.casefold()
    if folded in aliases():
        return aliases()[folded]
    return next((name for name in displayed if name.casefold() == folded), written)
