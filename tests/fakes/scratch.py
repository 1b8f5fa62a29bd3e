"""Where tests write: a file system in memory where it has room for a whole run, for a disk makes each commit wait.

What is proven stays the same: a killed process leaves its files behind in memory as on a disk, and the power cuts of S2
are simulated below SQLite. Who says where temporary files go (TMPDIR) is obeyed.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

IN_MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30
"""Of the file system and of the machine; a whole run has less than half of it at any time."""


def use_memory() -> None:
    """Let temporary folders, those of pytest too, be in memory: of this process and of those that it starts."""
    if not os.environ.get("TMPDIR") and has_room(IN_MEMORY, ROOM):
        os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)


def keep_bytecode() -> None:
    """Compile each module once, and not again in every process: a run starts hundreds of them."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def has_room(folder: Path, room: int) -> bool:
    """Whether so many bytes may be written there, and the machine has them."""
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return False
    return min(shutil.disk_usage(folder).free, _memory()) >= room


def _memory() -> int:
    """What the machine can still give, in bytes; 0 where nobody knows."""
    table = Path("/proc/meminfo")
    lines = table.read_text().splitlines() if table.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
