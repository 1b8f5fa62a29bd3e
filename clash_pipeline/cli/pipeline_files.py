"""What `clash pipeline …` reads: a graph from a file or standard input, and the registry its symbols are checked by."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clash_pipeline.cli.output import fail

if TYPE_CHECKING:
    from clash_pipeline.market.hyperliquid.registry import Asset
    from clash_pipeline.market.listing import Listed, Listing

REGISTRY_BYTES = 8_000_000


def content_of(name: str) -> Any:
    """The plain JSON of a graph in a file, `-` for standard input; what cannot be read at all ends the command."""
    from clash_pipeline.clones import reading
    from clash_pipeline.clones.problems import GraphUnreadable

    content = _stdin(reading.GRAPH_BYTES) if name == "-" else _content(Path(name), reading.GRAPH_BYTES)
    try:
        return reading.decode(content)
    except GraphUnreadable as error:
        fail(f"{shown_name(name)}: {error.problems[0].message}")


def listing_of(registry: Sequence[Path], *, may_be_empty: bool = False) -> "Listing":
    """The registry of the market memory, or of files with the venue's own answers; an empty one ends the command."""
    listing = _from_files(registry) if registry else _from_memory()
    if not listing and not may_be_empty:
        fail(
            "the market memory knows no asset yet, so symbols cannot be checked: run `clash ingest` first, "
            "or give the venue's answers with --registry"
        )
    return listing


def shown_name(name: str) -> str:
    """How a message calls the file."""
    return "standard input" if name == "-" else name


def _from_memory() -> "Listing":
    from clash_pipeline import services
    from clash_pipeline.market import listing

    built = services.build()
    try:
        with built.market.read() as connection:
            return listing.read(connection)
    finally:
        built.close()


def _from_files(files: Sequence[Path]) -> "Listing":
    from clash_pipeline.market.hyperliquid import answers, registry

    perps, spots = answers.PerpMeta([], {}), answers.SpotMeta([], {})
    for file in files:
        content = _content(file, REGISTRY_BYTES)
        try:
            if b'"tokens"' in content:
                spots = answers.decode_spot_meta(content)
            else:
                perps = answers.decode_meta(content)
        except ValueError as error:
            fail(f"{file} is no answer of Hyperliquid to meta or spotMeta: {error}")
    return {asset.symbol: _listed(asset) for asset in registry.from_wire(perps, spots)}


def _listed(asset: "Asset") -> "Listed":
    from clash_pipeline.market.listing import Listed, Tier

    return Listed(
        symbol=asset.symbol,
        kind=asset.kind,
        sz_decimals=asset.sz_decimals,
        max_leverage=asset.max_leverage,
        tiers=(Tier(0, asset.max_leverage),),
        is_delisted=asset.is_delisted,
        channels=frozenset(asset.channels),
        category=asset.category,
        subcategory=asset.subcategory,
        display_name=asset.display_name,
    )


def _content(path: Path, most: int) -> bytes:
    """A file's bytes, one more than allowed at most."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        fail(f"{path}: {error.strerror}")


def _stdin(most: int) -> bytes:
    return sys.stdin.buffer.read(most + 1)
