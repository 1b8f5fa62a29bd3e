"""`clash env`, `clash migrate` and `clash workers`: what this shell would run with, and who is at work."""

import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from clash_pipeline.cli.output import Exit, print_json, table

STATUS_COLUMNS = ("worker", "status", "age s>", "cycles>", "last error", "version", "host", "pid>")


def env(
    explain: Annotated[bool, typer.Option("--explain", help="List every setting with its value and meaning.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON (secrets hidden).")] = False,
) -> None:
    """Print the exports a shell needs: eval "$(clash env)"."""
    from clash_pipeline.cli.dagster import environment, write_dagster_home
    from clash_pipeline.settings import PREFIX, Settings, load

    settings = load()
    if as_json:
        print_json(settings.model_dump(mode="json"))
    elif explain:
        fields = Settings.model_fields.items()
        rows = [(f"{PREFIX}{name.upper()}", getattr(settings, name), field.description) for name, field in fields]
        table("Settings", ("variable", "value", "meaning"), rows)
    else:
        write_dagster_home(settings)
        for key, value in environment(settings).items():
            typer.echo(f"export {key}={shlex.quote(value)}")


def migrate() -> None:
    """Create the databases, or bring them to the schema of this code."""
    from clash_pipeline.settings import load, usable_home
    from clash_pipeline.storage.files import migrate_all

    settings = load()
    with usable_home(settings):
        migrated = migrate_all(settings)
    for file, applied in migrated.items():
        typer.echo(f"{file}.db: {', '.join(applied) if applied else 'up to date'}")
    typer.echo(f"in {settings.home}")


def workers(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Who is at work: the newest heartbeat of each worker; exit 1 when one is late or stale."""
    from clash_pipeline.services import build
    from clash_pipeline.storage.heartbeats import workers as heartbeats

    services = build()
    now_ms = services.wall.now_ms()
    found = [(beat, beat.status(now_ms)) for beat in heartbeats(services.clash)]
    if as_json:
        print_json([{**asdict(beat), "status": status} for beat, status in found])
    else:
        rows = [
            (b.worker, status, (now_ms - b.last_beat_at) // 1000, b.cycles, b.last_error, b.version, b.host, b.pid)
            for b, status in found
        ]
        table("Workers", STATUS_COLUMNS, rows)
    if any(status in {"late", "stale"} for _, status in found):
        raise typer.Exit(Exit.UNHEALTHY)
