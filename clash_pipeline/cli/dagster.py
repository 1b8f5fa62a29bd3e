"""`clash dagster …`, and the home that Dagster's own, disposable history lives in.

Dagster itself is never imported here: the domain knows nothing of it, and a child process sets its storage up.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from clash_pipeline.settings import PREFIX, Settings, usable_home

MODULE = "clash_pipeline.definitions"
MODULE_VARIABLE = "DAGSTER_MODULE_NAME"
TARGETS = ("-w", "--workspace", "-f", "--python-file", "-m", "--module-name", "--package-name", "--grpc-port")
"""Options that say which code to load; beside one of them the exported module name is an error."""

MAX_CONCURRENT_RUNS = 3
R2_CHECKSUMS = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
"""R2 refuses the checksum trailers of newer clients, and dagster-aws has no field for them."""
INITIALISE = (
    "import dagster as dg\n"
    "with dg.DagsterInstance.get() as instance:\n"
    "    instance.upgrade()\n"
    "    instance.get_runs(limit=1)\n"
    "    instance.all_instigator_state()\n"
)
"""Run by a process of its own."""


def dagster(context: typer.Context) -> None:
    """Run a Dagster command with this system's home and settings: clash dagster job execute -j decide_clone."""
    from clash_pipeline.settings import load

    settings = load()
    write_dagster_home(settings)
    given = {**os.environ, **environment(settings)}
    words, given = dagster_command(context.args, given, local_workspace(settings))
    os.execve(sys.executable, [sys.executable, "-m", "dagster", *words], given)  # noqa: S606  # no shell


def ui(
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port on 127.0.0.1.")] = None,
) -> None:
    """Show Dagster's pages of this home without its daemon: nothing is scheduled, triggered or decided."""
    from clash_pipeline.settings import load

    settings = load()
    write_dagster_home(settings)
    server = str(Path(sys.executable).parent / "dagster-webserver")
    words = ["-h", "127.0.0.1", "-p", str(port or settings.dagster_port), "-w", str(local_workspace(settings))]
    given = {**os.environ, **environment(settings)}
    del given[MODULE_VARIABLE]
    os.execve(server, [server, *words], given)  # noqa: S606  # no shell


def dagster_command(
    words: Sequence[str], given: Mapping[str, str], workspace: Path
) -> tuple[list[str], dict[str, str]]:
    """The words and the environment that Dagster gets.

    `dagster dev` hands its children a workspace file, which the exported module name makes them refuse, and they end
    without a word; so there our workspace goes along as an option.
    """
    names_a_target = any(word.partition("=")[0] in TARGETS for word in words)
    if words[:1] == ["dev"] and not names_a_target:
        words, names_a_target = [*words, "-w", str(workspace)], True
    return list(words), {k: v for k, v in given.items() if not (names_a_target and k == MODULE_VARIABLE)}


def local_workspace(settings: Settings) -> Path:
    """The one code location under the name it has everywhere, so that its history goes on from any folder."""
    path = settings.dagster_home / "local.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, f"load_from:\n  - python_module: {{module_name: {MODULE}, location_name: clash}}\n")
    return path


def environment(settings: Settings) -> dict[str, str]:
    """What a shell needs to run Dagster on these settings; secrets are left where they came from."""
    return {
        "DAGSTER_HOME": str(settings.dagster_home),
        MODULE_VARIABLE: MODULE,
        f"{PREFIX}HOME": str(settings.home),
        **{f"{PREFIX}{name.upper()}": str(value) for name, value in _changed(settings).items()},
        **(R2_CHECKSUMS if settings.dagster_compute_logs == "store" else {}),
    }


def write_dagster_home(settings: Settings) -> Path:
    """Make Dagster's home ready, alone: two first starts at once would corrupt it for good. Cheap when it is ready."""
    home = settings.dagster_home
    stamp = home / ".initialised"
    with usable_home(settings), _alone(home):
        _replace(home / "dagster.yaml", _instance_yaml(settings))
        if not stamp.exists() or stamp.read_text() != version("dagster"):
            _initialise(home)
            _replace(stamp, version("dagster"))
    return home


def instance_configuration(settings: Settings) -> dict[str, Any]:
    """The contents of dagster.yaml: a queue with one run at a time of each cadence, no telemetry."""
    one_of_each = {"key": "clash/one_at_a_time", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    return {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"dequeue_interval_seconds": 1},
        },
        "concurrency": {
            "runs": {"max_concurrent_runs": MAX_CONCURRENT_RUNS, "tag_concurrency_limits": [one_of_each]},
            "pools": {"default_limit": 1, "granularity": "op"},
        },
        "compute_logs": _compute_logs(settings),
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": 180,
            "max_runtime_seconds": 1_800,
            "poll_interval_seconds": 30,
        },
        "run_retries": {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False},
        "retention": {
            "schedule": {"purge_after_days": settings.dagster_history_days},
            "sensor": {"purge_after_days": {"skipped": 1, **dict.fromkeys(("failure", "success", "started"), 14)}},
        },
        "sensors": {"use_threads": True, "num_workers": 4, "num_submit_workers": 4},
        "schedules": {"use_threads": True, "num_workers": 2},
        "code_servers": {"local_startup_timeout": 120},
    }


# the parts of the configuration


def _compute_logs(settings: Settings) -> dict[str, Any]:
    """Where the output of a run goes: nowhere (it costs a process a run), or beside the archive through dagster-aws."""
    if settings.dagster_compute_logs == "none":
        return {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    if settings.dagster_compute_logs == "local" or settings.store != "s3":
        return {
            "module": "dagster._core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": str(settings.dagster_home / "logs")},
        }
    endpoint = {"endpoint_url": str(settings.store_endpoint_url)} if settings.store_endpoint_url else {}
    return {
        "module": "dagster_aws.s3.compute_log_manager",
        "class": "S3ComputeLogManager",
        "config": {
            "bucket": settings.store_bucket,
            "prefix": "/".join(filter(None, (settings.store_prefix.strip("/"), "dagster"))),
            "region": settings.store_region,
            "skip_empty_files": True,
            **endpoint,
        },
    }


def _instance_yaml(settings: Settings) -> str:
    import yaml

    return yaml.safe_dump(instance_configuration(settings), sort_keys=False)


def _changed(settings: Settings) -> dict[str, object]:
    fields = type(settings).model_fields
    values = {name: getattr(settings, name) for name in fields if name != "home"}
    return {
        name: value
        for name, value in values.items()
        if value != fields[name].default and value is not None and not isinstance(value, SecretStr)
    }


# setting up


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    home.mkdir(exist_ok=True)
    with (home / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _initialise(home: Path) -> None:
    done = subprocess.run(  # noqa: S603  # our own text
        [sys.executable, "-c", INITIALISE],
        env={**os.environ, "DAGSTER_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        typer.secho(f"clash: Dagster could not set up {home}: {reason}", err=True)
        raise typer.Exit(3)


def _replace(path: Path, text: str) -> None:
    """Write in one step, and only when something changed."""
    if path.exists() and path.read_text("utf-8") == text:
        return
    new = path.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.replace(path)
