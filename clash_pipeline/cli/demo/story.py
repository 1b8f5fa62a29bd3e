"""The demo's story: what it holds in its hands, what has happened in it so far, and how it tells it."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from clash_pipeline.cli.demo.people import Person
from clash_pipeline.cli.output import fail

if TYPE_CHECKING:
    from clash_pipeline.cli.dagster_web import DagsterWeb
    from clash_pipeline.economy.chain.confirming import Parts as ChainParts
    from clash_pipeline.replay.driver import Driver
    from clash_pipeline.services import Services
    from clash_pipeline.settings import Settings

EXAMPLES = Path(__file__).resolve().parents[3] / "doc" / "examples"


@dataclass
class Play:
    """What happened, for the report."""

    clones: dict[int, str] = field(default_factory=dict)
    creators: dict[int, Person] = field(default_factory=dict)
    """By clone."""
    wallets: dict[str, Person] = field(default_factory=dict)
    """By address."""
    fees: list[int] = field(default_factory=list)
    tickets: list[int] = field(default_factory=list)
    race_id: int | None = None
    retires: int | None = None
    awaits_chain: bool = False
    is_over: bool = False


@dataclass
class Story:
    """What the demo holds in its hands, and what it wants to tell at the end."""

    settings: "Settings"
    services: "Services"
    driver: "Driver"
    dagster: "DagsterWeb"
    chain: "ChainParts"
    play: Play
    started: float
    secrets: Mapping[str, str]
    is_dagsters: bool = False
    """Whether the waves are left to Dagster's sensors by now."""
    faults: list[str] = field(default_factory=list)
    waves: list[tuple[str, int]] = field(default_factory=list)
    backfills: list[tuple[str, str]] = field(default_factory=list)


def run(story: Story, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours on the demo's home."""
    from clash_pipeline.cli.up import child_environment

    command = [sys.executable, "-m", "clash_pipeline.cli.main", *words]
    environment = {**child_environment(story.settings), **story.secrets}
    return subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603  # our own command line


def example(name: str) -> Path:
    """The graph of an example strategy; the demo runs from a checkout, where they are."""
    graph = EXAMPLES / name / "graph.json"
    if not graph.is_file():
        fail(f"{graph} is missing: the demo trades by the example graphs of a checkout, not of an installed package")
    return graph


def say(subject: str, text: str) -> None:
    """One line of progress."""
    typer.echo(f"{typer.style(subject.ljust(9), fg=typer.colors.CYAN)}{text}")


def ether(wei: int) -> str:
    """An amount for people, exact."""
    whole, rest = divmod(wei, 10**18)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".") + " ETH"
