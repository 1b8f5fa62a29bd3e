"""`clash up`: ingester, API, Dagster's code server, daemon and web page, supervised together until Ctrl-C."""

import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from clash_pipeline.cli import check
from clash_pipeline.cli.output import Exit, fail
from clash_pipeline.cli.supervise import Child, Supervisor

if TYPE_CHECKING:
    from clash_pipeline.settings import Settings

LEASE = "supervisor"
LOOK_EVERY_SEC = 1.0


def up() -> None:
    """Start ingester, API, Dagster daemon and web page against the configured venues, and keep them running."""
    from clash_pipeline.services import build
    from clash_pipeline.storage.errors import LeaseLost
    from clash_pipeline.storage.leases import acquire, release, this_process

    services = build(migrate=True)
    settings = services.settings
    require_free_ports(settings)
    check.require(services)
    holder = this_process()
    ttl_ms = settings.lease_ttl_sec * 1000
    try:
        lease = acquire(services.clash, LEASE, holder, now_ms=services.wall.now_ms(), ttl_ms=ttl_ms)
    except LeaseLost as error:
        fail(f"already running: {error}", Exit.UNAVAILABLE)
    try:
        with Supervisor(children(settings), typer.echo) as supervisor:
            typer.echo(f"data in {settings.home}; pages and API: http://{settings.api_host}:{settings.api_port}")
            typer.echo(f"Dagster UI: http://127.0.0.1:{settings.dagster_port} (Ctrl-C stops)")
            while True:
                supervisor.look()
                if lease.until_ms - services.wall.now_ms() < ttl_ms * 2 // 3:
                    lease = acquire(services.clash, LEASE, holder, now_ms=services.wall.now_ms(), ttl_ms=ttl_ms)
                time.sleep(LOOK_EVERY_SEC)
    except KeyboardInterrupt:
        typer.echo("stopped")
    finally:
        release(services.clash, lease)
        services.close()


def children(settings: "Settings") -> list[Child]:
    """Everything that runs in production, in the order of its start."""
    watching = [economy(settings)] if settings.chain_endpoints else []
    return [ingester(settings), api(settings), *watching, *dagster_children(settings)]


def ingester(settings: "Settings") -> Child:
    """The one process that writes live candles."""
    return _child(settings, "ingester", [sys.executable, "-m", "clash_pipeline.cli.main", "ingest"])


def api(settings: "Settings") -> Child:
    """The HTTP API and the pages."""
    return _child(settings, "api", [sys.executable, "-m", "clash_pipeline.cli.main", "serve"])


def economy(settings: "Settings") -> Child:
    """The watcher of the chain that deposits come from."""
    return _child(settings, "economy", [sys.executable, "-m", "clash_pipeline.cli.main", "worker", "economy"])


def dagster_children(settings: "Settings") -> list[Child]:
    """Code server, daemon and web server on one workspace file; creates the Dagster home first, alone."""
    from clash_pipeline.cli.dagster import write_dagster_home

    write_dagster_home(settings)
    workspace = settings.dagster_home / "workspace.yaml"
    port = settings.dagster_grpc_port
    workspace.write_text(
        f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: clash}}\n", "utf-8"
    )
    folder = Path(sys.executable).parent
    serve = [folder / "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", port, "-m", "clash_pipeline.definitions"]
    web = [folder / "dagster-webserver", "-h", "127.0.0.1", "-p", settings.dagster_port, "-w", workspace]
    return [
        _child(settings, "code-server", [str(part) for part in serve]),
        _child(settings, "daemon", [str(folder / "dagster-daemon"), "run", "-w", str(workspace)]),
        _child(settings, "webserver", [str(part) for part in web]),
    ]


def require_free_ports(settings: "Settings") -> None:
    """Stop with one line when a port of ours is taken."""
    for name in ("api_port", "dagster_port", "dagster_grpc_port"):
        port = getattr(settings, name)
        if not is_free(port):
            fail(f"port {port} is in use; set CLASH_{name.upper()} to another one", Exit.UNAVAILABLE)


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def child_environment(settings: "Settings") -> Mapping[str, str]:
    """Our environment and settings, without the module name: it and a workspace file exclude each other."""
    from clash_pipeline.cli.dagster import environment

    merged = {**os.environ, **environment(settings)}
    return {
        key: value for key, value in merged.items() if key not in {"DAGSTER_MODULE_NAME", "PYTHONDONTWRITEBYTECODE"}
    }


def _child(settings: "Settings", name: str, command: Sequence[str]) -> Child:
    return Child(name, command, child_environment(settings), settings.home / "logs" / f"{name}.log")
