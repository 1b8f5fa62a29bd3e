"""REST weight of Hyperliquid, counted in a sliding minute of venue time (sources 1.10)."""

from collections import Counter, deque

from clash_pipeline.clock import MINUTE_MS, minute_of

LIMIT = 1_200
LIGHT = frozenset(
    {"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"}
)
USER_ROLE = 60


def of(kind: str, rows: int) -> int:
    """The weight of one request by its type and the rows of its answer."""
    if kind in LIGHT:
        return 2
    if kind == "userRole":
        return USER_ROLE
    per_row = {"fundingHistory": 20, "candleSnapshot": 60}.get(kind)
    return 20 + (-(-rows // per_row) if per_row else 0)


class WeightWindow:
    """What one address spent in the last 60 seconds; refuses what would go above the limit."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.refused = 0
        self.highest = 0
        self.by_minute: Counter[int] = Counter()
        self._spent: deque[tuple[int, int]] = deque()

    def spend(self, weight: int, now_ms: int) -> bool:
        """Take the weight if the window has room for it."""
        used = self.used(now_ms)
        if used + weight > self.limit:
            self.refused += 1
            return False
        self._spent.append((now_ms, weight))
        self.by_minute[minute_of(now_ms)] += weight
        self.highest = max(self.highest, used + weight)
        return True

    def used(self, now_ms: int) -> int:
        """Weight spent in the 60 s up to now; a clock moved back forgets what lies ahead of it."""
        while self._spent and self._spent[0][0] <= now_ms - MINUTE_MS:
            self._spent.popleft()
        while self._spent and self._spent[-1][0] > now_ms:
            self._spent.pop()
        return sum(weight for _, weight in self._spent)

    def retry_after_sec(self, now_ms: int) -> int:
        """Seconds until something of the window is free again."""
        return -(-(self._spent[0][0] + MINUTE_MS - now_ms) // 1000) if self._spent else 1
