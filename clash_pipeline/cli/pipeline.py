"""`clash pipeline …`: the pipeline graph as a file: its schema, whether it is valid, what the compiler makes of it."""

import typer

from clash_pipeline.cli import pipeline_latest
from clash_pipeline.cli.output import one_line_errors, print_json

app = typer.Typer(help="Pipeline graphs: schema, validation, what they compile to.", no_args_is_help=True)
app.command("latest")(pipeline_latest.latest)


@app.command()
@one_line_errors
def schema() -> None:
    """The JSON Schema (draft 2020-12) of a pipeline graph, for editors and frontends."""
    from clash_pipeline.clones.graph import Graph

    print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **Graph.model_json_schema()})
