"""Archive work in a child that may be killed; see `forking`. Orders are `{home, work, now}`: `retain` or `restore`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars  # noqa: F401  (imported before the fork on purpose)
import pyarrow.parquet  # noqa: F401

from clash_pipeline.archive import partitions, retention, rows
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.file_store import FileStore
from clash_pipeline.settings import load
from clash_pipeline.storage.files import open_market
from tests.fakes.forking import Parent, parent_of, serve
from tests.fakes.market_days import DAY


class Worker:
    """Does archive work in children."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def run(self, home: Path, work: str, now_ms: int, fault: str = "") -> int:
        """Do one piece of work in a child; its exit status."""
        return self._parent.order(fault=fault, home=str(home), work=work, now=now_ms)


@contextmanager
def worker() -> Iterator[Worker]:
    """Start the parent of the children."""
    with parent_of(__name__) as parent:
        yield Worker(parent)


def work(order: Mapping[str, Any]) -> None:
    """Retain what is due, or restore the day, writing in small steps so that a kill can fall between them."""
    rows.WRITE_ROWS = 25
    settings = load({"CLASH_HOME": order["home"]})
    market, store = open_market(settings), FileStore(settings.file_store)
    if order["work"] == "retain":
        retention.run(market, store, settings, int(order["now"]))
        return
    for name in TABLES:
        if list(store.list(f"market/{name}/")):
            partitions.restore_day(market, store, name, DAY, int(order["now"]))


if __name__ == "__main__":
    serve(work)
