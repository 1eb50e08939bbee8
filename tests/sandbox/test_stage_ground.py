"""Every stage has a network and a folder of its own, and clears away what killed ones left."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from rollout.sandbox.stage_ground import FOLDER_PREFIX, own_folder, own_network
from rollout.sandbox.stage_objects import Cast

NO_SUCH_PID = 2**22 + 1
"""Above the largest process id that Linux gives."""


def test_two_stages_never_share_a_network() -> None:
    with own_network(Cast()) as first, own_network(Cast()) as second:
        assert first.network != second.network


def test_the_folder_goes_with_the_stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with own_folder() as folder:
        (folder / "log").write_text("x")

    assert list(tmp_path.iterdir()) == []


def test_folders_of_killed_stages_are_removed_and_those_of_living_ones_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = tmp_path / f"{FOLDER_PREFIX}{NO_SUCH_PID}-a"
    living = tmp_path / f"{FOLDER_PREFIX}{os.getpid()}-a"
    others = tmp_path / f"{FOLDER_PREFIX}notes"
    for folder in (killed, living, others):
        folder.mkdir()

    with own_folder():
        assert not killed.exists()
        assert living.exists()
        assert others.exists()
