"""Anvil, a development chain out of a package of npm, where `make setup` found Node."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NODE = Path(sys.executable).parent.parent / "node"
"""Where `make setup` installs what tests/contracts/package.json names."""


def program() -> Path | None:
    """The binary, or None."""
    return next(iter(sorted((NODE / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil*"))), None)


@contextmanager
def running(*, timestamp: int) -> Iterator[str]:
    """A chain of its own on loopback, final two blocks behind; its address."""
    found = program()
    assert found is not None
    words = [str(found), "--port", "0", "--slots-in-an-epoch", "1", "--auto-impersonate", "--no-mining"]
    words += ["--timestamp", str(timestamp), "--hardfork", "shanghai"]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={"HOME": str(NODE), "PATH": os.defpath}
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("Listening on "):
                yield "http://" + line.removeprefix("Listening on ").strip()
                return
        raise RuntimeError("anvil ended before it listened")
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.wait(10)
