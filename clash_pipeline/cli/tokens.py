"""`clash tokens …`: tokens of operators and services, each with its scopes."""

from typing import Annotated

import typer

from clash_pipeline.cli.options import AsJson
from clash_pipeline.cli.output import fail, one_line_errors, print_rows

app = typer.Typer(help="Service tokens: who may use the admin and service routes.", no_args_is_help=True)


@app.command()
@one_line_errors
def create(
    name: Annotated[str, typer.Argument(help="What it is for, such as a person or a program.")],
    scope: Annotated[list[str], typer.Option(help="A scope; give it several times for several.")],
    days: Annotated[
        int | None, typer.Option(min=1, max=3_650, help="How many days it lives; for ever without.")
    ] = None,
) -> None:
    """Make a token and print it, once."""
    import secrets

    from clash_pipeline import services
    from clash_pipeline.clock import DAY_MS
    from clash_pipeline.identity import service_tokens

    built = services.build(migrate=True)
    now_ms = built.wall.now_ms()
    try:
        _, text = service_tokens.create(
            built.clash, name, tuple(scope), secret=secrets.token_bytes(service_tokens.SECRET_BYTES),
            actor="operator", now_ms=now_ms, expires_at=None if days is None else now_ms + days * DAY_MS,
        )  # fmt: skip
    except service_tokens.TokenError as error:
        fail(str(error))
    finally:
        built.close()
    typer.echo(text)


@app.command("list")
@one_line_errors
def list_tokens(json: AsJson = False) -> None:
    """Every live token, without its text."""
    from clash_pipeline import services
    from clash_pipeline.clock import iso
    from clash_pipeline.identity import service_tokens

    built = services.build()
    with built.clash.read() as connection:
        found = service_tokens.live(connection, now_ms=built.wall.now_ms())
    built.close()
    print_rows(
        found, "Service tokens", ("name", "scopes", "made", "expires"),
        lambda token: (token.name, ", ".join(token.scopes), iso(token.created_at), _until(token.expires_at)),
        as_json=json,
    )  # fmt: skip


def _until(expires_at: int | None) -> str:
    from clash_pipeline.clock import iso

    return "never" if expires_at is None else iso(expires_at)


@app.command()
@one_line_errors
def revoke(name: Annotated[str, typer.Argument(help="Name of the token.")]) -> None:
    """End a token at once."""
    from clash_pipeline import services
    from clash_pipeline.identity import service_tokens

    built = services.build()
    ended = service_tokens.revoke(built.clash, name, now_ms=built.wall.now_ms())
    built.close()
    if not ended:
        fail(f"there is no live token named {name}")
    typer.echo(f"token {name} is revoked")
