"""Objects as files in a folder: complete and synced before they have their name, so that a crash leaves none or all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clash_pipeline.archive.stores import (
    Head,
    Put,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
    safe_key,
    same_or_conflict,
    sha256,
)
from clash_pipeline.faults import fault, point

INCOMING = ".incoming"
"""Folder of files that have no name yet; keys never start with a dot, so it is never listed."""
TRANSIENT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ESTALE})

BEFORE_NAMED = point("file_store.before_named")


class FileStore:
    """A folder; every key is a path below it."""

    name = "file"

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, body: bytes, *, if_absent: bool = True) -> Put:
        """Store bytes under a key; the object appears whole or not at all."""
        path = self._path(key)
        with _sorted_errors(key), self._written(body) as incoming:
            _make_folder(path.parent)
            fault(BEFORE_NAMED)
            if not if_absent:
                existed = path.exists()
                os.replace(incoming, path)
                _sync_folder(path.parent)
                return Put.REPLACED if existed else Put.CREATED
            try:
                os.link(incoming, path)  # fails where the name exists, atomically
            except FileExistsError:
                return same_or_conflict(key, path.read_bytes(), body)
            _sync_folder(path.parent)
            return Put.CREATED

    def get(self, key: str) -> bytes:
        """The whole object."""
        with _sorted_errors(key):
            return self._path(key).read_bytes()

    def head(self, key: str) -> Head | None:
        """Size and hash, from the bytes themselves."""
        try:
            body = self.get(key)
        except StoreMissing:
            return None
        return Head(len(body), sha256(body))

    def list(self, prefix: str) -> Iterator[str]:
        """Keys under a prefix, ascending."""
        folder = self.root / prefix.rpartition("/")[0]
        if not folder.resolve().is_relative_to(self.root.resolve()):
            raise StoreRefused(f"{prefix[:80]!r} leads out of the store")
        found = (path.relative_to(self.root).as_posix() for path in folder.rglob("*") if path.is_file())
        return iter(sorted(key for key in found if key.startswith(prefix) and not key.startswith(INCOMING)))

    def delete(self, key: str) -> None:
        """Remove an object."""
        with _sorted_errors(key), suppress(FileNotFoundError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self.root / safe_key(key)

    @contextmanager
    def _written(self, body: bytes) -> Iterator[Path]:
        _make_folder(self.root / INCOMING)
        incoming = self.root / INCOMING / secrets.token_hex(12)
        try:
            with incoming.open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            yield incoming
        finally:
            incoming.unlink(missing_ok=True)


@contextmanager
def _sorted_errors(key: str) -> Iterator[None]:
    """Say of an operating-system error whether trying again can help."""
    try:
        yield
    except FileNotFoundError:
        raise StoreMissing(f"no object {key} in the file store") from None
    except OSError as error:
        family = StoreUnavailable if error.errno in TRANSIENT else StoreRefused
        raise family(f"{key}: {error.strerror or error}") from error


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """A name is durable only when its folder is synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
