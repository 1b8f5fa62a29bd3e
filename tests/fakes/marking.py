"""A child that lets one minute pass for an account; run as `python -m tests.fakes.marking`, for crash tests."""

from collections.abc import Mapping
from typing import Any

from clash_pipeline.prop import marks
from clash_pipeline.settings import load
from clash_pipeline.storage.files import open_clash, open_market
from tests.fakes.forking import serve


def work(order: Mapping[str, Any]) -> None:
    """Mark the account of a home at a time."""
    settings = load({"CLASH_HOME": order["home"]})
    marks.mark(open_clash(settings), open_market(settings), order["account_id"], order["now_ms"])


if __name__ == "__main__":
    serve(work)
