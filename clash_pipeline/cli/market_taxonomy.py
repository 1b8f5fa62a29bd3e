"""`clash market taxonomy`: how many assets stand where, and which no person has placed."""

from typing import TYPE_CHECKING, Annotated

import typer

from clash_pipeline.cli.output import fail, one_line_errors, print_json, table

if TYPE_CHECKING:
    from clash_pipeline.market.hyperliquid.placing import Group, Placing

EXAMPLES = 6
REASONS = {"uncategorised": "nobody has placed it", "by_rule": "spot token that nobody has placed, put there by rule"}


@one_line_errors
def taxonomy(
    uncategorised: Annotated[
        bool, typer.Option("--uncategorised", help="Only what no person has placed, with the reason.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")] = False,
) -> None:
    """Count the listed assets by category and subcategory, and list those that no person has placed.

    Places are edited in clash_pipeline/market/taxonomy.yaml; the next refresh of the registry takes them over.
    """
    found = _placing()
    if as_json:
        print_json(found.unplaced if uncategorised else found)
        return
    if not uncategorised:
        rows = [
            (group.category, group.title, group.subcategory, group.perps or None, group.spot or None, _names(group))
            for group in found.groups
        ]
        columns = ("category", "title", "subcategory", "perps>", "spot>", "assets")
        table(f"{found.assets} assets in {len(found.groups)} subcategories", columns, rows)
    waiting = [(each.symbol, each.token, each.kind, REASONS[each.reason]) for each in found.unplaced]
    title = f"{len(waiting)} assets that no person has placed" if waiting else "every asset was placed by a person"
    table(title, ("symbol", "token", "kind", "why"), waiting)


def _placing() -> "Placing":
    from clash_pipeline import services
    from clash_pipeline.market.hyperliquid import placing, registry

    with services.build().market.read() as connection:
        listed = registry.assets(connection)
    if not listed:
        fail("the market memory knows no assets yet: clash ingest fetches the registry first")
    return placing.placing(listed)


def _names(group: "Group") -> str:
    """The first few assets of a group."""
    from rich.markup import escape

    more = f" and {len(group.symbols) - EXAMPLES} more" if len(group.symbols) > EXAMPLES else ""
    return escape(", ".join(group.symbols[:EXAMPLES]) + more)
