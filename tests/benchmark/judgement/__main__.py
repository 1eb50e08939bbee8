"""The benchmark of judgement: ``python -m tests.benchmark.judgement`` (``make bench-judge``).

Simulates releases in many worlds, judges the same ticks with our gate and with others, and compares
with what was promised. Writes ``.bench/judge.json``; the exit status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmark.judgement import picture, table, targets
from tests.benchmark.judgement.cells import FULL, REDUCED, Figures, Size
from tests.benchmark.judgement.running import run
from tests.benchmark.judgement.store import FOLDER, WORK, Store, shard

OUT = Path(".bench/judge.json")

EXAMPLES = """examples:
  python -m tests.benchmark.judgement                       the reduced run, minutes
  python -m tests.benchmark.judgement --full                the nightly sizes
  python -m tests.benchmark.judgement --full --shard 1/4    a quarter of the cells; others elsewhere
  python -m tests.benchmark.judgement --only "outage"       cells with this in their name, in full
  python -m tests.benchmark.judgement --picture tests/benchmark/judgement.svg
Finished cells are kept in .bench/judge and skipped, as long as the code that they depend on is the
same; --fresh simulates all of them again. Shards that share that folder add up: a run without
--shard reports over all of them.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is missing, then reports."""
    asked = _parsed(argv)
    size, name = (FULL, "full") if asked.full else (REDUCED, "reduced")
    if asked.runs:
        size, name = Size(**dict.fromkeys(Size.__slots__, asked.runs)), f"{asked.runs}-runs"
    store = Store(size, FOLDER / name)
    wanted = [name for name in WORK if asked.only in name]
    mine = shard(wanted, *asked.shard)
    run(mine, store, processes=asked.processes, fresh=asked.fresh)
    found = {name: one for name in WORK if (one := store.known(name)) is not None}
    if asked.only:
        _say(table.of_cells([found[name] for name in mine]))
        return 0
    missing = len(WORK) - len(found)
    if missing:
        _say(f"{missing} of {len(WORK)} cells are missing: run the other shards, then none")
        return 0
    return _report(found, asked.picture)


def _report(found: dict[str, Figures], drawn: Path | None) -> int:
    judged = targets.judged(found)
    OUT.parent.mkdir(exist_ok=True)
    report = {"targets": [one.as_json() for one in judged], "cells": list(found.values())}
    OUT.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    _say(table.text(found, judged))
    if drawn is not None:
        picture.draw(found, drawn)
    return 0 if all(one.met for one in judged) else 1


def _say(told: str) -> None:
    sys.stdout.write(f"{told}\n")


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmark.judgement",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--full", action="store_true", help="the nightly sizes")
    parser.add_argument("--runs", type=int, metavar="N", help="of every cell, to try something")
    parser.add_argument(
        "--shard", type=_shard, default=(1, 1), metavar="I/N", help="the I-th of N parts"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="cells with this in their name")
    parser.add_argument("--fresh", action="store_true", help="finished cells too")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="2 by default")
    parser.add_argument("--picture", type=Path, metavar="PATH", help="draw failures by gate (SVG)")
    return parser.parse_args(argv)


def _shard(asked: str) -> tuple[int, int]:
    number, _, count = asked.partition("/")
    if not number.isdigit() or not count.isdigit() or not 1 <= int(number) <= int(count):
        told = f"{asked} is no shard; ask for 1/4 to 4/4"
        raise argparse.ArgumentTypeError(told)
    return int(number), int(count)


if __name__ == "__main__":
    sys.exit(main())
