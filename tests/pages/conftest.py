"""A showroom for everybody who only looks, and one of their own for those who change something."""

import shutil
from pathlib import Path

import pytest

from clash_pipeline.settings import Settings
from clash_pipeline.settings import load as load_settings
from tests.fakes.person import Person
from tests.fakes.showroom import Showroom

GENEROUS = {
    "api_challenges_per_minute": 10_000, "api_verifies_per_minute": 10_000, "api_reads_per_minute": 100_000,
    "api_writes_per_minute": 100_000,
}  # fmt: skip


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, migrated_home: Path) -> Showroom:
    """The one that all others are copies of; its databases are closed."""
    home = tmp_path_factory.mktemp("filled") / "home"
    shutil.copytree(migrated_home, home)
    made = Showroom(_settings(home))
    made.services.close()
    return made


def copy_of(filled: Showroom, folder: Path) -> Showroom:
    """A showroom of its own below a folder."""
    home = folder / "room"
    shutil.copytree(filled.settings.home, home)
    return Showroom(_settings(home), filled)


def _settings(home: Path) -> Settings:
    return load_settings({"CLASH_HOME": str(home)}).model_copy(update=GENEROUS)


@pytest.fixture(scope="package")
def shown(tmp_path_factory: pytest.TempPathFactory, filled: Showroom) -> Showroom:
    """A showroom that nobody changes."""
    return copy_of(filled, tmp_path_factory.mktemp("shown"))


@pytest.fixture
def room(tmp_path: Path, filled: Showroom) -> Showroom:
    """A showroom of this test's own."""
    return copy_of(filled, tmp_path)


@pytest.fixture(scope="package")
def operator(shown: Showroom) -> Person:
    """An operator with every scope, signed in to the shared showroom."""
    person = Person(shown.api.app)
    assert person.sign_in_as_operator(shown.token(name="looks")).status_code == 303
    return person


@pytest.fixture(scope="package")
def owner(shown: Showroom) -> Person:
    """The owner of the first clone, signed in."""
    person = Person(shown.api.app)
    assert person.sign_in(shown.owner).status_code == 303
    return person


@pytest.fixture
def anybody(shown: Showroom) -> Person:
    """Somebody who is not signed in."""
    return Person(shown.api.app)
