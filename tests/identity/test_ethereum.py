"""The signing library is imported without what it would do to the rest of the process."""

import subprocess
import sys

SCRIPT = """
import sys
before = sys.getrecursionlimit()
{import_it}
print(sys.getrecursionlimit() == before)
"""


def _leaves_the_limit(import_it: str) -> bool:
    script = SCRIPT.format(import_it=import_it)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "True"


def test_the_recursion_limit_stays_as_it_was() -> None:
    assert _leaves_the_limit("from clash_pipeline.identity.ethereum import eth_account; eth_account()")


def test_control_the_library_alone_would_raise_it() -> None:
    assert not _leaves_the_limit("import eth_account")
