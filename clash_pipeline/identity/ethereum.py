"""The one place that imports eth-account.

A library below it raises Python's recursion limit to 100,000 for the whole process, and from then on deeply nested JSON
of a stranger ends the process instead of raising; so the limit is put back.
"""

import sys
from types import ModuleType


def eth_account() -> ModuleType:
    """The library, with the recursion limit as it was before."""
    limit = sys.getrecursionlimit()
    try:
        import eth_account as library
        import eth_account.messages
    finally:
        sys.setrecursionlimit(limit)
    return library
