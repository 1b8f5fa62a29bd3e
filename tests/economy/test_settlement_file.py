"""`clash settlement compute`: a race as a person would write it down, and what is no race."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clash_pipeline.cli.main import app
from clash_pipeline.economy.settlement import SettlementInvalid
from clash_pipeline.economy.settlement_file import computed

PRICE = str(10**16)


def race(**changes: Any) -> dict[str, Any]:
    """Five starters; tickets on the first two, the last, and one clone that did not start."""
    starters = [{"cloneId": number, "creator": f"creator-{number}"} for number in (7, 3, 9, 4, 5)]
    tickets = [(7, "ann", 3), (3, "bob", 2), (5, "eve", 5), (8, "eve", 1)]
    lines = [{"cloneId": clone, "holder": holder, "count": count} for clone, holder, count in tickets]
    return {"priceWei": PRICE, "starters": starters, "tickets": lines} | changes


def paid(clone: int, holder: str, count: int, each: str, wei: str) -> dict[str, Any]:
    return {"cloneId": clone, "holder": holder, "count": count, "perTicketWei": each, "wei": wei}


def test_a_race_is_settled() -> None:
    assert computed(json.dumps(race()).encode()) == {
        "poolWei": "100000000000000000",
        "rakeWei": "5000000000000002",
        "dustWei": "2",
        "royalties": [
            {"cloneId": 7, "creator": "creator-7", "wei": "3125000000000000"},
            {"cloneId": 3, "creator": "creator-3", "wei": "1875000000000000"},
        ],
        "payouts": [
            {
                "cloneId": 7,
                "holder": "ann",
                "count": 3,
                "perTicketWei": "21428571428571428",
                "wei": "64285714285714284",
            },
            {
                "cloneId": 3,
                "holder": "bob",
                "count": 2,
                "perTicketWei": "12857142857142857",
                "wei": "25714285714285714",
            },
        ],
        "refunds": [{"cloneId": 8, "holder": "eve", "count": 1, "perTicketWei": PRICE, "wei": PRICE}],
    }


def test_the_command_prints_it_as_json_and_as_tables(tmp_path: Path) -> None:
    file = tmp_path / "race.json"
    file.write_text(json.dumps(race()))
    printed = CliRunner().invoke(app, ["settlement", "compute", str(file), "--json"])
    assert json.loads(printed.stdout)["rakeWei"] == "5000000000000002"
    shown = CliRunner().invoke(app, ["settlement", "compute", "-"], input=json.dumps(race()))
    assert shown.exit_code == 0
    assert "pool 100000000000000000 wei, rake 5000000000000002 wei (dust 2)" in shown.stdout
    assert "64285714285714284" in shown.stdout


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"priceWei": 10**16}, "Expected `str`"),
        ({"priceWei": "1e16"}, "priceWei"),
        ({"priceWei": "0"}, "the price is 0 wei"),
        ({"starters": [{"cloneId": 1, "creator": "a"}] * 2}, "clone 1 starts twice"),
        ({"tickets": [{"cloneId": 1, "holder": "a", "count": 0}]}, "Expected `int` >= 1"),
        ({"tickets": [{"cloneId": 1, "holder": "a", "count": 1.0}]}, "tickets"),
        ({"tickets": [{"cloneId": 1, "holder": "a", "count": "1"}]}, "Expected `int`"),
        ({"surprise": 1}, "unknown field"),
        ({"starters": [{"cloneId": True, "creator": "a"}]}, "Expected `int`"),
    ],
)
def test_what_is_no_race_is_said_in_a_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettlementInvalid, match=says):
        computed(json.dumps(race(**changes)).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"null"])
def test_what_is_no_json_is_said_in_a_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "race.json"
    file.write_bytes(content)
    refused = CliRunner().invoke(app, ["settlement", "compute", str(file)])
    assert refused.exit_code == 2
    assert "Traceback" not in refused.output
