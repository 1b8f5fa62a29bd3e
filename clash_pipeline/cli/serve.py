"""`clash serve`: the HTTP API and the pages."""

from typing import Annotated

import typer

from clash_pipeline.cli import check
from clash_pipeline.cli.output import fail, one_line_errors


@one_line_errors
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; the setting CLASH_API_HOST without it.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port; the setting CLASH_API_PORT.")] = None,
) -> None:
    """Serve the API under /api/v1 and the pages, until SIGINT or SIGTERM."""
    import uvicorn

    from clash_pipeline import services
    from clash_pipeline.api import beating
    from clash_pipeline.api.app import create_app
    from clash_pipeline.api.secret import session_secret
    from clash_pipeline.api.server import config

    built = services.build(migrate=True)
    check.require(built)
    given = {name: value for name, value in (("api_host", host), ("api_port", port)) if value is not None}
    settings = built.settings.model_copy(update=given)
    app = create_app(built, session_secret(settings))
    server = uvicorn.Server(config(app, settings))
    typer.echo(f"serving http://{settings.api_host}:{settings.api_port}/ (stop with Ctrl-C)")
    try:
        with beating.beats(built, "api"):
            server.run()
    except KeyboardInterrupt:
        pass
    except SystemExit:
        fail(f"cannot listen on {settings.api_host}:{settings.api_port}: the port is taken or not ours")
    finally:
        built.close()
    if not server.started:
        fail(f"cannot listen on {settings.api_host}:{settings.api_port}: the port is taken or not ours")
