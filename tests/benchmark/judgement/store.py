"""All cells by name, and what has been found of them: kept on disk, skipped when it is there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmark.judgement import cells, foretold, latency, simulate
from tests.benchmark.judgement.cells import Figures, Size

FOLDER = Path(".bench/judge")

SHOWING = frozenset({"picture", "targets", "table", "__main__", "golden", "store", "running"})
"""Modules that change no cell's figures."""

Work = Callable[[Size], Figures]

WORK: Mapping[str, Work] = {
    **{name: partial(simulate.simulate, cell) for name, cell in cells.CELLS.items()},
    **{name: partial(latency.simulate, cell) for name, cell in latency.CELLS.items()},
    **{name: partial(foretold.simulate_dwell, cell) for name, cell in foretold.DWELLS.items()},
    **{
        name: partial(foretold.simulate_back_test, cell)
        for name, cell in foretold.BACK_TESTS.items()
    },
}


def shard(names: Iterable[str], number: int, count: int) -> list[str]:
    """One of ``count`` parts of the cells, the first being 1; each is in exactly one."""
    return [name for place, name in enumerate(names) if place % count == number - 1]


def fingerprint(size: Size) -> str:
    """Changes with the sizes and with every source that a cell's figures depend on."""
    here = Path(__file__).parent
    product = here.parents[2] / "rollout/analysis"
    digest = hashlib.sha256(repr(size).encode())
    for path in [*sorted(here.glob("*.py")), *sorted(product.rglob("*.py"))]:
        if path.stem not in SHOWING:
            digest.update(path.read_bytes())
    return digest.hexdigest()


class Store:
    """Finished cells in a folder, one file each."""

    def __init__(self, size: Size, folder: Path) -> None:
        """Cells of other sizes, or of other code, do not count as finished."""
        self.size, self._folder = size, folder
        self._fingerprint = fingerprint(size)

    def known(self, name: str) -> Figures | None:
        """What was found of a cell; None: it has to be simulated."""
        try:
            kept: Any = json.loads(self._path(name).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        if kept["fingerprint"] != self._fingerprint:
            return None
        found: Figures = kept["figures"]
        return found

    def keep(self, name: str, found: Figures) -> None:
        """Writes a finished cell, in one go: a run that is stopped leaves no half file."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = path.with_suffix(".part")
        text = json.dumps({"fingerprint": self._fingerprint, "figures": found}, ensure_ascii=False)
        waiting.write_text(text, encoding="utf-8")
        waiting.replace(path)

    def _path(self, name: str) -> Path:
        return self._folder / f"{re.sub('[^0-9A-Za-z×%.,-]+', '-', name)}.json"
