"""Charts for the terminal: small ones that can be read by eye."""

from clash_pipeline.cli.chart import chart
from clash_pipeline.clock import MINUTE_MS

BLANK = "\u2800"


def test_a_rise_goes_from_the_lower_left_to_the_upper_right() -> None:
    points = [(minute * MINUTE_MS, 100.0 + minute) for minute in range(16)]
    assert chart(points, width=12, height=3).splitlines() == [
        "     115.00 ┤⠀⠀⠀⠀⠀⠀⠀⠀⢀⣠⠖⠚",
        "            ┤⠀⠀⠀⠀⣀⣠⠴⠋⠉⠀⠀⠀",
        "     100.00 ┤⣀⡤⠴⠚⠁⠀⠀⠀⠀⠀⠀⠀",
        "             00:00  00:15",
    ]


def test_a_jump_has_no_hole() -> None:
    drawn = chart([(0, 0.0), (MINUTE_MS, 0.0), (2 * MINUTE_MS, 9.0)], width=12, height=3).splitlines()
    assert all(line.rstrip()[-1] != BLANK for line in drawn[:3])


def test_a_line_that_never_moves_is_level_and_named_once() -> None:
    drawn = chart([(0, 5.0), (MINUTE_MS, 5.0)], width=12, height=3).splitlines()
    assert drawn[:3] == [" " * 12 + "┤" + BLANK * 12, "       5.00 ┤" + "⠤" * 12, " " * 12 + "┤" + BLANK * 12]


def test_it_fits_80_columns_and_says_when() -> None:
    points = [(hour * 3_600_000, 100_000.0 - hour) for hour in range(30)]
    drawn = chart(points).splitlines()
    assert max(map(len, drawn)) <= 80
    assert drawn[-1].split() == ["00:00", "05:00"]


def test_one_point_is_no_line() -> None:
    assert chart([(0, 1.0)]) == ""
    assert chart([]) == ""
