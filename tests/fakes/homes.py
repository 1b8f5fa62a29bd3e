"""Homes that are filled once and copied for everybody who wants one of their own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from clash_pipeline.services import Services
from clash_pipeline.settings import Settings, load


class Filled(Protocol):
    """What has filled a home."""

    services: Services


def copies(
    migrated: Path, fill: Callable[[Settings], Filled], folders: pytest.TempPathFactory
) -> Callable[[], Settings]:
    """Fill a home; each call of what is returned gives the settings of a new copy of it."""
    filled = folders.mktemp("filled") / "home"
    shutil.copytree(migrated, filled)
    fill(load({"CLASH_HOME": str(filled)})).services.close()

    def copied() -> Settings:
        home = folders.mktemp("copy") / "home"
        shutil.copytree(filled, home)
        return load({"CLASH_HOME": str(home)})

    return copied
