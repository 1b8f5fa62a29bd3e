"""The two database files: `clash.db` (money: FULL) and `market.db` (can be fetched again: NORMAL).

No transaction spans both; a fill stores the price it used (doc/decisions.md, "Two files").
"""

from clash_pipeline.settings import Settings
from clash_pipeline.storage.errors import StorageRefused
from clash_pipeline.storage.migrations import migrate, require_current
from clash_pipeline.storage.space import Floor, Reserve
from clash_pipeline.storage.sqlite import Database

CLASH_APPLICATION_ID = 0x434C4153
MARKET_APPLICATION_ID = 0x434C414D


def open_clash(settings: Settings) -> Database:
    """The file of accounts, ledger, clones and decisions, at the current schema.

    Raises:
        StorageRefused: not migrated, newer than the code, foreign, or on a network file system.
    """
    database = _clash(settings)
    _refuse_absent(database)
    require_current(database, "clash")
    return database


def open_market(settings: Settings) -> Database:
    """The file of the market memory, at the current schema.

    Raises:
        StorageRefused: not migrated, newer than the code, foreign, or on a network file system.
    """
    database = _market(settings)
    _refuse_absent(database)
    require_current(database, "market")
    return database


def migrate_all(settings: Settings) -> dict[str, list[str]]:
    """Create or update both files; returns the names of the migrations applied to each."""
    settings.home.mkdir(parents=True, exist_ok=True)
    applied = {}
    for schema, database in (("clash", _clash(settings)), ("market", _market(settings))):
        if database.path.exists():
            _refuse_empty(database)
        applied[schema] = migrate(database, schema)
        database.close()
    return applied


def _refuse_absent(database: Database) -> None:
    """A reader must not create what it came to read."""
    if not database.path.exists():
        raise StorageRefused(f"there is no {database.path}; run `clash migrate`")
    _refuse_empty(database)


def _refuse_empty(database: Database) -> None:
    """SQLite takes a file of no bytes for a new database; here it is one that was lost."""
    if database.path.stat().st_size == 0:
        raise StorageRefused(f"{database.path} is empty (0 bytes): restore it from a backup, or remove it")


def reserve_of(settings: Settings) -> Reserve:
    """The file that is given up for money when the disk is full."""
    return Reserve(settings.home / "clash.reserve", settings.disk_reserve_mib)


def keep_reserve(settings: Settings) -> bool:
    """Lay the reserve aside where there is room for it beside the floor; whether it is there now."""
    return reserve_of(settings).keep(beside_mib=settings.disk_floor_mib)


def _clash(settings: Settings) -> Database:
    return Database(
        settings.clash_db, application_id=CLASH_APPLICATION_ID, synchronous="FULL",
        busy_timeout_ms=settings.busy_timeout_ms, reserve=reserve_of(settings),
    )  # fmt: skip


def _market(settings: Settings) -> Database:
    return Database(
        settings.market_db, application_id=MARKET_APPLICATION_ID, synchronous="NORMAL",
        busy_timeout_ms=settings.busy_timeout_ms, floor=Floor(settings.home, settings.disk_floor_mib),
    )  # fmt: skip
