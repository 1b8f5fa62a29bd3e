"""G4: a random test fails again from its seed and the commit alone, whatever else its process has run before."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hypothesis.internal.conjecture import providers

ROOT = Path(__file__).resolve().parents[2]
SHARED_SOURCE = ("random", "numpy.random", "np.random", "secrets")
"""Modules whose functions draw from a source that nobody seeded."""
MAKERS = ("Random", "default_rng", "RandomState")
"""What makes a source of one's own, from a seed."""
SHIPPED, NOTHING = providers._get_local_constants, providers._local_constants
AGAIN = "every seed stands in the name of its test or in its text; with this commit alone it comes again"


def forget_what_is_loaded() -> None:
    """Let Hypothesis draw alike in every process.

    It mixes in constants of whichever modules of the project happen to be loaded, and they depend on the tests that ran
    before in the same worker: the same seed would fail in a whole run and pass alone.
    """
    providers._get_local_constants = lambda: NOTHING


def commit() -> str:
    """What is tested, so that a failure can be had again from its seed."""
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


def unseeded(source: str) -> Iterator[str]:
    """Where a text draws at random and nobody can say again what it drew."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            module, _, name = ast.unparse(node.func).rpartition(".")
            is_seeded = name in MAKERS and bool(node.args or node.keywords)
            if (module in SHARED_SOURCE and not is_seeded) or (name in MAKERS and not is_seeded) or name == "urandom":
                yield f"line {node.lineno}: {ast.unparse(node)}"
