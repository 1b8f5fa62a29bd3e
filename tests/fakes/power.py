"""Power cuts under the product's own transactions (S2), by a file system layer that knows what was not yet synced.

`python -m tests.fakes.power` reads one JSON order (template, folder, cuts, seed, synchronous) and prints a JSON report.
A cut is an image of the disk: what was synced, and of every write since then perhaps all, perhaps a part up to a
512-byte edge, perhaps nothing, in any order. Each image is opened by the ordinary way, audited, and must hold every act
that was acknowledged before the cut; a third of those are repeated on it. apsw is the only SQLite of this process.
"""

import json
import logging
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import structlog

from tests.fakes import apsw_door

if TYPE_CHECKING:
    from clash_pipeline.settings import Settings
    from clash_pipeline.storage.sqlite import Database
    from tests.fakes.acts import Stage

LAYER = "losing-power"
SECTOR = 512
KEPT, TORN, ALL_LOST = 0.5, 0.1, 0.2
ACTS_A_SESSION = 20
MOST_OPERATIONS = 120
"""Between two cuts, drawn evenly: they fall inside transactions, commits and checkpoints alike."""
LEFT_OUT = {"archive", "restore", "migrate"}
"""Acts of other files, or by another library."""

Pending = tuple[int, bytes | None]


