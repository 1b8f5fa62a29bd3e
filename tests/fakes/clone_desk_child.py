"""Work of the clone service in a child that may be killed; see `forking`. Orders are `{home, work}`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clash_pipeline import clone_desk
from clash_pipeline.clock import SettableClock
from clash_pipeline.clones import clones, entitlements, holds, moderation, public_profiles, reports
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.services import Services
from clash_pipeline.settings import load
from clash_pipeline.storage.sqlite import Connection
from tests.fakes.forking import Parent, parent_of, serve

ADMIN = {"actor": "admin", "now_ms": 9}

IN_A_TRANSACTION: dict[str, Callable[[Connection], object]] = {
    "grant": lambda connection: entitlements.grant(connection, 1, "pro", 2, source="purchase", ref="p1", now_ms=9),
    "hold": lambda connection: holds.place(connection, 1, "race", "7", now_ms=9),
    "submit": lambda connection: public_profiles.submit(connection, 1, "Ebb", **ADMIN),
    "approve": lambda connection: moderation.approve(connection, 2, **ADMIN),
    "uphold": lambda connection: reports.uphold(connection, 1, reason="it is", **ADMIN),
    "retire": lambda connection: moderation.retire(connection, 1, reason="enough", **ADMIN),
    "reinstate": lambda connection: moderation.reinstate(connection, 1, **ADMIN),
}


class Worker:
    """Does the work of the clone service in children."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def run(self, home: Path, work: str, fault: str = "") -> int:
        """Do one piece of work in a child; its exit status."""
        return self._parent.order(fault=fault, home=str(home), work=work)


@contextmanager
def worker() -> Iterator[Worker]:
    """Start the parent of the children."""
    with parent_of(__name__) as parent:
        yield Worker(parent)


def work(order: Mapping[str, Any]) -> None:
    """One act on the home of the order."""
    settings = load({"CLASH_HOME": order["home"]})
    built = Services(settings, SettableClock(9))
    if order["work"] == "create":
        clone_desk.create(built, "Cleo", simple_graph(("BTC",)).wire())
    elif order["work"] == "publish":
        clones.publish(built.clash, 1, clone_desk.registry(built), now_ms=9)
    else:
        with built.clash.write() as connection:
            IN_A_TRANSACTION[order["work"]](connection)


if __name__ == "__main__":
    serve(work)
