"""Derived budgets: what a plan can bring at most, in datapoints and in tokens of the prompt (02 B).

Tokens are estimated before anything is read, so that a creator sees the price of a deeper profile while drawing it; the
packet counts what was really found.
"""

from collections.abc import Iterable

from clash_pipeline.clones.compiled import BranchAsset, Budget
from clash_pipeline.market.read_plan import ReadPlan

BYTES_PER_TOKEN = 4
ENTRY_TOKENS = 40
"""Name, columns and age of one section *(ours)*."""
ROW_TOKENS = {
    "ohlcv": 18,
    "rsi": 9,
    "bollinger": 18,
    "sma_ema": 14,
    "macd": 22,
    "funding": 12,
    "immediate": 100,
    "later": 100,
    "market": 100,
    "capital_base": 22,
    "capital_flows": 31,
    "economic_throughput": 40,
}
"""Tokens of one full row of a channel, at or above the longest seen on replayed markets *(ours)*."""


def tokens(text: str) -> int:
    """Tokens of a text by the documented estimate: UTF-8 bytes by four, rounded up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def of_asset(plan: ReadPlan, prompt: str) -> Budget:
    """The budget of one asset: all its points, and the tokens of its text, its sections and their rows."""
    rows = sum(entry.points * ROW_TOKENS[entry.channel] for entry in plan.entries if entry.inclusion != "off")
    return Budget(plan.max_points, tokens(prompt) + ENTRY_TOKENS * len(plan.entries) + rows)


def of_branch(assets: Iterable[BranchAsset]) -> Budget:
    """The budget of one round of a branch: every asset that is not skipped, each with a packet of its own."""
    budgets = [asset.budget for asset in assets if asset.skipped is None and asset.budget is not None]
    return Budget(sum(budget.points for budget in budgets), sum(budget.tokens for budget in budgets))
