"""Simulates what is not finished, on a few processors at once, and tells of it on stderr."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence

from tests.benchmark.judgement.cells import Figures, Size
from tests.benchmark.judgement.store import WORK, Store


def run(names: Sequence[str], store: Store, *, processes: int, fresh: bool = False) -> None:
    """Simulates the cells that are not finished; tells of each on stderr."""
    waiting = [name for name in names if fresh or store.known(name) is None]
    begun = time.monotonic()
    for count, (name, found, seconds) in enumerate(_found(waiting, store.size, processes), 1):
        store.keep(name, found)
        passed = time.monotonic() - begun
        told = f"[{count}/{len(waiting)}] {passed:.0f} s: {name}, {seconds:.1f} s\n"
        sys.stderr.write(told)
        sys.stderr.flush()


def _found(
    names: Sequence[str], size: Size, processes: int
) -> Iterator[tuple[str, Figures, float]]:
    """Cells as they are finished."""
    jobs = [(name, size) for name in names]
    if processes == 1 or len(jobs) == 1:
        yield from map(_one, jobs)
    elif jobs:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            yield from pool.imap_unordered(_one, jobs)


def _one(job: tuple[str, Size]) -> tuple[str, Figures, float]:
    name, size = job
    begun = time.monotonic()
    return name, WORK[name](size), time.monotonic() - begun
