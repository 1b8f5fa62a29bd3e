"""Audit of what models cost: the running sums that bound them are those of the calls themselves (09 §5.2.4)."""

from collections.abc import Iterator

from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.sqlite import Connection


def spending_is_that_of_the_calls(connection: Connection) -> Iterator[Difference]:
    """Every sum of a scope is what its calls took, or still reserve, by the second and day in which they reserved it.

    A day must be there; seconds are forgotten after a while, so only those that are left are held against the calls.
    """
    for row in connection.execute(_SUMS):
        where = f"model_spending({row['scope']}, {row['span']}, {row['start']})"
        stored = "is missing" if row["tokens"] is None else f"has {row['tokens']} tokens, cost {row['cost']}"
        yield Difference(
            "budget", where, f"{stored}; its calls make {row['called_tokens']} tokens, cost {row['called_cost']}"
        )


_SUMS = """
WITH called AS (
  SELECT reserved_at, clone_id, owner, tier,
         CASE state WHEN 'settled' THEN tokens ELSE reserved_tokens END AS tokens,
         CASE state WHEN 'settled' THEN cost ELSE reserved_cost END AS cost
  FROM model_calls WHERE state <> 'expired'
),
charged AS (
  SELECT 'system' AS scope, reserved_at, tokens, cost FROM called
  UNION ALL SELECT 'tier/' || tier, reserved_at, tokens, cost FROM called
  UNION ALL SELECT 'user/' || owner, reserved_at, tokens, cost FROM called
  UNION ALL SELECT 'clone/' || clone_id, reserved_at, tokens, cost FROM called
),
made AS (
  SELECT 'day' AS span, reserved_at - reserved_at % 86400000 AS start, scope, sum(tokens) AS tokens, sum(cost) AS cost
  FROM charged GROUP BY 2, 3
  UNION ALL
  SELECT 'second', reserved_at - reserved_at % 1000, scope, sum(tokens), sum(cost)
  FROM charged WHERE reserved_at >= (SELECT min(start) FROM model_spending WHERE span = 'second') GROUP BY 2, 3
)
SELECT coalesce(s.span, m.span) AS span, coalesce(s.start, m.start) AS start, coalesce(s.scope, m.scope) AS scope,
       s.tokens, s.cost, coalesce(m.tokens, 0) AS called_tokens, coalesce(m.cost, 0) AS called_cost
FROM model_spending s FULL JOIN made m ON m.span = s.span AND m.start = s.start AND m.scope = s.scope
WHERE (coalesce(s.tokens, 0), coalesce(s.cost, 0)) <> (coalesce(m.tokens, 0), coalesce(m.cost, 0))
  AND (s.start IS NOT NULL OR m.span = 'day')
ORDER BY 1, 2, 3
"""
