"""The floors of the building are kept, and an import upstairs is caught."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.house.survey import ROOT

LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"


def lint_in(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts of a folder's pyproject.toml in a process of its own."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); {LINT}"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


def contracts() -> list[dict[str, Any]]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = document["tool"]["importlinter"]["contracts"]
    return found


def building(folder: Path) -> None:
    """An empty building with the floors of ours, and a pyproject.toml with that contract alone."""
    floors = next(one for one in contracts() if one.get("containers") == ["rollout"])
    for layer in floors["layers"]:
        for name in layer.split(" | "):
            package = folder / "rollout" / name
            package.mkdir(parents=True)
            (package / "__init__.py").write_text("")
    (folder / "rollout" / "__init__.py").write_text("")
    layers = ", ".join(f'"{layer}"' for layer in floors["layers"])
    (folder / "pyproject.toml").write_text(
        '[tool.importlinter]\nroot_package = "rollout"\n'
        "[[tool.importlinter.contracts]]\n"
        f'name = "floors"\ntype = "layers"\ncontainers = ["rollout"]\nexhaustive = true\n'
        f"layers = [{layers}]\n"
    )


@pytest.mark.timeout(60)
def test_nobody_imports_upstairs_and_every_door_is_used() -> None:
    done = lint_in(ROOT)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("where", "text", "kept"),
    [
        ("rollout/engine/__init__.py", "import rollout.api\n", True),
        ("rollout/base/__init__.py", "import rollout.engine\n", False),
        ("rollout/engine/__init__.py", "import rollout.routes\n", False),
        ("rollout/attic/__init__.py", "", False),
    ],
    ids=["downstairs", "upstairs", "next door", "a package without a floor"],
)
def test_only_an_import_downstairs_is_let_pass(
    tmp_path: Path, where: str, text: str, kept: bool
) -> None:
    building(tmp_path)
    file = tmp_path / where
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)

    done = lint_in(tmp_path)

    assert (done.returncode == 0) is kept, done.stdout


def test_every_contract_says_in_its_name_what_it_is_for() -> None:
    names = [contract["name"] for contract in contracts()]

    assert len(names) >= 10
    assert all(len(name.split()) >= 4 for name in names)
