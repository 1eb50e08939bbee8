"""What the mesh's tests found out: figures for `.bench/mesh.json` and the table in tests/README."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".bench" / "mesh.json"
README = ROOT / "tests" / "README.md"
MARKS = ("<!-- mesh: written by make test-mesh -->", "<!-- mesh: end -->")

PROPAGATION = "propagation p50 / p95, s"

COLUMNS = (
    "task",
    "test",
    "written weight",
    "measured share",
    "requests",
    "failed",
    PROPAGATION,
)

NOBODY = "unknown"
"""The version of an answer that no workload gave: Envoy's own."""


@dataclass(slots=True)
class Report:
    """Figures of one run of the tests, in the order in which they came."""

    tasks: list[dict[str, Any]] = field(default_factory=list)
    endings: list[dict[str, Any]] = field(default_factory=list)
    _present: dict[str, Any] = field(default_factory=dict)

    def begin(self, task: str, *, test: str) -> None:
        """A test of one of Istio's tasks begins; until it says otherwise, it has not passed."""
        self._present = {"task": task, "passed": False, "test": test}
        self.tasks.append(self._present)

    def task(self, *, test: str, **figures: Any) -> None:
        """The present test has passed: what it states, and what it measured."""
        self._present |= {"passed": True, "test": test, **figures}

    def ending(
        self, ending: str, *, requests: int, by: Mapping[str, int], otherwise: Mapping[str, int]
    ) -> None:
        """Say what became of all requests through the ending of a run."""
        self.endings.append(
            {
                "ending": ending.replace("_", " "),
                "requests": requests,
                "failedByVersion": dict(by),
                "failedOtherwise": sum(otherwise.values()),
            }
        )

    def write(self, *, with_table: bool) -> None:
        """Write the file and, if wanted, the table."""
        FILE.parent.mkdir(exist_ok=True)
        shown = {"tasks": self.tasks, "endings": self.endings}
        FILE.write_bytes(orjson.dumps(shown, option=orjson.OPT_INDENT_2) + b"\n")
        if with_table:
            text = README.read_text(encoding="utf-8")
            head, _, rest = text.partition(MARKS[0])
            _, _, tail = rest.partition(MARKS[1])
            middle = f"{MARKS[0]}\n\n{self.table()}\n{MARKS[1]}"
            README.write_text(f"{head}{middle}{tail}", encoding="utf-8")

    def table(self) -> str:
        """Two tables in Markdown: tasks, endings."""
        lines = [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
        lines += [_row([str(one.get(name, "")) for name in COLUMNS]) for one in self.tasks]
        head = ("ending", "requests", "failed by version", "failed otherwise")
        lines += ["", _row(head), _row(["---"] * len(head))]
        for one in self.endings:
            failed = ", ".join(f"{k}: {v}" for k, v in one["failedByVersion"].items()) or "0"
            lines.append(
                _row([one["ending"], str(one["requests"]), failed, str(one["failedOtherwise"])])
            )
        return "\n".join(lines) + "\n"


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def blame(counters: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """Failed requests by the version that failed them, and the others by what they met.

    A version's own failure is an answer of 500 or more that bears the version's name.
    """
    versions: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for version, codes in counters["answers"].items():
        for code, count in codes.items():
            if code.startswith("2"):
                continue
            if version == NOBODY:
                others[code] += count
            else:
                versions[version] += count
    flags = {
        f"{code} {flag}": count
        for flag, codes in counters["flags"].items()
        for code, count in codes.items()
    }
    if sum(others.values()) == sum(flags.values()):
        others = Counter(flags)
    return dict(versions), dict(others + Counter(counters["outcomes"]))
