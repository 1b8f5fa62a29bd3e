"""What an archived table is: columns, key, the statements of one UTC day, how decimals are packed, day rule."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

Value = str | int | float | None
"""What a cell of SQLite holds."""


class Kind(StrEnum):
    """The type of a column, as STRICT tables know it."""

    TEXT = "text"
    INT = "int"
    REAL = "real"


class Hot(StrEnum):
    """Which setting says how long a table's days stay in SQLite."""

    MINUTE = "minute_hot_days"
    HOUR = "hour_hot_days"
    CONTEXT = "context_hot_days"


class Complete(StrEnum):
    """What must hold before a day may be archived."""

    FINAL_MINUTES = "every minute is final or lost"
    FINAL_HOURS = "every hour is final or holds a lost minute"
    ENDED = "the day is over"


@dataclass(frozen=True)
class Decimals:
    """Decimal text columns that share one scale a row: stored as integers of `10 ** -scale`.

    `relative` names columns that are stored as the distance to another one: `(column, rule)` with a rule of
    `codec.RULES`.
    """

    scale: str
    columns: tuple[str, ...]
    relative: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ArchivedTable:
    """One archived table. `name` is used in keys and bookkeeping; `interval` selects the rows of a shared table."""

    name: str
    table: str
    columns: dict[str, Kind]
    key: tuple[str, ...]
    hot: Hot
    complete: Complete
    interval: str | None = None
    decimals: tuple[Decimals, ...] = ()
    companion: str | None = None
    """The archived table of superseded versions, restored together with this one."""
    room: str = "market"
    """The first part of its keys in the store."""
    is_asked_again: bool = False
    """Whether the source still answers for past days; the others have no history but the archive."""

    @cached_property
    def text_columns(self) -> tuple[str, ...]:
        """The columns whose cells are text."""
        return tuple(name for name, kind in self.columns.items() if kind is Kind.TEXT)

    @cached_property
    def values(self) -> tuple[str, ...]:
        """The columns that say something about the world, not about how we came to know it."""
        return tuple(name for name in self.columns if name not in {"origin", "final", "known_at", "superseded_at"})

    @cached_property
    def select_day(self) -> str:
        """Every row of `[:from_t, :to_t)` in key order."""
        return f"SELECT {self._list} FROM {self.table} WHERE {self._day} ORDER BY {', '.join(self.key)}"  # noqa: S608  (all text from this file)

    @cached_property
    def select_range(self) -> str:
        """The rows of a day between two keys, both included."""
        return f"SELECT {self._list} FROM {self.table} WHERE {self._day} AND {self._between} ORDER BY {', '.join(self.key)}"  # noqa: S608, E501  (as above)

    @cached_property
    def delete_range(self) -> str:
        """Remove the rows of a day between two keys, both included."""
        return f"DELETE FROM {self.table} WHERE {self._day} AND {self._between}"  # noqa: S608  (as above)

    @cached_property
    def insert(self) -> str:
        """Add a row unless its key is taken."""
        names = [*self.columns, "interval"] if self.interval else [*self.columns]
        places = ["?"] * len(self.columns) + ([f"'{self.interval}'"] if self.interval else [])
        return f"INSERT INTO {self.table} ({', '.join(names)}) VALUES ({', '.join(places)}) ON CONFLICT DO NOTHING"  # noqa: S608  (as above)

    @cached_property
    def count_day(self) -> str:
        """How many rows a day has."""
        return f"SELECT count(*) FROM {self.table} WHERE {self._day}"  # noqa: S608  (as above)

    @cached_property
    def list_days(self) -> str:
        """The days before `:before` that have rows, oldest first."""
        which = f"interval = '{self.interval}' AND " if self.interval else ""
        return f"SELECT DISTINCT t - t % 86400000 AS day FROM {self.table} WHERE {which}t < :before ORDER BY day"  # noqa: S608  (as above)

    def range_of(self, first: tuple[Value, ...], last: tuple[Value, ...]) -> dict[str, Value]:
        """The parameters of a key range."""
        low = {f"first_{name}": value for name, value in zip(self.key, first, strict=True)}
        return low | {f"last_{name}": value for name, value in zip(self.key, last, strict=True)}

    def key_of(self, row: tuple[Value, ...]) -> tuple[Value, ...]:
        """The key cells of a row in column order."""
        return tuple(row[place] for place in self._key_places)

    def values_of(self, row: tuple[Value, ...]) -> tuple[Value, ...]:
        """The cells of `values`."""
        return tuple(row[place] for place in self._value_places)

    @cached_property
    def _key_places(self) -> tuple[int, ...]:
        return tuple(list(self.columns).index(name) for name in self.key)

    @cached_property
    def _value_places(self) -> tuple[int, ...]:
        return tuple(list(self.columns).index(name) for name in self.values)

    @property
    def _list(self) -> str:
        return ", ".join(self.columns)

    @property
    def _day(self) -> str:
        return (f"interval = '{self.interval}' AND " if self.interval else "") + "t >= :from_t AND t < :to_t"

    @property
    def _between(self) -> str:
        lead, key = self.key[0], ", ".join(self.key)
        first, last = (", ".join(f":{side}_{name}" for name in self.key) for side in ("first", "last"))
        # the first term lets SQLite seek; the row values then cut exactly
        return f"{lead} BETWEEN :first_{lead} AND :last_{lead} AND ({key}) >= ({first}) AND ({key}) <= ({last})"