@dataclass
class Disk:
    """What is safe, and what is only written."""

    chance: random.Random
    synced: dict[str, bytearray] = field(default_factory=dict)
    pending: dict[str, list[Pending]] = field(default_factory=dict)
    until_cut: int = 10
    images: list[tuple[dict[str, bytes], frozenset[tuple[str, int]]]] = field(default_factory=list)
    acknowledged: set[tuple[str, int]] = field(default_factory=set)

    def opened(self, path: str) -> None:
        """A file as it is found is safe."""
        if path not in self.synced:
            found = Path(path)
            self.synced[path] = bytearray(found.read_bytes() if found.exists() else b"")
            self.pending[path] = []

    def wrote(self, path: str, offset: int, content: bytes | None) -> None:
        """A write, or a truncation where there is no content."""
        self.pending[path].append((offset, content))
        self._pass()

    def sync(self, path: str) -> None:
        """All of one file is safe from here on."""
        self._pass()
        for one in self.pending[path]:
            _apply(self.synced[path], one)
        self.pending[path].clear()

    def forget(self, path: str) -> None:
        """A file was deleted."""
        self.synced.pop(path, None)
        self.pending.pop(path, None)

    def _pass(self) -> None:
        self.until_cut -= 1
        if self.until_cut <= 0:
            self.until_cut = self.chance.randint(1, MOST_OPERATIONS)
            self.images.append((self._after_a_cut(), frozenset(self.acknowledged)))

    def _after_a_cut(self) -> dict[str, bytes]:
        is_all_lost = self.chance.random() < ALL_LOST
        images = {}
        for path, safe in self.synced.items():
            image = bytearray(safe)
            for one in [] if is_all_lost else self._survivors(self.pending[path]):
                _apply(image, one)
            images[Path(path).name] = bytes(image)
        return images

    def _survivors(self, pending: list[Pending]) -> list[Pending]:
        """Some of the writes, some of them torn, in another order."""
        kept: list[Pending] = []
        for offset, content in pending:
            if self.chance.random() >= KEPT:
                continue
            if content is not None and len(content) > SECTOR and self.chance.random() < TORN:
                content = content[: SECTOR * self.chance.randrange(1, -(-len(content) // SECTOR))]
            kept.append((offset, content))
        self.chance.shuffle(kept)
        return kept


def _apply(image: bytearray, one: Pending) -> None:
    offset, content = one
    if content is None:
        del image[offset:]
        return
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(content)] = content


class LosingFile(apsw.VFSFile):
    """A file that tells the disk."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        disk.opened(self._path)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        """Written, not safe."""
        super().xWrite(data, offset)
        self._disk.wrote(self._path, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:
        """The same for its length."""
        super().xTruncate(newsize)
        self._disk.wrote(self._path, newsize, None)

    def xSync(self, flags: int) -> None:
        """Safe; the real disk is not asked, for nothing happens to it."""
        self._disk.sync(self._path)


class LosingLayer(apsw.VFS):
    """The layer under one database file."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(LAYER, "")

    def xOpen(self, name: Any, flags: list[int]) -> LosingFile:
        """Every file of it is watched."""
        return LosingFile(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """Gone."""
        super().xDelete(filename, syncdir)
        self._disk.forget(filename)


def powered(settings: "Settings", synchronous: str, checkpoint: int) -> "Database":
    """`clash.db` on one connection (no shared memory goes through such a layer), else as the product opens it."""
    from clash_pipeline.storage.files import CLASH_APPLICATION_ID
    from clash_pipeline.storage.sqlite import Connection, Database

    class Powered(Database):
        def _connection(self, role: str) -> Connection:
            return super()._connection("writer")

        def _prepare(self, connection: Connection, role: str) -> None:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            super()._prepare(connection, role)
            connection.execute(f"PRAGMA synchronous={synchronous}")

        def _pragmas(self) -> dict[str, tuple[str, str | int]]:
            return super()._pragmas() | {"wal_autocheckpoint": (str(checkpoint), checkpoint)}

    return Powered(settings.clash_db, application_id=CLASH_APPLICATION_ID)


def session(template: Path, home: Path, disk: Disk, synchronous: str, first: int) -> None:
    """Some acts on a copy of the template, while the power is cut again and again."""
    from clash_pipeline.settings import load
    from clash_pipeline.storage.files import open_market
    from tests.fakes.acts import ACTS, Stage
    from tests.fakes.spending import MODEL

    shutil.copytree(template, home)
    settings = load({**MODEL, "CLASH_HOME": str(home), "CLASH_DISK_FLOOR_MIB": "0"})
    stage = Stage(settings, powered(settings, synchronous, disk.chance.choice((4, 30, 1_000))), open_market(settings))
    chosen = [act for act in ACTS if act.name not in LEFT_OUT]
    for number in range(first, first + ACTS_A_SESSION):
        act = disk.chance.choice(chosen)
        act.do(stage, number)
        disk.acknowledged.add((act.name, number))
    stage.clash.close()
    stage.market.close()


def problems(home: Path, image: dict[str, bytes], acknowledged: frozenset[tuple[str, int]]) -> Iterator[str]:
    """What is wrong after the power has come back."""
    from clash_pipeline.storage.errors import StorageError

    for name, content in image.items():
        (home / name).write_bytes(content)
    try:
        yield from _looked_at(home, acknowledged)
    except (StorageError, apsw_door.DatabaseError) as error:
        yield f"corrupt: {error}"


def _looked_at(home: Path, acknowledged: frozenset[tuple[str, int]]) -> Iterator[str]:
    from clash_pipeline.storage.sqlite import one
    from tests.fakes.acts import BY_NAME, stage_of
    from tests.fakes.lives import TOTALS, wrong

    with stage_of(home) as stage:
        with stage.clash.read() as connection:
            if (found := one(connection, "PRAGMA integrity_check")) != "ok":
                yield f"corrupt: {found}"
                return
        yield from wrong(stage, acknowledged)
        before = _total(stage, TOTALS)
        for name, number in sorted(acknowledged)[::3]:
            if BY_NAME[name].is_forever:
                BY_NAME[name].do(stage, number)
        if (after := _total(stage, TOTALS)) != before:
            yield f"doubled: {after - before} rows came of repeats"


def _total(stage: "Stage", statement: str) -> int:
    from clash_pipeline.storage.sqlite import one

    with stage.clash.read() as connection:
        return int(one(connection, statement))


def main() -> None:
    """Carry out one order."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    order = json.load(sys.stdin)
    apsw_door.install()
    chance = random.Random(order["seed"])
    folder, found, looked, acknowledged = Path(order["folder"]), [], 0, 0
    number = 0
    while looked < order["cuts"]:
        number += 1
        disk, home = Disk(chance), folder / f"session-{number}"
        layer = LosingLayer(disk)
        apsw_door.LAYERS["clash.db"] = LAYER
        session(Path(order["template"]), home, disk, order["synchronous"], 1)
        layer.unregister()
        apsw_door.LAYERS.clear()
        acknowledged += len(disk.acknowledged)
        for image, promised in disk.images[: order["cuts"] - looked]:
            for file in home.glob("clash.db*"):
                file.unlink()
            found += [list(problems(home, image, promised))]
            looked += 1
        shutil.rmtree(home)
    bad = [one for one in found if one]
    print(json.dumps({"cuts": looked, "bad": len(bad), "acknowledged": acknowledged, "problems": bad[:20]}))


if __name__ == "__main__":
    main()
