"""`python -m bench [name ...] [--quick] [--record]`: print the tables, write bench.json and doc/performance.md."""

import argparse
import logging
from pathlib import Path

import structlog

from bench import report
from bench.harness import Bench, Row, benches_of, compare

MODULES = (
    "indicators",
    "rollup",
    "stream",
    "backfill",
    "archive",
    "retrieval",
    "packet",
    "compile",
    "model",
    "decisions",
    "submission",
    "latency",
    "events",
    "api",
    "economy",
)
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run what was asked for; a full run replaces the figures in the documents, others only where that is asked."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Ours, the peers' and the floor's figures, side by side."
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(MODULES)}; default all")
    parser.add_argument("--quick", action="store_true", help="small sizes and two rounds, to see that it works")
    parser.add_argument(
        "--record", action="store_true", help="keep the named benches' figures beside the recorded ones"
    )
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(MODULES)):
        parser.error(f"no such bench: {', '.join(unknown)}; there are {', '.join(MODULES)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    benches: dict[str, Bench] = {}
    rows: list[Row] = []
    for name in asked.names or MODULES:
        for bench in benches_of(f"bench.{name}", asked.quick):
            found = compare(bench, f"bench.{name}", asked.quick)
            report.show(bench, found, asked.quick)
            benches[bench.name] = bench
            rows += found
    report.write_json(ROOT / "bench.json", rows, asked.quick)
    if not asked.quick and (asked.record or not asked.names):
        report.write_markdown(ROOT / "doc" / "performance.md", benches, rows, keeps_others=bool(asked.names))


if __name__ == "__main__":
    main()
