"""Migrations in a child that may be killed; see `forking`. Orders are `{path, schema, mode, up_to}`.

Mode `by_statement` is the negative control: there is no transaction around the whole.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from clash_pipeline.storage.migrations import migrate
from clash_pipeline.storage.sqlite import Connection, Database
from tests.fakes.forking import Parent, parent_of, serve, without_pandas

APPLICATION_ID = 0x7E57


class Careless(Database):
    """A database without transactions."""

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The connection, every statement for itself."""
        yield self._connection("writer")


class Worker:
    """Migrates in children."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def migrate(self, path: Path, schema: str, fault: str = "", mode: str = "whole", up_to: int | None = None) -> int:
        """Migrate a file in a child; its exit status."""
        return self._parent.order(fault=fault, path=str(path), schema=schema, mode=mode, up_to=up_to)


@contextmanager
def worker() -> Iterator[Worker]:
    """Start the parent of the children."""
    with parent_of(__name__) as parent:
        yield Worker(parent)


def work(order: Mapping[str, Any]) -> None:
    """Bring one file to the newest version."""
    kind = Careless if order["mode"] == "by_statement" else Database
    migrate(kind(Path(order["path"]), application_id=APPLICATION_ID), order["schema"], up_to=order["up_to"])


if __name__ == "__main__":
    without_pandas()
    import_module("sqlite_utils")  # once, so that no child has to
    serve(work)
