"""Files that are generated from the code: what they hold, and whether they are up to date."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rollout.api import crd
from rollout.api.phase import Phase
from rollout.engine.transitions import TRANSITIONS

ROOT = Path(__file__).resolve().parents[2]

NOTICE = "# Generated from rollout/api by `make generate`; do not edit.\n"

CRD_FOLDERS = ("manifests/crds", "charts/rollout/crds")
"""Where people look for the CRDs: those who apply files, and those who install the chart."""

DIAGRAM_BEGIN = "<!-- transitions:begin -->"
DIAGRAM_END = "<!-- transitions:end -->"

UNDRAWN = frozenset({Phase.BLOCKED, Phase.INVALID})
"""Phases beside the way, entered from nearly everywhere: drawn, they hide the way."""


def expected(root: Path) -> dict[Path, str]:
    """Every generated file with the text it must have, by its path from ``root``."""
    files = {
        Path(folder) / _file_name(one): _document(one)
        for folder in CRD_FOLDERS
        for one in crd.crds()
    }
    readme = Path("README.md")
    text = (root / readme).read_text(encoding="utf-8")
    if DIAGRAM_BEGIN in text:
        files[readme] = with_diagram(text, diagram())
    return files


def stale(root: Path) -> list[str]:
    """Paths of generated files that are missing, differ, or should not be there."""
    wanted = expected(root)
    different = [path for path, text in wanted.items() if _read(root / path) != text]
    there = {path.relative_to(root) for f in CRD_FOLDERS for path in (root / f).glob("*")}
    return sorted(path.as_posix() for path in {*different, *(there - wanted.keys())})


def write(root: Path) -> list[str]:
    """Write what is stale, remove what nothing generates any more, and return the paths."""
    changed = stale(root)
    wanted = expected(root)
    for name in changed:
        path = Path(name)
        if path in wanted:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(wanted[path], encoding="utf-8")
        else:
            (root / path).unlink()
    return changed


def diagram() -> str:
    """The phases of a Rollout as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    direction LR", f"    [*] --> {Phase.PENDING}"]
    for source, targets in TRANSITIONS.items():
        for target, reason in targets.items():
            if not {source, target} & UNDRAWN:
                lines.append(f"    {source} --> {target}: {_label(reason)}")
    return "\n".join(["```mermaid", *lines, "```"])


def with_diagram(text: str, drawn: str) -> str:
    """A text with the diagram between its two markers."""
    before, found_begin, rest = text.partition(DIAGRAM_BEGIN)
    _, found_end, after = rest.partition(DIAGRAM_END)
    assert found_begin, f"{DIAGRAM_BEGIN} is missing"
    assert found_end, f"{DIAGRAM_END} is missing after {DIAGRAM_BEGIN}"
    return f"{before}{DIAGRAM_BEGIN}\n\n{drawn}\n\n{DIAGRAM_END}{after}"


def _label(reason: str) -> str:
    """A reason without the characters that end a label in Mermaid."""
    return reason.replace(":", " -").replace(";", ",")


def _file_name(definition: Mapping[str, Any]) -> str:
    return f"{definition['metadata']['name']}.yaml"


def _document(definition: Mapping[str, Any]) -> str:
    return NOTICE + yaml.safe_dump(definition, sort_keys=False, width=100, allow_unicode=True)


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
