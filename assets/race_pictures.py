"""What a person sees of a race in Dagster: the standings as a table, and the equity of the field as a plot."""

from clash_pipeline.arena import standings
from clash_pipeline.arena.races import Race
from clash_pipeline.market import plots
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import RATE, USD

COLUMNS = ("rank", "clone", "name", "equity, USD", "return, %", "class")
PLOTTED = 8


def of(connection: Connection, race: Race) -> dict[str, str]:
    """The standings, and where there is a path the equity of the leaders, as Markdown by name."""
    found = standings.of(connection, race.id)
    rows = [
        (
            one.rank, one.clone_id, one.name, None if one.equity is None else f"{one.equity / USD:,.2f}",
            None if one.return_rate is None else f"{100 * one.return_rate / RATE:+.2f}", one.standing or one.state,
        )
        for one in found
    ]  # fmt: skip
    pictures = {"standings": plots.table(COLUMNS, rows)}
    paths = standings.paths(connection, race.id)
    lines = [
        (one.name, [(at, equity / USD) for at, equity in paths[one.clone_id]])
        for one in found
        if len(paths.get(one.clone_id, [])) > 1
    ][:PLOTTED]
    return pictures | ({"equity": plots.lines("equity, USD", lines)} if lines else {})
