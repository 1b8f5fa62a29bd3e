"""The two files: made by `migrate`, refused where they are absent, empty, foreign or of another time."""

from pathlib import Path

import pytest

from clash_pipeline.settings import Settings, load
from clash_pipeline.storage import files, migrations
from clash_pipeline.storage.errors import StorageRefused
from clash_pipeline.storage.files import migrate_all, open_clash, open_market
from clash_pipeline.storage.sqlite import Database, one

OPENERS = [open_clash, open_market]


@pytest.fixture
def unmigrated(tmp_path: Path) -> Settings:
    """Settings of a home that does not exist yet."""
    return load({"CLASH_HOME": str(tmp_path / "new" / "home")})


def path_of(settings: Settings, opener: object) -> Path:
    return settings.clash_db if opener is open_clash else settings.market_db


def test_migrating_makes_both_files_and_is_idempotent(unmigrated: Settings) -> None:
    applied = migrate_all(unmigrated)
    assert applied == {schema: migrations.names(schema) for schema in ("clash", "market")}
    assert migrate_all(unmigrated) == {"clash": [], "market": []}


def test_money_is_synced_at_every_commit_and_candles_are_not(settings: Settings) -> None:
    for opener, level, application in ((open_clash, 2, 0x434C4153), (open_market, 1, 0x434C414D)):
        database = opener(settings)
        with database.read() as connection:
            assert one(connection, "PRAGMA synchronous") == level
            assert one(connection, "PRAGMA application_id") == application
        database.close()


@pytest.mark.parametrize("opener", OPENERS)
def test_an_absent_file_is_refused_and_not_created(unmigrated: Settings, opener) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StorageRefused, match=r"there is no .*\.db; run `clash migrate`"):
        opener(unmigrated)
    assert not unmigrated.home.exists()


@pytest.mark.parametrize("opener", OPENERS)
def test_an_empty_file_is_a_lost_one(settings: Settings, opener) -> None:  # type: ignore[no-untyped-def]
    path_of(settings, opener).write_bytes(b"")
    for act in (opener, migrate_all):
        with pytest.raises(StorageRefused, match=r"is empty \(0 bytes\): restore it from a backup"):
            act(settings)
    assert path_of(settings, opener).stat().st_size == 0


def test_the_two_files_cannot_be_mistaken_for_each_other(settings: Settings) -> None:
    content = settings.market_db.read_bytes()
    settings.market_db.write_bytes(settings.clash_db.read_bytes())
    settings.clash_db.write_bytes(content)
    for opener in OPENERS:
        with pytest.raises(StorageRefused, match="belongs to another application"):
            opener(settings)


@pytest.mark.parametrize("opener", OPENERS)
def test_older_and_newer_schemas_are_refused(settings: Settings, opener) -> None:  # type: ignore[no-untyped-def]
    database: Database = opener(settings)
    current = migrations.version(database)
    for version, said in ((current - 1, "run `clash migrate`"), (current + 1, "update the code")):
        with database.write() as connection:
            connection.execute(f"PRAGMA user_version={version}")
        with pytest.raises(StorageRefused, match=said):
            opener(settings)
    database.close()


def test_the_files_carry_ids_of_their_own() -> None:
    assert files.CLASH_APPLICATION_ID.to_bytes(4, "big") == b"CLAS"
    assert files.MARKET_APPLICATION_ID.to_bytes(4, "big") == b"CLAM"
