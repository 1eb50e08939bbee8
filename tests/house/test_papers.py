"""The papers of the project: changelog, pinned dependencies, and no trace of any one machine."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.survey import ROOT

SECTIONS = frozenset({"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"})
NOT_OURS = frozenset({".git", ".venv", ".cache", ".bench", "dist", "LICENSE"})
FILE_SIZE_BYTES_MAX = 2_000_000

MACHINE_PATH = re.compile(r"(?<![\w.~}-])/(?:work|root|Users|home/\w+)/\w")
ENTRY_LINE = re.compile(r"^- [A-Z`].*\.$", re.DOTALL)


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Section and text of each entry; continuation lines are joined."""
    section = ""
    entry = ""
    for line in [*text.splitlines(), ""]:
        if entry and not line.startswith("  "):
            yield section, entry
            entry = ""
        if line.startswith("### "):
            section = line[4:]
        elif line.startswith("- "):
            entry = line
        elif entry:
            entry += " " + line.strip()


def changelog_faults(text: str) -> Iterator[str]:
    if not text.startswith("# Changelog\n"):
        yield "does not begin with its title"
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    if not headings or headings[0] != "[Unreleased]":
        yield "does not begin with what is unreleased"
    for heading in headings[1:]:
        if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading):
            yield f"{heading!r} is no version and date"
    for section, entry in entries(text):
        if section not in SECTIONS:
            yield f"{section!r} is no section"
        if not ENTRY_LINE.match(entry):
            yield f"{entry!r} is no sentence"


def lock_faults(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.lstrip().startswith(
            ("--index", "--extra-index", "--find-links", "--trusted", "-i ")
        ):
            yield f"{line!r} names a registry"
        if "://" in line.partition("#")[0]:
            yield f"{line!r} names a host"
    for pin in re.split(r"\n(?=[a-zA-Z0-9])", text.partition("\n#\n")[2]):
        if "==" in pin.splitlines()[0] and "--hash=sha256:" not in pin:
            yield f"{pin.splitlines()[0]} has no hash"


def unexplained_dependencies(text: str) -> Iterator[str]:
    """Lines of dependency lists that do not say why the dependency is there."""
    inside = False
    for line in text.splitlines():
        if re.match(r"(dependencies|sandbox|dev|docs|test) = \[", line):
            inside = True
        elif line.startswith("]"):
            inside = False
        elif inside and not re.search(r"#\s+\w", line):
            yield line.strip()


def machine_paths(text: str) -> list[str]:
    return MACHINE_PATH.findall(text)


def papers() -> list[Path]:
    """Every file of the project that is text."""
    found = []
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        ours = not (NOT_OURS & set(parts)) and not any(part.endswith("_cache") for part in parts)
        hidden = any(part in {"__pycache__", ".hypothesis"} for part in parts)
        if ours and not hidden and path.is_file() and path.stat().st_size < FILE_SIZE_BYTES_MAX:
            found.append(path)
    return found


def test_the_changelog_is_kept_as_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert list(changelog_faults(text)) == []
    assert list(entries(text)) != []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements.controller.lock"])
def test_pinned_dependencies_name_no_registry_and_have_hashes(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")

    assert list(lock_faults(text)) == []


def test_every_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    assert tomllib.loads(text)["project"]["dependencies"]
    assert list(unexplained_dependencies(text)) == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    found = {}
    for path in papers():
        told = machine_paths(path.read_bytes().decode("utf-8", errors="ignore"))
        if told:
            found[path.relative_to(ROOT).as_posix()] = told

    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "# Changelog\n\n## [Unreleased]\n\n### News\n\n- A sentence.\n",
        "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- no sentence\n",
        "# Changelog\n\n## 1.0\n",
        "# Changelog\n\n## [Unreleased]\n\n## [1.0.0] yesterday\n",
        "Changes\n\n## [Unreleased]\n",
    ],
    ids=["section", "entry", "unreleased", "date", "title"],
)
def test_a_changelog_that_is_none_would_be_caught(text: str) -> None:
    assert list(changelog_faults(text)) != []


def test_an_entry_may_go_on_over_lines() -> None:
    text = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A long\n  sentence.\n- Another.\n"

    assert list(changelog_faults(text)) == []
    assert [entry for _, entry in entries(text)] == ["- A long sentence.", "- Another."]


@pytest.mark.parametrize(
    "line",
    [
        "--index-url nowhere",
        "--find-links nowhere",
        "a @ ftp://nowhere/a.whl",
        "a==1 \\\n    # via b",
    ],
)
def test_a_lock_that_names_a_registry_or_lacks_a_hash_would_be_caught(line: str) -> None:
    assert list(lock_faults(f"# pinned\n#\n{line}\n")) != []


def test_a_dependency_without_a_reason_would_be_caught() -> None:
    text = 'dependencies = [\n    "a>=1",   # needed\n    "b>=1",\n]\n'

    assert list(unexplained_dependencies(text)) == ['"b>=1",']


@pytest.mark.parametrize("folder", ["root", "work", "home/alice"])
def test_a_path_of_one_machine_would_be_caught(folder: str) -> None:
    assert machine_paths(f"see /{folder}/notes") != []
    assert machine_paths(f"see {folder}/notes or ../{folder}/notes") == []
