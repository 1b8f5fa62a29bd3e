"""One event loop for every application that this process asks, as a server has one, with threads that stay.

Left to itself the test client begins a loop and its threads anew for each request, and each of those threads opens
databases of its own.
"""

import atexit
from functools import cache

from anyio.from_thread import BlockingPortal, start_blocking_portal


@cache
def portal() -> BlockingPortal:
    """The way to it."""
    running = start_blocking_portal("asyncio")
    opened = running.__enter__()
    atexit.register(running.__exit__, None, None, None)
    return opened
