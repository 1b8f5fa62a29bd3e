"""Space on the disk: a reserve that money falls back on, and a floor below which market memory stops growing (09 S3).

The reserve is a file that only takes up room. It is given up when a write of money finds the disk full, so that the
next write goes through; it is laid aside again when there is room. The floor refuses new market rows long before.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from clash_pipeline.storage.errors import StorageFull

MIB = 2**20

log = structlog.get_logger(__name__)


def free_bytes(folder: Path) -> int:
    """What this process may still write on the file system of a folder."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True)
class Floor:
    """The least free space at which market memory still grows; 0 is no floor."""

    folder: Path
    least_mib: int
    free: Callable[[Path], int] = free_bytes

    def require(self) -> None:
        """Refuse to grow below the floor.

        Raises:
            StorageFull: less is free; names both figures.
        """
        if self.least_mib and (free := self.free(self.folder)) < self.least_mib * MIB:
            raise StorageFull(
                f"{free // MIB} MiB are free at {self.folder}, market memory stops growing below {self.least_mib} MiB; "
                "nothing was written"
            )


@dataclass(frozen=True)
class Reserve:
    """The file that is given up for money when the disk is full."""

    path: Path
    size_mib: int
    free: Callable[[Path], int] = free_bytes

    def keep(self, *, beside_mib: int) -> bool:
        """Lay the reserve aside where the disk has that much beside `beside_mib`; whether it is there now."""
        if self.path.exists() or not self.size_mib:
            return self.path.exists()
        if self.free(self.path.parent) < (self.size_mib + beside_mib) * MIB:
            return False
        laid = self.path.with_suffix(".new")
        try:
            with laid.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.size_mib * MIB)
            laid.replace(self.path)
        except OSError as error:
            laid.unlink(missing_ok=True)
            log.warning("reserve_not_laid_aside", path=str(self.path), error=error.strerror)
            return False
        log.info("reserve_laid_aside", path=str(self.path), mib=self.size_mib)
        return True

    def release(self) -> bool:
        """Give the space up; False when it was given up before."""
        try:
            self.path.unlink()
        except OSError:
            return False
        log.error("reserve_released", path=str(self.path), mib=self.size_mib)
        return True
