"""What models may cost: limits by scope and span, and the running sums that are held against them.

A minute is any 60 s: sums are kept by the second, and one second more than a minute is counted. A day is a UTC day.
What is reserved or used counts in the second and the day in which it was reserved.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, NamedTuple

from clash_pipeline import canonical
from clash_pipeline.clock import MINUTE_MS, SECOND_MS, day_of
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import parse_usd

Unit = Literal["tokens", "cost"]
Span = Literal["minute", "day"]
SCOPES = ("clone", "user", "tier", "system")
SECONDS_KEPT_MS = 10 * MINUTE_MS


class Limit(NamedTuple):
    """The most tokens, or the most cost in 1e-8 USD, of one scope in one span."""

    scope: str
    unit: Unit
    span: Span
    most: int

    @property
    def text(self) -> str:
        """For a run's reason: which limit it was, and never whose."""
        return f"{self.scope} {self.unit} a {self.span}"


class Amount(NamedTuple):
    """Tokens and their cost in 1e-8 USD."""

    tokens: int
    cost: int


class Delta(NamedTuple):
    """A change of a scope's sums, in the second and the day of a time."""

    scope: str
    at_ms: int
    tokens: int
    cost: int


def limits_of(settings: Settings) -> tuple[Limit, ...]:
    """The sixteen limits of the settings, the narrowest scope first."""
    found = []
    for scope in SCOPES:
        for span in ("minute", "day"):
            tokens = getattr(settings, f"model_{scope}_tokens_{span}")
            cost = getattr(settings, f"model_{scope}_usd_{span}")
            found.append(Limit(scope, "tokens", span, tokens))
            found.append(Limit(scope, "cost", span, parse_usd(f"{cost:f}")))
    return tuple(found)


def scopes_of(clone_id: int, owner: str, tier: int) -> dict[str, str]:
    """Who a call is charged to: the key of each scope."""
    return {"clone": f"clone/{clone_id}", "user": f"user/{owner}", "tier": f"tier/{tier}", "system": "system"}


class Sums:
    """The sums of the scopes of a batch, loaded once, added to in memory and written once."""

    def __init__(self, now_ms: int, limits: tuple[Limit, ...]) -> None:
        self._now_ms = now_ms
        self._limits = limits
        self._found: dict[tuple[str, str], Amount] = defaultdict(lambda: Amount(0, 0))
        self._added: dict[str, Amount] = defaultdict(lambda: Amount(0, 0))

    @classmethod
    def load(cls, connection: Connection, scopes: Iterable[str], limits: tuple[Limit, ...], now_ms: int) -> "Sums":
        """The sums that count now."""
        sums = cls(now_ms, limits)
        rows = connection.execute(
            """
            SELECT 'minute' AS span, scope, sum(tokens) AS tokens, sum(cost) AS cost FROM model_spending
            WHERE span = 'second' AND start >= :minute AND scope IN (SELECT value FROM json_each(:scopes))
            GROUP BY scope
            UNION ALL
            SELECT 'day', scope, tokens, cost FROM model_spending
            WHERE span = 'day' AND start = :day AND scope IN (SELECT value FROM json_each(:scopes))
            """,
            {
                "minute": second_of(now_ms) - MINUTE_MS,
                "day": day_of(now_ms),
                "scopes": canonical.text(sorted(set(scopes))),
            },
        )
        for row in rows:
            sums._found[row["span"], row["scope"]] = Amount(row["tokens"], row["cost"])
        return sums

    def exceeded(self, scopes: dict[str, str], wanted: Amount) -> Limit | None:
        """The first limit that this much more would break."""
        return next((limit for limit in self._limits if self._total(limit, scopes, wanted) > limit.most), None)

    def add(self, scopes: dict[str, str], amount: Amount) -> None:
        """Charge every scope."""
        for scope in scopes.values():
            self._added[scope] = _plus(self._added[scope], amount)

    def spent(self, limit: Limit, scope: str) -> int:
        """What a scope has spent in the span of a limit."""
        total: int = getattr(_plus(self._found[limit.span, scope], self._added[scope]), limit.unit)
        return total

    def write(self, connection: Connection) -> None:
        """Add what was charged to the sums in the database."""
        charge(connection, [Delta(scope, self._now_ms, *amount) for scope, amount in self._added.items()])

    def _total(self, limit: Limit, scopes: dict[str, str], wanted: Amount) -> int:
        return self.spent(limit, scopes[limit.scope]) + int(getattr(wanted, limit.unit))


def charge(connection: Connection, deltas: Iterable[Delta]) -> None:
    """Add amounts to the sums; none is negative."""
    connection.executemany(
        """
        INSERT INTO model_spending (scope, span, start, tokens, cost) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (span, start, scope) DO UPDATE SET tokens = tokens + excluded.tokens, cost = cost + excluded.cost
        """,
        [(each.scope, span, start, each.tokens, each.cost) for each in deltas for span, start in _spans(each.at_ms)],
    )


def correct(connection: Connection, deltas: Iterable[Delta]) -> None:
    """Change sums that were charged before, up or down; seconds that were forgotten since count no more."""
    connection.executemany(
        "UPDATE model_spending SET tokens = tokens + ?, cost = cost + ? WHERE scope = ? AND span = ? AND start = ?",
        [(each.tokens, each.cost, each.scope, span, start) for each in deltas for span, start in _spans(each.at_ms)],
    )


def standing(connection: Connection, limits: tuple[Limit, ...], now_ms: int) -> list[tuple[Limit, str, int]]:
    """What each limit's scopes have spent in it by now, for people: the scope's key and its sum, the largest first."""
    scopes = [row["scope"] for row in connection.execute("SELECT DISTINCT scope FROM model_spending")]
    sums = Sums.load(connection, scopes, limits, now_ms)
    found = []
    for limit in limits:
        mine = [scope for scope in scopes if scope.partition("/")[0] == limit.scope]
        found += [(limit, scope, sums.spent(limit, scope)) for scope in mine]
    return sorted(found, key=lambda item: (limits.index(item[0]), -item[2], item[1]))


def forget(connection: Connection, now_ms: int) -> None:
    """Drop the sums of seconds that no minute reaches back to."""
    connection.execute(
        "DELETE FROM model_spending WHERE span = 'second' AND start < ?", (second_of(now_ms) - SECONDS_KEPT_MS,)
    )


def second_of(t_ms: int) -> int:
    """The start of the second that holds `t_ms`."""
    return t_ms - t_ms % SECOND_MS


def _spans(at_ms: int) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("second", second_of(at_ms)), ("day", day_of(at_ms))


def _plus(one: Amount, other: Amount) -> Amount:
    return Amount(one.tokens + other.tokens, one.cost + other.cost)
