"""Read by every Python that a test starts, because this folder is on its path: it too reaches nobody but this machine.

It imports nothing of ours: it stands at the beginning of processes whose imports are tested themselves.
"""

import os
import re
import sys

LOG = "EGRESS_LOG"
"""The file that attempts are written to, one a line."""
NAMES = frozenset({"", "localhost", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"})
LOOPBACK = re.compile(r"127(?:\.[0-9]{1,3}){3}")
ASKED = {"socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.gethostbyaddr": 0}
SENT = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class Egress(OSError):
    """Somebody tried to reach a host that is not this machine."""


def host_of(event: str, arguments: tuple[object, ...]) -> str | None:
    """The host of an event of a socket; None for what reaches no host."""
    if event in ASKED:
        named = arguments[ASKED[event]]
    elif event in SENT and isinstance(arguments[1], tuple):
        named = arguments[1][0]
    else:
        return None
    return named.decode(errors="replace") if isinstance(named, bytes) else None if named is None else str(named)


def is_here(host: str) -> bool:
    """Whether a host is this machine, by its name or its address."""
    return host in NAMES or LOOPBACK.fullmatch(host) is not None


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Write down and stop what leaves this machine.

    Raises:
        Egress: always then.
    """
    if host_of is None:  # the interpreter is taking itself apart
        return
    host = host_of(event, arguments)
    if host is None or is_here(host):
        return
    if path := os.environ.get(LOG):
        with open(path, "a") as file:
            file.write(f"{event} {host} by process {os.getpid()}\n")
    raise Egress(f"{event} {host}: tests reach this machine alone")


if LOG in os.environ:
    sys.addaudithook(watch)
