"""What a function may ask of the parts of a process, by how much it needs; `services.Services` has all of it."""

from typing import Protocol

from clash_pipeline.clock import Clock
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database


class Stores(Protocol):
    """The figures and both databases."""

    @property
    def settings(self) -> Settings:
        """Every figure and path."""
        ...

    @property
    def clash(self) -> Database:
        """Clones, decisions, accounts, races and money."""
        ...

    @property
    def market(self) -> Database:
        """The market memory."""
        ...


class Dated(Stores, Protocol):
    """The same at a time of the market."""

    @property
    def clock(self) -> Clock:
        """The time of the market, which may be a replayed one."""
        ...


class Clocked(Dated, Protocol):
    """The same with the time that leases and people live by."""

    @property
    def wall(self) -> Clock:
        """The time of processes and of paid endpoints: never a replayed one."""
        ...
